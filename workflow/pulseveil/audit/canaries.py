"""Canaries: records that stand out, and one-run audits that guess which of them a training included.

Secret coins include canaries in a training; an attack guesses the coins from the trained model.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pulseveil.audit.bounds import AttackCounts, CanaryGuesses, counts_above
from pulseveil.audit.membership import Records, label_confidence, margins, record_means
from pulseveil.core.arrays import Bools, Floats
from pulseveil.core.contracts import BASELINE, STRESS, FeatureSet, WindowSet
from pulseveil.core.randomness import Stream, child, generator
from pulseveil.detectors import Fitted
from pulseveil.privacy.budget import Unit
from pulseveil.study.audit_settings import AuditSettings


def canary_features(
    features: FeatureSet, *, canaries: int, windows_each: int, radius: float, generator: np.random.Generator
) -> FeatureSet:
    """Canaries (canaries * windows_each rows) in the form of `features`, one subject per canary.

    Each canary has random signs of its own, one per column. Its stress windows lie `radius` standard
    deviations from each column's mean on the side of the sign, its other windows on the opposite side: far
    from all records, with labels that no other record supports. With two windows or more, both classes occur.
    The signs are public; only the coins that include canaries are secret.
    """
    owner, side = _sides(canaries, windows_each, generator)
    return FeatureSet(
        features=_far_out(features.features, owner, side, radius, generator),
        statistics=_far_out(features.statistics, owner, side, radius, generator),
        condition=np.where(side > 0, STRESS, BASELINE).astype(np.int8),
        stress=side > 0,
        calibration=np.zeros(len(side), dtype=bool),
        subject=_names(owner),
        fold=np.full(len(side), ""),
        start_s=np.tile(60.0 * np.arange(windows_each), canaries),
        frequency_hz=features.frequency_hz,
        statistic_names=features.statistic_names,
        scaling=features.scaling,
        protocol=features.protocol,
    )


def shared_subjects(canaries: Records, windows_each: int, stride_s: float = 60.0) -> Records:
    """Canaries of one window each, as windows of synthetic people with up to `windows_each` windows.

    For unit window: with the public number of windows per person, a training needs only few more people.
    """
    position = np.arange(len(canaries))
    start_s = stride_s * (position % windows_each).astype(np.float64)
    return replace(canaries, subject=_names(position // windows_each), start_s=start_s)


def mislabelled(canaries: FeatureSet, owner: NDArray[np.str_], reference: Floats) -> FeatureSet:
    """Flip the labels of canaries whose labels a model without them finds right.

    A model without a canary then has low confidence in its labels, and a high one shows that it was included.

    Args:
        owner: (rows), the canary of each row.
        reference: (rows), confidence in the labels of a model that was trained without canaries.
    """
    _, index = np.unique(owner, return_inverse=True)
    # All rows of a canary or none: its windows keep both classes.
    stress = canaries.stress ^ (record_means(reference, owner) > 0)[index]
    return replace(canaries, stress=stress, condition=np.where(stress, STRESS, BASELINE).astype(np.int8))


def canary_windows(
    windows: WindowSet, *, canaries: int, windows_each: int, radius: float, generator: np.random.Generator
) -> WindowSet:
    """Canaries in the form of `windows`, for generators; as `canary_features`, with one sign per channel.

    Two canaries can be alike, as few channels have few combinations of signs. That only weakens the attack.
    """
    owner, side = _sides(canaries, windows_each, generator)
    # Signs per channel, and not per sample: a generator that learns little of a window learns the level of
    # each channel, which signs that change from sample to sample would leave as it is.
    return replace(
        windows,
        windows=_far_out(windows.windows, owner, side, radius, generator, (1, windows.windows.shape[2])),
        condition=np.where(side > 0, STRESS, BASELINE).astype(np.int8),
        stress=side > 0,
        calibration=np.zeros(len(side), dtype=bool),
        subject=_names(owner),
        start_s=np.tile(windows.stride_s * np.arange(windows_each), canaries),
    )


def canary_records(
    windows: WindowSet, settings: AuditSettings, unit: Unit, number: int, stream: Stream
) -> WindowSet:
    """Canaries for generators: `number` records of the unit, one subject per record."""
    return canary_windows(
        windows,
        canaries=number,
        windows_each=settings.windows_each if unit == "subject" else 1,
        radius=settings.radius,
        generator=generator(child(stream, "records")),
    )


def as_trained_on(records: WindowSet, settings: AuditSettings, unit: Unit) -> WindowSet:
    """Canaries as training data: at unit window, they share the synthetic people whose capacity was added."""
    return shared_subjects(records, settings.windows_each, records.stride_s) if unit == "window" else records


def _sides(
    canaries: int, windows_each: int, generator: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Canary of each row, and its side (1 or -1) of the mean: alternating by row, from a random start."""
    owner = np.repeat(np.arange(canaries), windows_each)
    first = generator.integers(0, 2, size=canaries)
    return owner, 1 - 2 * ((first[owner] + np.tile(np.arange(windows_each), canaries)) % 2)


def _far_out(
    values: NDArray[np.float32],
    owner: NDArray[np.intp],
    side: NDArray[np.int64],
    radius: float,
    generator: np.random.Generator,
    shape: tuple[int, ...] | None = None,
) -> NDArray[np.float32]:
    """Values (rows of the canaries, ...), each `radius` standard deviations from its mean in `values`.

    shape: shape of one canary's signs, broadcast to that of a row; default: one sign per number.
    """
    shape = values.shape[1:] if shape is None else shape
    signs = generator.choice([-1.0, 1.0], size=(int(owner.max()) + 1, *shape))
    offset = radius * signs[owner] * side.reshape(-1, *(1 for _ in shape))
    # From the mean and in deviations of the real records: canaries stand out by as much in each column.
    rows: NDArray[np.float32] = (values.mean(axis=0) + offset * values.std(axis=0)).astype(np.float32)
    return rows


def _names(owner: NDArray[np.intp]) -> NDArray[np.str_]:
    return np.array([f"CANARY{i + 1:05d}" for i in owner])


Training = Callable[[Bools], Floats]
"""One training with the canaries of a mask (canaries): one score per canary, higher if it seems included.

Scores depend on the trained model and never on the mask. Real records, clip norm, noise multiplier, sampling
rate and steps are those of the claim; an excluded canary contributes zero.
"""


def coins(count: int) -> Bools:
    """Independent fair coins (count) from the operating system."""
    # Not from a stream of the study: bounds assume coins that are independent of canaries and trainings.
    raw = np.frombuffer(secrets.token_bytes((count + 7) // 8), dtype=np.uint8)
    return np.unpackbits(raw)[:count].astype(bool)


def audit(train: Training, *, canaries: int, guesses: int, runs: int = 1) -> CanaryGuesses:
    """One-run audit, repeated `runs` times with fresh coins, with `guesses` per run from the scores alone.

    Of all scores together, those farthest from the mean are guessed: "in" above the mean and "out" below it.

    Source: Steinke, Nasr and Jagielski 2023, algorithm 1.
    """
    # Independent runs, side by side, are one mechanism on all their canaries, which protects each canary as
    # well as its own run does: cheap models can be tested with more canaries than they have dimensions. The
    # number of guesses is fixed before any training: chosen by a result, it would void the p-value.
    included, scores = _train(train, canaries, runs)
    return count_guesses(scores.ravel(), included.ravel(), guesses * runs)


def audit_repeatedly(train: Training, runs: int) -> AttackCounts:
    """Membership attack on one canary in `runs` trainings, each of which includes it by a fresh coin.

    For models that train fast: many independent trainings give far sharper bounds than the guesses of one.
    Each training is judged by the others.

    Raises:
        InputError: a side has fewer than 3 trainings.
    """
    included, scores = _train(train, 1, runs)
    sides = margins(scores, included)
    return counts_above(0.0, sides[included], sides[~included])


def _train(train: Training, canaries: int, runs: int) -> tuple[Bools, Floats]:
    """Coins and scores (runs, canaries)."""
    included = np.stack([coins(canaries) for _ in range(runs)])
    return included, np.stack([train(mask) for mask in included])


def count_guesses(scores: Floats, included: Bools, guesses: int) -> CanaryGuesses:
    """Guess `guesses` of the coins `included` (canaries) from scores (canaries), and count correct guesses.

    Examples:
        >>> count_guesses(np.array([3.0, 0.1, -2.0]), np.array([True, False, False]), guesses=2).correct
        2
    """
    sides = scores - scores.mean()
    # A stable sort breaks ties by position: never by the coins.
    surest = np.argsort(-np.abs(sides), kind="stable")[:guesses]
    correct = (sides > 0)[surest] == included[surest]
    return CanaryGuesses(len(included), guesses, int(correct.sum()))


def record_training(
    fit: Callable[[Records], Callable[[Records], Floats]],
    records: Records,
    canaries: Records,
    owner: NDArray[np.str_],
    reference: Floats,
) -> Training:
    """Canary training of a model on records, which are windows or people.

    A canary's score is the mean over its rows of the model's answer minus the reference.

    Args:
        fit: trains on records and canaries, and returns the trained model's answer (rows), which is higher
            for rows of its training: `confidence` of a detector, or a discriminator's score.
        owner: (rows), the canary of each row.
        reference: (rows), the answer of a model without any canary.
    """
    names = np.unique(owner)

    def train(included: Bools) -> Floats:
        chosen = canaries.take(np.isin(owner, names[included]))
        # Minus the reference: rows differ in how sure any model is of them.
        answer = fit(type(records).concatenate([records, chosen]))
        return record_means(answer(canaries) - reference, owner)

    return train


def confidence(detector: Fitted) -> Callable[[FeatureSet], Floats]:
    """Confidence (rows) of a trained detector in the labels of windows: an answer for `record_training`."""

    def answer(features: FeatureSet) -> Floats:
        return label_confidence(detector.score(features).score, features.stress)

    return answer
