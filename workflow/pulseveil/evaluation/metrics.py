"""Metrics of detectors, each computed from the stored columns of `Scores` alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulseveil.core.arrays import Bools, Floats
from pulseveil.core.contracts import AMUSEMENT, Scores


@dataclass(frozen=True)
class Metric:
    """Column of the metric tables: name, meaning in one line, direction, and a title for the main table.

    Only the headline metrics, which the main table shows, have a title.
    """

    name: str
    meaning: str
    higher_is_better: bool = True
    title: str = ""


METRICS: tuple[Metric, ...] = (
    Metric("accuracy", "share of windows classified correctly", title="Accuracy"),
    Metric("balanced_accuracy", "mean of the recalls of stress and rest"),
    Metric("precision", "share of stress alarms that are correct; 0 if there is no alarm"),
    Metric("recall", "share of stress windows that are detected"),
    Metric("f1", "harmonic mean of stress precision and recall", title="Stress F1"),
    Metric("macro_f1", "mean of the F1 of stress and the F1 of rest", title="Macro F1"),
    Metric(
        "auroc",
        "probability that a stress window scores above a rest window; ties count half",
        title="AUROC",
    ),
    Metric("average_precision", "area under the step curve of precision over recall of stress"),
    Metric("brier", "mean squared error of the score as a probability of stress", higher_is_better=False),
    Metric(
        "f1_published",
        "published F1 over two outputs: close to the accuracy, so that a constant answer reaches the "
        "share of the majority",
        title="Published F1",
    ),
    # Baseline always comes first: elapsed time alone, and so any drifting sensor, separates it from stress.
    # Amusement comes after the baseline as stress does.
    Metric("accuracy_amusement", "share of stress and amusement windows classified correctly"),
    Metric("auroc_amusement", "AUROC of stress against amusement: both are active and come after rest"),
)
NAMES: tuple[str, ...] = tuple(metric.name for metric in METRICS)


def pooled(scores: Scores) -> dict[str, float]:
    """Each metric over all windows together, keyed by `NAMES`; NaN if a metric is undefined.

    Metrics of stress need a stress window. AUROC, balanced accuracy and macro F1 also need a rest window. The
    amusement metrics need a stress window and an amusement window. Metrics of the score need finite scores.
    """
    return {name: float(values[0]) for name, values in _metrics(scores, _one_group(len(scores))).items()}


def per_subject(scores: Scores) -> pd.DataFrame:
    """One row per tested (fold, subject), in the order of the file.

    Columns: fold, subject, windows, stress_windows, then each metric of `NAMES`, NaN where undefined.
    """
    # Not by subject alone: a protocol may test a subject in several folds, by different detectors.
    (folds, _), (subjects, names) = pd.factorize(scores.fold), pd.factorize(scores.subject)
    codes, tested = pd.factorize(folds * len(names) + subjects)
    groups, first = _Groups(codes, len(tested)), np.unique(codes, return_index=True)[1]
    columns = {
        "fold": scores.fold[first].astype(object),
        "subject": scores.subject[first].astype(object),
        "windows": groups.count(np.ones(len(scores), dtype=bool)),
        "stress_windows": groups.count(scores.stress),
        **_metrics(scores, groups),
    }
    return pd.DataFrame(columns, columns=["fold", "subject", "windows", "stress_windows", *NAMES])


def two_output_f1(stress: Bools, score: NDArray[np.floating], score_rest: NDArray[np.floating]) -> float:
    """The F1 of the published tables: both outputs, cut at 0.5, flattened against the one-hot truth.

    For outputs that sum to 1 it equals the accuracy, so that the constant answer "rest" reaches the share of
    rest. 0 if no output is above 0.5. Source: the code of Lange et al., Sensors 2024, 24(10):3052.

    Examples:
        >>> stress = np.array([True, False, False, False])
        >>> two_output_f1(stress, score=np.zeros(4), score_rest=np.ones(4))
        0.75
    """
    return float(_two_output_f1(stress, score, score_rest, _one_group(len(stress)))[0])


def auroc(stress: Bools, score: NDArray[np.floating]) -> float:
    """Area under the ROC curve of score (n) for stress (n); NaN without both classes or finite scores.

    Examples:
        >>> auroc(np.array([True, False, True]), np.array([0.9, 0.2, 0.2]))
        0.75
    """
    return float(_auroc(stress, score, _one_group(len(stress)))[0])


def average_precision(stress: Bools, score: NDArray[np.floating]) -> float:
    """Mean precision at each step of recall, weighted by the step; NaN without stress or finite scores.

    Examples:
        >>> average_precision(np.array([True, False, False, True]), np.array([0.9, 0.5, 0.4, 0.3]))
        0.75
    """
    return float(_average_precision(stress, score, _one_group(len(stress)))[0])


@dataclass(frozen=True, eq=False)
class _Groups:
    """Windows in groups that are measured apart: codes (n) in 0..number-1."""

    codes: NDArray[np.intp]
    number: int

    def count(self, chosen: Bools) -> NDArray[np.intp]:
        """Number of chosen (n) windows of each group (number)."""
        return np.bincount(self.codes[chosen], minlength=self.number)

    def sum(self, values: NDArray[Any]) -> Floats:
        """Sum of values (n) of each group (number)."""
        return np.bincount(self.codes, values, minlength=self.number).astype(np.float64)

    def take(self, chosen: Bools) -> _Groups:
        """The groups of the chosen (n) windows alone."""
        return _Groups(self.codes[chosen], self.number)


def _one_group(windows: int) -> _Groups:
    return _Groups(np.zeros(windows, dtype=np.intp), 1)


def _metrics(scores: Scores, groups: _Groups) -> dict[str, Floats]:
    """Each metric of `NAMES` of each group (number)."""
    stress, predicted = scores.stress, scores.predicted
    against = stress | (scores.condition == AMUSEMENT)
    both = (groups.count(stress) > 0) & (groups.count(against) > groups.count(stress))
    squares = np.square(scores.score.astype(np.float64) - stress)
    return {
        **_decision_metrics(stress, predicted, groups),
        "auroc": _auroc(stress, scores.score, groups),
        "average_precision": _average_precision(stress, scores.score, groups),
        "brier": _ratio(groups.sum(squares), groups.count(np.ones_like(stress))),
        "f1_published": _two_output_f1(stress, scores.score, scores.score_rest, groups),
        "accuracy_amusement": _ratio(
            groups.count(against & (stress == predicted)), np.where(both, groups.count(against), 0)
        ),
        "auroc_amusement": _auroc(stress[against], scores.score[against], groups.take(against)),
    }


def _decision_metrics(stress: Bools, predicted: Bools, groups: _Groups) -> dict[str, Floats]:
    total, positive, alarms = map(groups.count, (np.ones_like(stress), stress, predicted))
    hits = groups.count(stress & predicted)
    negative, quiet_hits = total - positive, total - positive - (alarms - hits)
    # 0 where a class is missing: a ratio is undefined there.
    stressed, rested = (np.where(positive > 0, 1, 0), np.where((positive > 0) & (negative > 0), 1, 0))
    f1 = _ratio(2 * hits, (alarms + positive) * stressed)
    return {
        "accuracy": _ratio(hits + quiet_hits, total),
        "balanced_accuracy": (_ratio(hits, positive * rested) + _ratio(quiet_hits, negative * rested)) / 2,
        # Without alarms 0 and not NaN, which would leave a detector that never alarms out of means.
        "precision": _ratio(hits, np.maximum(alarms, 1) * stressed),
        "recall": _ratio(hits, positive),
        "f1": f1,
        "macro_f1": (f1 + _ratio(2 * quiet_hits, (total - alarms + negative) * rested)) / 2,
    }


def _two_output_f1(
    stress: Bools, score: NDArray[np.floating], score_rest: NDArray[np.floating], groups: _Groups
) -> Floats:
    on_stress, on_rest = score > 0.5, score_rest > 0.5
    hits = groups.count(on_stress & stress) + groups.count(on_rest & ~stress)
    windows = groups.count(np.ones_like(stress))
    # The one-hot truth has one positive per window: `windows` is the number of positives.
    return _ratio(
        2 * hits, np.where(windows > 0, groups.count(on_stress) + groups.count(on_rest) + windows, 0)
    )


def _auroc(stress: Bools, score: NDArray[np.floating], groups: _Groups) -> Floats:
    # Sums over distinct scores: the number of pairs of windows is quadratic.
    positive, negative, of = _by_score(stress, score, groups)
    below = _sums_before(negative, of) + negative / 2
    pairs = groups.count(stress) * groups.count(~stress)
    return _if_finite(_ratio(of.sum(positive * below), pairs), score, groups)


def _average_precision(stress: Bools, score: NDArray[np.floating], groups: _Groups) -> Floats:
    positive, negative, of = _by_score(stress, -score, groups)
    alarms = _sums_before(positive + negative, of) + positive + negative
    precision = (_sums_before(positive, of) + positive) / alarms
    return _if_finite(_ratio(of.sum(positive * precision), groups.count(stress)), score, groups)


def _by_score(
    stress: Bools, score: NDArray[np.floating], groups: _Groups
) -> tuple[NDArray[np.intp], NDArray[np.intp], _Groups]:
    """Numbers of stress and of rest windows per distinct score of a group, ascending, and its groups.

    Ties share one step.
    """
    order = np.lexsort((score, groups.codes))
    stress, score, codes = stress[order], score[order], groups.codes[order]
    begins = np.r_[True, (np.diff(codes) > 0) | (score[1:] != score[:-1])][: len(codes)]
    step = np.cumsum(begins) - 1
    positive = np.bincount(step[stress], minlength=int(begins.sum()))
    return positive, np.bincount(step) - positive, _Groups(codes[begins], groups.number)


def _sums_before(counts: NDArray[np.intp], groups: _Groups) -> NDArray[np.intp]:
    """Sum of the counts (n) of a group before each of its members; groups lie next to each other."""
    before = np.cumsum(counts) - counts
    first = np.flatnonzero(np.r_[True, np.diff(groups.codes) > 0][: len(counts)])
    return before - np.repeat(before[first], np.diff(np.r_[first, len(counts)]))


def _ratio(values: NDArray[Any], of: NDArray[Any]) -> Floats:
    """Quotient of each group (number); NaN where the divisor is 0."""
    quotient = np.full(len(of), np.nan)
    np.divide(values, of, out=quotient, where=of > 0)
    return quotient


def _if_finite(values: Floats, score: NDArray[np.floating], groups: _Groups) -> Floats:
    """The `values` of groups whose scores are all finite, otherwise NaN."""
    return np.where(groups.count(~np.isfinite(score)) > 0, np.nan, values)
