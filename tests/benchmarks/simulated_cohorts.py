"""Simulated cohorts to choose settings on: what is learnt from one is asked of the people of another."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

from pulseveil import detectors
from pulseveil.cohorts.simulated import Simulated
from pulseveil.core import registry
from pulseveil.core.contracts import FeatureSet, SyntheticSet, WindowSet
from pulseveil.core.randomness import child, root_stream
from pulseveil.detectors import Fitted
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.privacy.budget import NOT_PRIVATE, Budget
from pulseveil.privacy.noise import reproducible
from pulseveil.runs.generators import as_training
from pulseveil.windows.cutting import cut_windows
from pulseveil.windows.features import extract_features

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.drifting_cohorts import moved
from tests.synthetic_sets import as_set

WESAD_S = {"baseline_s": 1180, "stress_s": 660, "amusement_s": 372}
PEOPLE = 14
# Seeds of tested cohorts are so much larger than those of the cohorts that train.
TESTED = 1000


@cache
def windows_of(seed: int, purpose: str, level: float | None = None) -> WindowSet:
    """Windows of 14 people with the conditions' lengths of WESAD; purpose: generator or detector.

    level: how much people differ in drift and response (`drifting_cohorts`); None: as they are simulated.
    """
    settings = {"kind": "simulated", "subjects": PEOPLE, "seed": seed, **WESAD_S}
    windows = cut_windows(
        Simulated(Simulated.Settings.model_validate(settings)).recordings(),
        protocol="sound",
        channels="physiological",
        scaling="calibration",
        window_s=60,
        stride_s=30 if purpose == "generator" else 60,
        audience=purpose,
    )
    return windows if level is None else moved(windows, seed % TESTED, seed, level)


def features_of(windows: WindowSet | SyntheticSet) -> FeatureSet:
    """Features as the sound protocol has them."""
    return extract_features(windows, protocol="sound", pairing="published")


@cache
def learnt_from(seed: int) -> FeatureSet:
    """What the detectors of a cohort learn from."""
    return features_of(windows_of(seed, "detector"))


@cache
def strangers(seed: int, level: float | None = None) -> FeatureSet:
    """Windows of people whom the cohort `seed` does not know."""
    features = features_of(windows_of(seed + TESTED, "detector", level))
    return features.take(~features.calibration)


def scores(fitted: Fitted, seed: int, level: float | None = None) -> tuple[float, float]:
    """Accuracy and stress F1 on `strangers`."""
    found, truth = fitted.score(strangers(seed, level)).predicted, strangers(seed, level).stress
    return accuracy_score(truth, found), f1_score(truth, np.asarray(found), zero_division=0)


def of_rule(seed: int, level: float | None = None, name: str = "public_signs") -> tuple[float, float]:
    """Accuracy and stress F1 of a literature rule on the tested people of a cohort."""
    kind, rows = registry.load("detectors", name), strangers(seed, level)
    fitted = kind.fit(kind.Settings(), detectors.Training(rows, NOT_PRIVATE, root_stream(0)))
    return scores(fitted, seed, level)


class Taught(NamedTuple):
    """A generator's windows beside those it learned from, what a detector learns from them, CPU seconds."""

    windows: WindowSet
    synthetic: SyntheticSet
    scores: tuple[float, float]
    seconds: float


def tstr(
    kind_name: str,
    settings: Mapping[str, Any],
    seed: int,
    budget: Budget,
    subjects: int,
    draw: int = 0,
    people: int = PEOPLE,
    detector_name: str = "logistic",
    level: float | None = None,
) -> Taught:
    """Accuracy and stress F1 of a detector that learns from synthetic windows; noise by seed and draw.

    The generator learns from the first `people` people of the cohort.
    """
    kind, detector = registry.load("generators", kind_name), registry.load("detectors", detector_name)
    windows = windows_of(seed, "generator", level)
    windows = windows.take(np.isin(windows.subject, np.unique(windows.subject)[:people]))
    stream = child(root_stream(seed), kind_name)
    started = time.process_time()
    model = registry.model("generators", kind_name).fit(
        kind.Settings.model_validate(settings),
        as_training(windows, 2, replace(budget, noise=reproducible(child(stream, "noise", draw))), stream),
    )
    seconds = time.process_time() - started
    made = synthetic_subjects(model, subjects=subjects, classes=2, stream=child(stream, "sample", draw))
    synthetic = as_set(
        made, windows, generator=kind_name, unit=budget.unit, epsilon=budget.epsilon, seed=seed
    )
    fitted = registry.model("detectors", detector_name).fit(
        detector.Settings(), detectors.Training(features_of(synthetic), NOT_PRIVATE, stream)
    )
    return Taught(windows, synthetic, scores(fitted, seed, level), seconds)
