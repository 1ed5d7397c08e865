"""Synthesize windows, train a detector on them, and score it on other people: arrays in, arrays out."""

import numpy as np

from pulseveil import detectors, generators
from pulseveil.cohorts.simulated import Simulated, SimulatedSettings
from pulseveil.core.contracts import SyntheticSet
from pulseveil.core.randomness import child, root_stream
from pulseveil.detectors.logistic import Logistic, LogisticSettings
from pulseveil.generators.moments import Moments, MomentsSettings
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.privacy.budget import NOT_PRIVATE
from pulseveil.windows.cutting import cut_windows
from pulseveil.windows.features import extract_features

SOUND = {"protocol": "sound", "channels": "physiological", "scaling": "calibration", "window_s": 60}
root = root_stream(1)

# Six simulated people. The first four train the generator, the last two test the detector.
recordings = list(Simulated(SimulatedSettings(subjects=6)).recordings())
training = cut_windows(recordings[:4], **SOUND, stride_s=30, audience="generator")
tested = cut_windows(recordings[4:], **SOUND, stride_s=60, audience="detector")

# A generator learns from real windows (n, 60, 6) and their conditions (n): here 0 rest and 1 stress.
model = Moments.fit(
    MomentsSettings(rank=10),
    generators.Training(
        windows=training.windows,
        condition=training.stress.astype(np.int8),
        subject=training.subject,
        classes=2,
        budget=NOT_PRIVATE,
        stream=child(root, "generator"),
    ),
)
generated = synthetic_subjects(model, subjects=20, classes=2, stream=child(root, "synthesis"))
synthetic = SyntheticSet(
    windows=generated.windows,
    condition=generated.condition,
    stress=generated.condition == 1,
    subject=generated.subject,
    fold=np.full(len(generated.windows), "all"),
    channels=training.channels,
    rate_hz=training.rate_hz,
    window_s=training.window_s,
    stride_s=training.window_s,
    scaling=training.scaling,
    protocol=training.protocol,
    generator="moments",
    unit="subject",
    epsilon_generator=np.inf,
    seed=0,
)

# A detector learns only from the synthetic windows and is tested on the real windows of the other people.
training_features, test_features = (
    extract_features(windows, protocol="sound", pairing="published") for windows in (synthetic, tested)
)
detector = Logistic.fit(
    LogisticSettings(), detectors.Training(training_features, NOT_PRIVATE, stream=child(root, "detector"))
)
# The windows that calibrate a person's scaling are never tested.
test_features = test_features.take(~test_features.calibration)
outputs = detector.score(test_features)
accuracy = (outputs.predicted == test_features.stress).mean()
majority = max(test_features.stress.mean(), 1 - test_features.stress.mean())
print(f"{len(synthetic)} synthetic windows trained, {len(test_features)} real windows tested")
print(f"accuracy {accuracy:.3f}, majority {majority:.3f}")
