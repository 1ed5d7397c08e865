"""Metrics of detectors, each computed from the stored columns of `Scores` alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, eq=False)
class Measured:
    """Metrics of several files of scores.

    pooled: one row per file, with the metrics of `pooled`. per_subject: the rows of `per_subject` of all
    files in succession, after a column `file` with the number of the file.
    """

    pooled: pd.DataFrame
    per_subject: pd.DataFrame


def pooled(scores: Scores) -> dict[str, float]:
    """Each metric over all windows together, keyed by `NAMES`; NaN if a metric is undefined.

    Metrics of stress need a stress window. AUROC, balanced accuracy and macro F1 also need a rest window. The
    amusement metrics need a stress window and an amusement window. Metrics of the score need finite scores.
    """
    return {str(name): float(value) for name, value in measure([scores]).pooled.iloc[0].items()}


def per_subject(scores: Scores) -> pd.DataFrame:
    """One row per tested (fold, subject), in the order of the file.

    Columns: fold, subject, windows, stress_windows, then each metric of `NAMES`, NaN where undefined.
    """
    return measure([scores]).per_subject.drop(columns="file")


def measure(files: Sequence[Scores]) -> Measured:
    """Metrics of several files at once, which takes a fraction of the time of one file after the other."""
    windows = [len(scores) for scores in files]
    scores = Scores.concatenate([replace(each, keys={}, ledger=_NO_LEDGER) for each in files])
    of_file = _Groups(np.repeat(np.arange(len(files)), windows), len(files))
    tested = _tested(files)
    # Rows and groups of a file follow those of the files before it.
    rows, groups = (
        np.cumsum([0, *counts[:-1]]) for counts in (windows, [len(each.first) for each in tested])
    )
    codes = np.concatenate([each.codes + start for each, start in zip(tested, groups.tolist(), strict=True)])
    first = np.concatenate([each.first + start for each, start in zip(tested, rows.tolist(), strict=True)])
    people = _Groups(codes, len(first))
    columns = {
        "file": of_file.codes[first],
        "fold": scores.fold[first].astype(object),
        "subject": scores.subject[first].astype(object),
        "windows": people.count(np.ones(len(scores), dtype=bool)),
        "stress_windows": people.count(scores.stress),
        **_metrics(scores, people),
    }
    return Measured(
        pd.DataFrame(_metrics(scores, of_file), columns=list(NAMES)),
        pd.DataFrame(columns, columns=["file", "fold", "subject", "windows", "stress_windows", *NAMES]),
    )


_NO_LEDGER = np.array([], dtype=np.str_)


@dataclass(frozen=True, eq=False)
class _Tested:
    """Tested pairs of fold and subject of a file: number of the pair of each window, first window of each."""

    codes: NDArray[np.intp]
    first: NDArray[np.intp]


def _tested(files: Sequence[Scores]) -> list[_Tested]:
    found = list[_Tested]()
    for before, scores in zip([None, *files], files, strict=False):
        # Files of one evaluation test the same people.
        if before is not None and _same_people(before, scores):
            found.append(found[-1])
            continue
        # Not by subject alone: a protocol may test a subject in several folds, by different detectors.
        (folds, _), (subjects, names) = pd.factorize(scores.fold), pd.factorize(scores.subject)
        codes, _ = pd.factorize(folds * len(names) + subjects)
        found.append(_Tested(codes, np.unique(codes, return_index=True)[1]))
    return found


def _same_people(one: Scores, other: Scores) -> bool:
    return np.array_equal(one.fold, other.fold) and np.array_equal(one.subject, other.subject)


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
    return float(_auroc(_ranked(stress, score, _one_group(len(stress))))[0])


def average_precision(stress: Bools, score: NDArray[np.floating]) -> float:
    """Mean precision at each step of recall, weighted by the step; NaN without stress or finite scores.

    Examples:
        >>> average_precision(np.array([True, False, False, True]), np.array([0.9, 0.5, 0.4, 0.3]))
        0.75
    """
    return float(_average_precision(_ranked(stress, score, _one_group(len(stress))))[0])


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
    ranked = _ranked(stress, scores.score, groups)
    return {
        **_decision_metrics(stress, predicted, groups),
        "auroc": _auroc(ranked),
        "average_precision": _average_precision(ranked),
        "brier": _ratio(groups.sum(squares), groups.count(np.ones_like(stress))),
        "f1_published": _two_output_f1(stress, scores.score, scores.score_rest, groups),
        "accuracy_amusement": _ratio(
            groups.count(against & (stress == predicted)), np.where(both, groups.count(against), 0)
        ),
        "auroc_amusement": _auroc(ranked.take(against[ranked.order])),
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


@dataclass(frozen=True, eq=False)
class _Ranked:
    """Windows of each group by ascending score: stress, score and groups (n), and their `order` before."""

    stress: Bools
    score: NDArray[np.floating]
    groups: _Groups
    order: NDArray[np.intp]

    def take(self, chosen: Bools) -> _Ranked:
        """The chosen (n) windows alone."""
        return _Ranked(self.stress[chosen], self.score[chosen], self.groups.take(chosen), self.order[chosen])

    def steps(self) -> tuple[NDArray[np.intp], NDArray[np.intp], _Groups]:
        """Numbers of stress and of rest windows per distinct score of a group, ascending, and its groups.

        Ties share one step.
        """
        codes, score = self.groups.codes, self.score
        begins = np.r_[True, (codes[1:] != codes[:-1]) | (score[1:] != score[:-1])][: len(codes)]
        step = np.cumsum(begins) - 1
        positive = np.bincount(step[self.stress], minlength=int(begins.sum()))
        return positive, np.bincount(step) - positive, _Groups(codes[begins], self.groups.number)

    def if_finite(self, values: Floats) -> Floats:
        """The `values` of groups whose scores are all finite, otherwise NaN."""
        return np.where(self.groups.count(~np.isfinite(self.score)) > 0, np.nan, values)


def _ranked(stress: Bools, score: NDArray[np.floating], groups: _Groups) -> _Ranked:
    # Sorted once for all metrics of ranks, since sorting takes most of their time.
    order = np.lexsort((score, groups.codes))
    return _Ranked(stress[order], score[order], _Groups(groups.codes[order], groups.number), order)


def _auroc(ranked: _Ranked) -> Floats:
    # Sums over distinct scores: the number of pairs of windows is quadratic.
    positive, negative, of = ranked.steps()
    below = _sums_before(negative, of) + negative / 2
    pairs = ranked.groups.count(ranked.stress) * ranked.groups.count(~ranked.stress)
    return ranked.if_finite(_ratio(of.sum(positive * below), pairs))


def _average_precision(ranked: _Ranked) -> Floats:
    positive, negative, of = ranked.steps()
    # From the highest score of each group to the lowest.
    positive, negative, of = positive[::-1], negative[::-1], _Groups(of.codes[::-1], of.number)
    alarms = _sums_before(positive + negative, of) + positive + negative
    precision = (_sums_before(positive, of) + positive) / alarms
    return ranked.if_finite(_ratio(of.sum(positive * precision), ranked.groups.count(ranked.stress)))


def _sums_before(counts: NDArray[np.intp], groups: _Groups) -> NDArray[np.intp]:
    """Sum of the counts (n) of a group before each of its members; groups lie next to each other."""
    before = np.cumsum(counts) - counts
    first = np.flatnonzero(np.r_[True, np.diff(groups.codes) != 0][: len(counts)])
    return before - np.repeat(before[first], np.diff(np.r_[first, len(counts)]))


def _ratio(values: NDArray[Any], of: NDArray[Any]) -> Floats:
    """Quotient of each group (number); NaN where the divisor is 0."""
    quotient = np.full(len(of), np.nan)
    np.divide(values, of, out=quotient, where=of > 0)
    return quotient
