"""Membership inference by likelihood ratios (LiRA; Carlini et al. 2022), and its designs.

A design says which trainings are compared: with and without a record, all else being equal.
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
    Floats,
    Interval,
    area_under_curve,
    auc_interval,
    counts_above,
    counts_without_false_alarm,
)
from pulseveil.core.contracts import FeatureSet, WindowSet
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import Stream, child
from pulseveil.study.audit_settings import FEWEST_TRAININGS

Flags = NDArray[np.bool_]

# Equal trainings give equal scores: this share of their size stands in for a spread of zero.
_SMALLEST_SPREAD = 1e-9


@dataclass(frozen=True)
class RecordAttack:
    """What an attack finds out about one record: a person, or one window.

    auc: of the scores of its trainings; below .5 where models are less sure of what they have seen. counts:
    of calling a margin above 0 "in", a threshold fixed beforehand; they bound epsilon. strictest: at the
    smallest false positive rate, which describes only.
    """

    record: str
    auc: float
    counts: AttackCounts
    strictest: AttackCounts

    def auc_interval(self, level: float = LEVEL) -> Interval:
        """Approximate interval of the AUC."""
        return auc_interval(self.auc, self.counts.members, self.counts.non_members, level)


def label_confidence(score: NDArray[np.floating], stress: Flags) -> Floats:
    """log(p / (1 - p)) (n), p the probability that a detector gives to the true label of n windows.

    score (n): its probability of stress; stress (n): the labels.

    Source: Carlini et al. 2022: this logit is close to normal, a loss is not.
    """
    certain = np.finfo(np.float32).eps
    p = np.clip(np.where(stress, score, 1 - score).astype(np.float64), certain, 1 - certain)
    return np.asarray(special.logit(p), dtype=np.float64)


def record_means(values: Floats, record: NDArray[np.str_]) -> Floats:
    """Means (records) of the values (n) of each record's windows; record (n) names it, in sorted order."""
    _, index = np.unique(record, return_inverse=True)
    return np.asarray(np.bincount(index, values) / np.bincount(index), dtype=np.float64)


def margins(scores: Floats, members: Flags) -> Floats:
    """How far each score lies on the side of "in" (models, records), judged by other models only.

    scores (models, records): one number a training and record, higher where the model knows the record
    better; NaN where this training is not to be used for this record (it lacks another person, so that it is
    no neighbour of the others). members (models, records): whether the training saw the record.

    The scores of a record are normal with one mean in the trainings that saw it, another in those that did
    not, and one variance for both: with tens of trainings, two variances would be noise. Then the likelihood
    ratio of "in" and "out" is above 1 on that side of the means' midpoint where "in" lies; the margin is the
    distance from the midpoint to that side, in standard deviations. The training that is judged is left out
    of means and variance.

    Raises InputError where a record has fewer than 3 trainings of a side.

    Source: Carlini et al. 2022, algorithm 1, with a fixed variance as they advise for few models.
    """
    used = ~np.isnan(scores)
    saw, lacked = used & members, used & ~members
    fewest = int(min(saw.sum(axis=0).min(), lacked.sum(axis=0).min()))
    if fewest < FEWEST_TRAININGS:
        raise InputError(
            f"membership audit: a record has {fewest} trainings with or without it, at least "
            f"{FEWEST_TRAININGS} of both are needed; raise the number of trainings"
        )
    mean_in, squares_in = _moments_without_own(scores, saw)
    mean_out, squares_out = _moments_without_own(scores, lacked)
    deviation = np.sqrt((squares_in + squares_out) / (used.sum(axis=0) - 3))
    floor = _SMALLEST_SPREAD * np.nanmax(np.abs(scores), axis=0) + np.finfo(np.float64).tiny
    toward_in = np.sign(mean_in - mean_out) * (scores - (mean_in + mean_out) / 2)
    return np.asarray(toward_in / np.maximum(deviation, floor), dtype=np.float64)


def attack_records(scores: Floats, members: Flags, records: Sequence[str]) -> tuple[RecordAttack, ...]:
    """The attack on each record; arrays as in `margins`.

    A training counts once for a record, however many windows it has: they all switch together. AUC and
    strictest counts rank the scores themselves: margins, each judged by other trainings, would lie about .06
    too low in AUC where there is nothing to find. Where the trainings are folds of a leave-one-out test,
    those without a person contain another one instead, so that the attack measures a swap: compare its bounds
    with the epsilon of replace-one neighbours.
    """
    sides = margins(scores, members)
    used = ~np.isnan(scores)
    attacks = []
    for i, name in enumerate(records):
        saw, lacked = used[:, i] & members[:, i], used[:, i] & ~members[:, i]
        counts = counts_above(0.0, sides[saw, i], sides[lacked, i])
        attacks.append(_attack(name, counts, scores[saw, i], scores[lacked, i]))
    return tuple(attacks)


def pooled(scores: Floats, members: Flags) -> RecordAttack:
    """The attack on all records together, ranked by their margins; arrays as in `margins`.

    Descriptive: records that share a training are not independent, so neither its intervals nor its bound
    have a known error rate, and no claim may fail by them.
    """
    sides = margins(scores, members)
    saw, lacked = sides[~np.isnan(sides) & members], sides[~np.isnan(sides) & ~members]
    return _attack("all (descriptive)", counts_above(0.0, saw, lacked), saw, lacked)


def _attack(name: str, counts: AttackCounts, saw: Floats, lacked: Floats) -> RecordAttack:
    return RecordAttack(name, area_under_curve(saw, lacked), counts, counts_without_false_alarm(saw, lacked))


def _moments_without_own(scores: Floats, side: Flags) -> tuple[Floats, Floats]:
    """Mean and sum of squared deviations (models, records) of a side's scores without the row's own one."""
    values = np.where(side, scores, 0.0)
    count = side.sum(axis=0)
    mean = values.sum(axis=0) / count
    deviations = np.where(side, scores - mean, 0.0)
    squares = np.square(deviations).sum(axis=0)
    # Leaving out a value that deviates by d moves the mean by d / (n - 1) and takes d^2 n / (n - 1) away.
    own_mean = mean - deviations / (count - 1)
    own_squares = squares - np.square(deviations) * count / (count - 1)
    return own_mean, np.maximum(own_squares, 0.0)


Records = TypeVar("Records", FeatureSet, WindowSet)
Train = Callable[[Records, Stream], Callable[[Records], Floats]]
"""Trains on rows, with a stream of its own; the trained model answers each row with one number (rows)."""


@dataclass(frozen=True, eq=False)
class Design:
    """The models of an audit, by the records that they see.

    members (models, records): what a model is trained on. compared (models, records): for which records it
    counts: where it differs from the other models in that record alone, or in others at random.
    """

    members: Flags
    compared: Flags


def leave_one_out(records: int, trainings: int) -> Design:
    """`trainings` models of all records and as many without each one: for people, who are few.

    A model that lacks one record counts for no other: it is no neighbour of the models of all records there.
    """
    lacked = np.repeat(np.arange(-1, records), trainings)[:, np.newaxis]
    members = lacked != np.arange(records)
    return Design(members, ~members | (lacked == -1))


def random_halves(records: int, trainings: int, generator: np.random.Generator) -> Design:
    """2 `trainings` models, each record in a random half of them, independently of the other records."""
    half = np.arange(2 * trainings)[:, np.newaxis] < trainings
    members = generator.permuted(np.broadcast_to(half, (2 * trainings, records)), axis=0)
    return Design(members, np.ones_like(members))


def train_design(
    train: Train[Records], rows: Records, record: NDArray[np.str_], design: Design, stream: Stream
) -> Floats:
    """Train all models of a design: scores (models, records), NaN where a model does not count.

    record (n): the name of the record that one of `rows` belongs to, the person or the window itself;
    records in sorted order. A score is the mean over the record's rows of the model's answer.
    """
    names, owner = np.unique(record, return_inverse=True)
    if len(names) != design.members.shape[1]:
        raise InputError(f"audit: a design of {design.members.shape[1]} records, but {len(names)} were found")
    scores = np.empty(design.members.shape)
    for i, members in enumerate(design.members):
        answer = train(rows.take(members[owner]), child(stream, "model", i))
        scores[i] = record_means(answer(rows), record)
    return np.where(design.compared, scores, np.nan)
