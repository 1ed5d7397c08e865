"""Synthesize windows and score a detector on people that nobody trained on: arrays in, arrays out."""

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

# A generator learns real windows (n, 60, 6) with their conditions (n): here 0 rest and 1 stress.
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
made = synthetic_subjects(model, subjects=20, classes=2, stream=child(root, "synthesis"))
synthetic = SyntheticSet(
    windows=made.windows,
    condition=made.condition,
    stress=made.condition == 1,
    subject=made.subject,
    fold=np.full(len(made.windows), "all"),
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

# A detector learns from the synthetic windows alone and answers for the real windows of the other people.
learnt, asked = (
    extract_features(windows, protocol="sound", pairing="published") for windows in (synthetic, tested)
)
detector = Logistic.fit(
    LogisticSettings(), detectors.Training(learnt, NOT_PRIVATE, stream=child(root, "detector"))
)
# The windows that set a person's scale are never tested.
asked = asked.take(~asked.calibration)
outputs = detector.score(asked)
accuracy = (outputs.predicted == asked.stress).mean()
majority = max(asked.stress.mean(), 1 - asked.stress.mean())
print(f"{len(synthetic)} synthetic windows trained, {len(asked)} real windows tested")
print(f"accuracy {accuracy:.3f}, always the more frequent answer {majority:.3f}")
