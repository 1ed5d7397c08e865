"""What the moments generator's residual does to detectors that learn from its windows, on simulated cohorts.

    python tests/benchmarks/moments.py [--cohorts 31 32 33]

prints TSTR of logistic regression (accuracy and stress F1 over the windows of 15 left-out people, a generator
for each) without a residual and with a white one. The setting's default was chosen by this.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

from pulseveil import detectors, generators
from pulseveil.cohorts.simulated import Simulated
from pulseveil.core import randomness
from pulseveil.core.contracts import FeatureSet, WindowSet
from pulseveil.detectors.logistic import Logistic, LogisticSettings
from pulseveil.generators.moments import Moments, MomentsSettings
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.privacy.budget import NOT_PRIVATE
from pulseveil.windows.cutting import cut_windows
from pulseveil.windows.features import extract_features

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.synthetic_sets import as_set

SYNTHETIC_SUBJECTS = 28


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, nargs="+", default=[31, 32, 33], help="seeds of cohorts")
    options = parser.parse_args()
    print(f"{'cohort':<8}{'residual':<10}{'accuracy':>10}{'stress F1':>11}")
    for seed in options.cohorts:
        windows = {name: cut(seed, name) for name in ("generator", "detector")}
        real = extract_features(windows["detector"], protocol="sound", pairing="published")
        for residual in ("none", "white"):
            settings = MomentsSettings.model_validate({"residual": residual})
            truth, found = left_out_answers(windows["generator"], real, settings, seed)
            scores = accuracy_score(truth, found), f1_score(truth, found)
            print(f"{seed:<8}{residual:<10}{scores[0]:>10.3f}{scores[1]:>11.3f}", flush=True)


def cut(seed: int, windows: str) -> WindowSet:
    """Windows of a simulated cohort of 15 people in the sound protocol."""
    cohort = Simulated(Simulated.Settings.model_validate({"kind": "simulated", "subjects": 15, "seed": seed}))
    return cut_windows(
        cohort.recordings(),
        protocol="sound",
        channels="physiological",
        scaling="calibration",
        window_s=60,
        stride_s=30 if windows == "generator" else 60,
        audience=windows,
    )


def left_out_answers(
    windows: WindowSet, real: FeatureSet, settings: MomentsSettings, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """True and found stress (n) of each person's windows, by a model of synthetic windows of the others."""
    truth, found = [], []
    for person in np.unique(real.subject):
        others = windows.take(windows.subject != person)
        stream = randomness.child(randomness.root_stream(seed), person)
        model = Moments.fit(
            settings,
            generators.Training(
                others.windows, others.stress.astype(np.int8), others.subject, 2, NOT_PRIVATE, stream
            ),
        )
        made = synthetic_subjects(model, subjects=SYNTHETIC_SUBJECTS, classes=2, stream=stream)
        synthetic = as_set(
            made, windows, generator="moments", unit="subject", epsilon=np.inf, seed=seed, fold=person
        )
        features = extract_features(synthetic, protocol="sound", pairing="published")
        fitted = Logistic.fit(LogisticSettings(), detectors.Training(features, NOT_PRIVATE, stream))
        tested = real.take((real.subject == person) & ~real.calibration)
        truth.append(tested.stress)
        found.append(fitted.score(tested).predicted)
    return np.concatenate(truth), np.concatenate(found)


if __name__ == "__main__":
    main()
