"""Scores of new recordings by a detector that a study has kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pulseveil.cohorts import Cohort, CohortSettings, require_units
from pulseveil.core import registry, store, tensorflow
from pulseveil.core.contracts import CONDITIONS
from pulseveil.core.errors import InputError
from pulseveil.detectors import Fitted
from pulseveil.runs import training
from pulseveil.study.jobs import DetectorJob, read_detectors
from pulseveil.windows.cutting import WholeWindows, cut_whole
from pulseveil.windows.features import extract_features
from pulseveil.windows.recipe import Recipe
from pulseveil.windows.signals import ALL_SIGNALS, of_signals

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class KeptDetector:
    """A detector of a study, and how recordings become its features.

    form: statistics and spectra (signals, bins) that the detector learnt from. signals: what the detector
    reads of the channels (`windows.signals`).
    """

    job: DetectorJob
    fold: str
    fitted: Fitted
    form: Mapping[str, Any]
    signals: str = ALL_SIGNALS

    def recipe(self, stride_s: int | None = None) -> Recipe:
        """Recipe of the windows; stride_s: seconds between their starts, by default those of the study."""
        how = self.job.preparation.model_dump(exclude={"protocol", "pairing"})
        given = how if stride_s is None else how | {"stride_s": stride_s}
        return Recipe.with_defaults(self.job.preparation.protocol, "detector", **given)


def choose_fold(path: Path, models: store.Models, fold: str | None) -> str:
    """The wanted fold of a file of detectors, or its only one.

    Raises:
        InputError: the file has several folds and none is wanted, or not the wanted one.
    """
    folds = ", ".join(models.arrays)
    if fold is None and len(models.arrays) > 1:
        raise InputError(
            f"{path}: expected the fold of one detector, found {len(models.arrays)} folds; give one by "
            f"--fold: {folds}"
        )
    chosen = fold or next(iter(models.arrays))
    if chosen not in models.arrays:
        raise InputError(f"{path}: no fold {chosen}; expected one of {folds}")
    return chosen


def read_detector(path: Path, fold: str | None = None) -> KeptDetector:
    """Read one detector of a file; fold: which one, needed if the file has several.

    Raises:
        InputError: the file holds no detectors, not the one of this fold, or arrays of another kind.
    """
    models = read_detectors(path)
    job = DetectorJob.model_validate(models.description["job"])
    chosen = choose_fold(path, models, fold)
    kind = registry.load("detectors", job.kind)
    if kind.uses_tensorflow:
        tensorflow.start(job.threads)
    fitted = training.restored("detectors", job, models.arrays[chosen], f"{path}: fold {chosen}")
    signals = models.description["keys"].get("signals", ALL_SIGNALS)
    return KeptDetector(job, chosen, fitted, models.description["form"], signals)


def score_people(
    detector: KeptDetector, settings: CohortSettings, stride_s: int | None = None
) -> Iterator[pd.DataFrame]:
    """Scores of all windows of a cohort's recordings, one table per person.

    Columns: subject; start_s and end_s, seconds since the start of the person's first recording; condition,
    empty where the labels have none; score and predicted, empty where a sensor measured too little; one
    `measured_SENSOR` per sensor, the share of the window that it measured, and one for the heart rate, the
    share in which it is clear.

    Raises:
        InputError: the recordings cannot be read or scaled, or give other features than the detector knows.
    """
    recipe = detector.recipe(stride_s)
    require_units(settings.kind, recipe.protocol, recipe.channels, recipe.scaling)
    cohort: Cohort = registry.load("cohorts", settings.kind)(settings)
    for subject, own in groupby(cohort.recordings(), lambda recording: recording.subject):
        table = _table(detector, cut_whole(list(own), recipe))
        logger.info("%s: %d windows, %d with stress", subject, len(table), (table.predicted == 1).sum())
        yield table


def _table(detector: KeptDetector, cut: WholeWindows) -> pd.DataFrame:
    windows, used = cut.windows, cut.usable
    how = detector.job.preparation
    features = extract_features(windows.take(used), protocol=how.protocol, pairing=how.pairing)
    found = {
        "statistic_names": list(features.statistic_names),
        "spectra": list(features.features.shape[1:]),
    }
    if used.any() and found != dict(detector.form):
        raise InputError(
            f"{windows.subject[0]}: the detector learnt from spectra (signals, bins) of "
            f"{detector.form['spectra']} and {len(detector.form['statistic_names'])} statistics, found "
            f"{found['spectra']} and {len(found['statistic_names'])}; use a detector of this version"
        )
    try:
        # Without labels: no detector may read them.
        read = of_signals(features, detector.signals, detector.job.channels)
        outputs = detector.fitted.score(replace(read, stress=np.zeros(len(read), bool)))
    except (IndexError, ValueError) as error:
        raise InputError(
            f"{windows.subject[0]}: the detector cannot read these windows ({error}); is its file damaged?"
        ) from None
    score, predicted = np.full(len(windows), np.nan), np.full(len(windows), pd.NA, object)
    score[used], predicted[used] = outputs.score, outputs.predicted.astype(int)
    names = np.array([*CONDITIONS, ""])
    return pd.DataFrame(
        {
            "subject": windows.subject,
            "start_s": windows.start_s,
            "end_s": windows.start_s + windows.window_s,
            "condition": names[windows.condition],
            "score": score,
            "predicted": pd.array(predicted, dtype="Int8"),
            **{f"measured_{name.replace(' ', '_')}": share for name, share in cut.shares.items()},
        }
    )
