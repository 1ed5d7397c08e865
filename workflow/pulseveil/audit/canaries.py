"""Canaries: records that reveal themselves, and the one-run audits that guess which were in.

Secret coins put canaries into a training; its model is asked which ones.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pulseveil.audit.bounds import AttackCounts, CanaryGuesses, Floats, counts_above
from pulseveil.audit.membership import Records, label_confidence, margins, record_means
from pulseveil.core.contracts import BASELINE, STRESS, FeatureSet, WindowSet
from pulseveil.core.randomness import Stream, child, generator
from pulseveil.detectors import Fitted
from pulseveil.privacy.budget import Unit
from pulseveil.study.audit_settings import AuditSettings


def canary_features(
    features: FeatureSet, *, canaries: int, windows_each: int, radius: float, generator: np.random.Generator
) -> FeatureSet:
    """Canaries (canaries * windows_each rows) in the form of `features`, one subject a canary.

    Each canary has random signs of its own, one a column. A window of stress lies `radius` standard
    deviations from each column's mean on the side of its sign, one without stress on the other side: labels
    that no other record supports, far from all of them. From two windows on, both classes occur, so that a
    person lacks none. The signs are public; only the coins that include canaries are secret.
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
    """Canaries of one window each, as windows of fewer synthetic people with up to `windows_each` each.

    For the unit window: a training that knows how many windows a person has needs few people more.
    """
    position = np.arange(len(canaries))
    start_s = stride_s * (position % windows_each).astype(np.float64)
    return replace(canaries, subject=_names(position // windows_each), start_s=start_s)


def mislabelled(canaries: FeatureSet, owner: NDArray[np.str_], reference: Floats) -> FeatureSet:
    """The canaries, with the labels turned of those whose labels a model without them finds right.

    owner (rows): the canary that a row belongs to. reference (rows): the model's confidence in the labels.
    What a model that has not seen a canary gets wrong, only one that has seen it gets right.
    """
    _, index = np.unique(owner, return_inverse=True)
    stress = canaries.stress ^ (record_means(reference, owner) > 0)[index]
    return replace(canaries, stress=stress, condition=np.where(stress, STRESS, BASELINE).astype(np.int8))


def canary_windows(
    windows: WindowSet, *, canaries: int, windows_each: int, radius: float, generator: np.random.Generator
) -> WindowSet:
    """Canaries in the form of `windows`, for generators; as `canary_features`, with one sign a channel.

    A generator that keeps little of a window keeps the level of each channel; signs that change from sample
    to sample would leave that level where it is. Few channels have few signs, so that two canaries can be
    alike: that weakens the attack and no more.
    """
    owner, side = _sides(canaries, windows_each, generator)
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
    """`canary_windows` of `number` records of the unit, each its own subject."""
    return canary_windows(
        windows,
        canaries=number,
        windows_each=settings.windows_each if unit == "subject" else 1,
        radius=settings.radius,
        generator=generator(child(stream, "records")),
    )


def as_trained_on(records: WindowSet, settings: AuditSettings, unit: Unit) -> WindowSet:
    """Canaries as a training sees them: those of the unit window share the capacity added for them."""
    return shared_subjects(records, settings.windows_each, records.stride_s) if unit == "window" else records


def _sides(
    canaries: int, windows_each: int, generator: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """The canary of each row, and the side (1 or -1) of its direction: alternating from a random start."""
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
    """Rows (rows of the canaries, ...), each value `radius` standard deviations from its mean in `values`.

    shape: of the signs of one canary, broadcast to that of a value; default: a sign for each number.
    """
    shape = values.shape[1:] if shape is None else shape
    signs = generator.choice([-1.0, 1.0], size=(int(owner.max()) + 1, *shape))
    offset = radius * signs[owner] * side.reshape(-1, *(1 for _ in shape))
    rows: NDArray[np.float32] = (values.mean(axis=0) + offset * values.std(axis=0)).astype(np.float32)
    return rows


def _names(owner: NDArray[np.intp]) -> NDArray[np.str_]:
    return np.array([f"CANARY{i + 1:05d}" for i in owner])


Flags = NDArray[np.bool_]

Training = Callable[[Flags], Floats]
"""One training with the canaries of a mask (canaries): a score of each, higher for a model that knows it.

Scores read the trained model and never the mask. The real records, the clip norm, noise multiplier, sampling
probability and steps are those of the claim; an excluded canary contributes zero.
"""


def coins(count: int) -> Flags:
    """`count` independent fair coins from the operating system; nobody can replay them."""
    raw = np.frombuffer(secrets.token_bytes((count + 7) // 8), dtype=np.uint8)
    return np.unpackbits(raw)[:count].astype(bool)


def audit(train: Training, *, canaries: int, guesses: int, runs: int = 1) -> CanaryGuesses:
    """Train `runs` times, each time with fresh coins, and guess `guesses` a run from the scores alone.

    Independent runs, side by side, are one mechanism on all their canaries, which protects each canary as
    well as its own run does: so cheap models can be tested with more canaries than they have dimensions. Of
    all scores together those farthest from the mean are guessed, "in" above it and "out" below. How many is
    fixed before any training, so that nothing is chosen by a result.

    Source: Steinke, Nasr and Jagielski 2023, algorithm 1.
    """
    included, scores = _train(train, canaries, runs)
    return count_guesses(scores.ravel(), included.ravel(), guesses * runs)


def audit_repeatedly(train: Training, runs: int) -> AttackCounts:
    """Train `runs` times with one canary, included by a fresh coin, and call it "in" or "out" each time.

    For models that train fast: many independent trainings give far sharper bounds than the guesses of one.
    Each training is judged by the others. Raises InputError with fewer than 3 trainings of a side.
    """
    included, scores = _train(train, 1, runs)
    sides = margins(scores, included)
    return counts_above(0.0, sides[included], sides[~included])


def _train(train: Training, canaries: int, runs: int) -> tuple[Flags, Floats]:
    """Coins and scores (runs, canaries)."""
    included = np.stack([coins(canaries) for _ in range(runs)])
    return included, np.stack([train(mask) for mask in included])


def count_guesses(scores: Floats, included: Flags, guesses: int) -> CanaryGuesses:
    """Outcome of guessing `guesses` of the coins `included` (canaries) from scores (canaries)."""
    sides = scores - scores.mean()
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
    """Audited training of a model of records: windows or people.

    fit: trains on records and canaries, and returns the trained model's answer (rows), higher for rows that
    it knows: `confidence` of a detector, a discriminator's score. owner (rows): the canary that a row belongs
    to. reference (rows): the answer of a model without any canary. A canary's score is the mean over its rows
    of how much surer the model is than the reference.
    """
    names = np.unique(owner)

    def train(included: Flags) -> Floats:
        chosen = canaries.take(np.isin(owner, names[included]))
        answer = fit(type(records).concatenate([records, chosen]))
        return record_means(answer(canaries) - reference, owner)

    return train


def confidence(detector: Fitted) -> Callable[[FeatureSet], Floats]:
    """How sure a trained detector is of the labels of windows: the answer that `record_training` asks for."""

    def answer(features: FeatureSet) -> Floats:
        return label_confidence(detector.score(features).score, features.stress)

    return answer
