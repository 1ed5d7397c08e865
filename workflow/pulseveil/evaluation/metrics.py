"""Metrics of detectors, each computed from the stored columns of `Scores` alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulseveil.core.arrays import Bools
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
    stress, predicted = scores.stress, scores.predicted
    against = stress | (scores.condition == AMUSEMENT)
    both = bool(stress[against].any() and not stress[against].all())
    return {
        **_decision_metrics(stress, predicted),
        **_score_metrics(stress, scores.score),
        "f1_published": two_output_f1(stress, scores.score, scores.score_rest),
        "accuracy_amusement": float((stress == predicted)[against].mean()) if both else np.nan,
        "auroc_amusement": auroc(stress[against], scores.score[against]),
    }


def per_subject(scores: Scores) -> pd.DataFrame:
    """One row per tested (fold, subject), in the order of the file.

    Columns: fold, subject, windows, stress_windows, then each metric of `NAMES`, NaN where undefined.
    """
    # Not by subject alone: a protocol may test a subject in several folds, by different detectors.
    pairs = pd.MultiIndex.from_arrays([scores.fold, scores.subject])
    codes, tested = pairs.factorize()
    rows = []
    for code, (fold, subject) in enumerate(tested):
        own = scores.take(codes == code)
        counts = {"windows": len(own), "stress_windows": int(own.stress.sum())}
        rows.append({"fold": fold, "subject": subject, **counts, **pooled(own)})
    return pd.DataFrame(rows, columns=["fold", "subject", "windows", "stress_windows", *NAMES])


def two_output_f1(stress: Bools, score: NDArray[np.floating], score_rest: NDArray[np.floating]) -> float:
    """The F1 of the published tables: both outputs, cut at 0.5, flattened against the one-hot truth.

    For outputs that sum to 1 it equals the accuracy, so that the constant answer "rest" reaches the share of
    rest. 0 if no output is above 0.5. Source: the code of Lange et al., Sensors 2024, 24(10):3052.

    Examples:
        >>> stress = np.array([True, False, False, False])
        >>> two_output_f1(stress, score=np.zeros(4), score_rest=np.ones(4))
        0.75
    """
    on_stress, on_rest = score > 0.5, score_rest > 0.5
    hits = int((on_stress & stress).sum() + (on_rest & ~stress).sum())
    on = int(on_stress.sum() + on_rest.sum())
    # The one-hot truth has one positive per window: `len(stress)` is the number of positives.
    return 2 * hits / (on + len(stress)) if len(stress) else np.nan


def auroc(stress: Bools, score: NDArray[np.floating]) -> float:
    """Area under the ROC curve of score (n) for stress (n); NaN without both classes or finite scores.

    Examples:
        >>> auroc(np.array([True, False, True]), np.array([0.9, 0.2, 0.2]))
        0.75
    """
    if stress.all() or not stress.any() or not np.isfinite(score).all():
        return np.nan
    # Sums over distinct scores: the number of pairs of windows is quadratic.
    positive, negative = _by_score(stress, score)
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))


def average_precision(stress: Bools, score: NDArray[np.floating]) -> float:
    """Mean precision at each step of recall, weighted by the step; NaN without stress or finite scores.

    Examples:
        >>> average_precision(np.array([True, False, False, True]), np.array([0.9, 0.5, 0.4, 0.3]))
        0.75
    """
    if not stress.any() or not np.isfinite(score).all():
        return np.nan
    positive, negative = (counts[::-1] for counts in _by_score(stress, score))
    precision = np.cumsum(positive) / np.cumsum(positive + negative)
    return float((positive * precision).sum() / positive.sum())


def _by_score(stress: Bools, score: NDArray[np.floating]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Numbers of stress and of rest windows per distinct score, ascending, so that ties share one step."""
    values, step = np.unique(score, return_inverse=True)
    positive = np.bincount(step[stress], minlength=len(values))
    return positive, np.bincount(step, minlength=len(values)) - positive


def _decision_metrics(stress: Bools, predicted: Bools) -> dict[str, float]:
    total, positive, alarms = len(stress), int(stress.sum()), int(predicted.sum())
    hits = int((stress & predicted).sum())
    negative, quiet_hits = total - positive, total - positive - (alarms - hits)
    has_stress, has_both = positive > 0, positive > 0 and negative > 0
    f1 = 2 * hits / (alarms + positive) if has_stress else np.nan
    rest_f1 = 2 * quiet_hits / (total - alarms + negative) if has_both else np.nan
    return {
        "accuracy": (hits + quiet_hits) / total if total else np.nan,
        "balanced_accuracy": (hits / positive + quiet_hits / negative) / 2 if has_both else np.nan,
        # Without alarms 0 and not NaN, which would leave a detector that never alarms out of means.
        "precision": hits / max(alarms, 1) if has_stress else np.nan,
        "recall": hits / positive if has_stress else np.nan,
        "f1": f1,
        "macro_f1": (f1 + rest_f1) / 2,
    }


def _score_metrics(stress: Bools, score: NDArray[np.floating]) -> dict[str, float]:
    return {
        "auroc": auroc(stress, score),
        "average_precision": average_precision(stress, score),
        "brier": float(np.square(score.astype(np.float64) - stress).mean()) if len(stress) else np.nan,
    }
