"""Membership inference by likelihood ratios (LiRA; Carlini et al. 2022), and its designs.

A design names the trainings that are compared: with and without a record, all else being equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pulseveil.audit.bounds import (
    LEVEL,
    AttackCounts,
    ConfidenceInterval,
    area_under_curve,
    auc_interval,
    counts_above,
    counts_without_false_alarm,
)
from pulseveil.core.arrays import Bools, Floats
from pulseveil.core.contracts import FeatureSet, WindowSet
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import Stream, child
from pulseveil.study.audit_settings import FEWEST_TRAININGS

# Trainings without randomness repeat their scores: this share of a score's size replaces a spread of 0.
_SMALLEST_SPREAD = 1e-9


@dataclass(frozen=True)
class RecordAttack:
    """Result of the attack on one record: a person, or one window.

    auc: of the scores of its trainings; below .5 if models are less sure of records that they were trained
        on.
    counts: of calls of "in" for margins above 0, a threshold fixed beforehand; they bound epsilon. strictest:
    counts at the smallest false positive rate, which are descriptive.
    """

    record: str
    auc: float
    counts: AttackCounts
    strictest: AttackCounts

    def auc_interval(self, level: float = LEVEL) -> ConfidenceInterval:
        """Approximate confidence interval of the AUC."""
        return auc_interval(self.auc, self.counts.members, self.counts.non_members, level)


def label_confidence(score: NDArray[np.floating], stress: Bools) -> Floats:
    """Logit log(p / (1 - p)) (n) of the probability p that a detector gives to the true label of n windows.

    score (n): the detector's probability of stress. stress (n): the labels.

    Source: Carlini et al. 2022, where this logit is close to normal, and a loss is not.

    Examples:
        >>> label_confidence(np.array([0.9, 0.9]), np.array([True, False])).round(3).tolist()
        [2.197, -2.197]
    """
    # Float32 scores can be exactly 0 or 1, whose logit is infinite.
    certain = np.finfo(np.float32).eps
    p = np.clip(np.where(stress, score, 1 - score).astype(np.float64), certain, 1 - certain)
    return np.asarray(special.logit(p), dtype=np.float64)


def record_means(values: Floats, record: NDArray[np.str_]) -> Floats:
    """Means (records) of values (n) over each record's windows; records are sorted by their names (n)."""
    _, index = np.unique(record, return_inverse=True)
    return np.asarray(np.bincount(index, values) / np.bincount(index), dtype=np.float64)


def margins(scores: Floats, members: Bools) -> Floats:
    """Likelihood-ratio margins (models, records): distance of each score to the side of "in".

    The scores of a record are modelled as normal, with one mean in trainings that include it, another one in
    trainings that lack it, and one variance. The likelihood ratio of "in" and "out" is above 1 on that side
    of the means' midpoint where "in" lies. The margin is the distance from the midpoint to that side, in
    standard deviations. The judged training is left out of means and variance.

    Args:
        scores: (models, records), higher if the model seems to include the record; NaN if the training is not
            used for this record, because it lacks another person and is not a neighbour of the others.
        members: (models, records), whether the training included the record.

    Raises:
        InputError: a record has fewer than 3 trainings of a side.

    Source: Carlini et al. 2022, algorithm 1, with a fixed variance as they advise for few models.
    """
    used = ~np.isnan(scores)
    saw, lacked = used & members, used & ~members
    fewest = int(min(saw.sum(axis=0).min(), lacked.sum(axis=0).min()))
    if fewest < FEWEST_TRAININGS:
        raise InputError(
            f"membership audit: a record has {fewest} trainings with or without it; expected at least "
            f"{FEWEST_TRAININGS} of both; raise the number of trainings"
        )
    mean_in, squares_in = _moments_without_own(scores, saw)
    mean_out, squares_out = _moments_without_own(scores, lacked)
    # One variance for both sides: with tens of trainings, two would be noise. Its degrees of freedom are
    # those of all trainings but the judged one, less two means.
    deviation = np.sqrt((squares_in + squares_out) / (used.sum(axis=0) - 3))
    floor = _SMALLEST_SPREAD * np.nanmax(np.abs(scores), axis=0) + np.finfo(np.float64).tiny
    # The sign catches models that are less sure of records that they were trained on.
    toward_in = np.sign(mean_in - mean_out) * (scores - (mean_in + mean_out) / 2)
    return np.asarray(toward_in / np.maximum(deviation, floor), dtype=np.float64)


def attack_records(scores: Floats, members: Bools, records: Sequence[str]) -> tuple[RecordAttack, ...]:
    """Membership attack on each record; arrays as in `margins`.

    A training counts once per record, however many windows the record has: all switch together. If trainings
    are folds of a leave-one-out test, a training without a person contains another one instead: the attack
    measures a swap, and its bounds belong beside the epsilon of replace-one neighbours.
    """
    # AUC and strictest counts rank scores, and not margins: margins, each judged by other trainings, lie
    # about .06 too low in AUC if there is nothing to find.
    sides = margins(scores, members)
    used = ~np.isnan(scores)
    attacks = []
    for i, name in enumerate(records):
        saw, lacked = used[:, i] & members[:, i], used[:, i] & ~members[:, i]
        counts = counts_above(0.0, sides[saw, i], sides[lacked, i])
        attacks.append(_attack(name, counts, scores[saw, i], scores[lacked, i]))
    return tuple(attacks)


def pooled(scores: Floats, members: Bools) -> RecordAttack:
    """Membership attack on all records together, ranked by their margins; arrays as in `margins`.

    It is descriptive: records that share a training are not independent, so that intervals and bounds have no
    known error rate, and no claim may fail by them.
    """
    sides = margins(scores, members)
    saw, lacked = sides[~np.isnan(sides) & members], sides[~np.isnan(sides) & ~members]
    return _attack("all (descriptive)", counts_above(0.0, saw, lacked), saw, lacked)


def _attack(name: str, counts: AttackCounts, saw: Floats, lacked: Floats) -> RecordAttack:
    return RecordAttack(name, area_under_curve(saw, lacked), counts, counts_without_false_alarm(saw, lacked))


def _moments_without_own(scores: Floats, side: Bools) -> tuple[Floats, Floats]:
    """Mean and sum of squared deviations (models, records) of a side's scores, without the row's own."""
    values = np.where(side, scores, 0.0)
    count = side.sum(axis=0)
    mean = values.sum(axis=0) / count
    deviations = np.where(side, scores - mean, 0.0)
    squares = np.square(deviations).sum(axis=0)
    # Without a value of deviation d, the mean moves by d / (n - 1) and the squares lose d^2 n / (n - 1).
    own_mean = mean - deviations / (count - 1)
    own_squares = squares - np.square(deviations) * count / (count - 1)
    # Rounding can leave a difference of equal numbers below 0, and its root would be no number.
    return own_mean, np.maximum(own_squares, 0.0)


Records = TypeVar("Records", FeatureSet, WindowSet)
Train = Callable[[Records, Stream], Callable[[Records], Floats]]
"""Trains a model on rows, with a stream of its own, and returns its answer: one number per row."""


@dataclass(frozen=True, eq=False)
class Design:
    """Models of an audit, by the records that they are trained on.

    members (models, records): whether a model is trained on a record. compared (models, records): whether the
    model is used to attack a record; it then differs from other models in this record alone, or in others at
    random.
    """

    members: Bools
    compared: Bools


def leave_one_out(records: int, trainings: int) -> Design:
    """Design for few records, such as people: `trainings` models of all, and as many without each record.

    A model trained without record i is used to attack record i only: for another record, it is not a
    neighbour of the full models.

    Examples:
        >>> leave_one_out(records=2, trainings=1).members.tolist()
        [[True, True], [False, True], [True, False]]
    """
    lacked = np.repeat(np.arange(-1, records), trainings)[:, np.newaxis]
    members = lacked != np.arange(records)
    return Design(members, ~members | (lacked == -1))


def random_halves(records: int, trainings: int, generator: np.random.Generator) -> Design:
    """Design for many records: 2 `trainings` models, with each record in a random half of them.

    Halves of different records are independent.
    """
    half = np.arange(2 * trainings)[:, np.newaxis] < trainings
    members = generator.permuted(np.broadcast_to(half, (2 * trainings, records)), axis=0)
    return Design(members, np.ones_like(members))


def train_design(
    train: Train[Records], rows: Records, record: NDArray[np.str_], design: Design, stream: Stream
) -> Floats:
    """Train all models of a design; scores (models, records) are NaN where a model is not compared.

    A score is the mean over the record's rows of the model's answer.

    Args:
        record: (n), for each of `rows` the name of its record, a person or the window itself; the design's
            records are in sorted order of names.

    Raises:
        InputError: the design has another number of records than `record` names.
    """
    names, owner = np.unique(record, return_inverse=True)
    if len(names) != design.members.shape[1]:
        raise InputError(
            f"audit: expected {design.members.shape[1]} records by the design, found {len(names)}"
        )
    scores = np.empty(design.members.shape)
    for i, members in enumerate(design.members):
        answer = train(rows.take(members[owner]), child(stream, "model", i))
        scores[i] = record_means(answer(rows), record)
    return np.where(design.compared, scores, np.nan)
