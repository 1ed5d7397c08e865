"""Simulated cohorts to choose settings on: what is learnt from one is asked of the people of another."""

from __future__ import annotations

from functools import cache

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

from pulseveil.cohorts.simulated import Simulated
from pulseveil.contracts import FeatureSet, SyntheticSet, WindowSet
from pulseveil.detectors import Fitted
from pulseveil.features import extract_features
from pulseveil.windows import cut_windows

WESAD_S = {"baseline_s": 1180, "stress_s": 660, "amusement_s": 372}
PEOPLE = 14


@cache
def windows_of(seed: int, purpose: str) -> WindowSet:
    """Windows of 14 people with the conditions' lengths of WESAD; purpose: generator or detector."""
    settings = {"kind": "simulated", "subjects": PEOPLE, "seed": seed, **WESAD_S}
    return cut_windows(
        Simulated(Simulated.Settings.model_validate(settings)).recordings(),
        protocol="sound",
        channels="physiological",
        scaling="calibration",
        window_s=60,
        stride_s=30 if purpose == "generator" else 60,
        windows=purpose,
    )


def features_of(windows: WindowSet | SyntheticSet) -> FeatureSet:
    """Features as the sound protocol has them."""
    return extract_features(windows, protocol="sound", pairing="published")


@cache
def learnt_from(seed: int) -> FeatureSet:
    """What the detectors of a cohort learn from."""
    return features_of(windows_of(seed, "detector"))


@cache
def tested(seed: int) -> FeatureSet:
    """Windows of people whom the cohort `seed` does not know."""
    features = features_of(windows_of(seed + 1000, "detector"))
    return features.take(~features.calibration)


def scores(fitted: Fitted, seed: int) -> tuple[float, float]:
    """Accuracy and stress F1 on `tested`."""
    found, truth = fitted.score(tested(seed)).predicted, tested(seed).stress
    return accuracy_score(truth, found), f1_score(truth, np.asarray(found), zero_division=0)
