"""One-run canary audits: secret coins put canaries into a training, its model is asked which ones."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pulseveil.audit.bounds import AttackCounts, Floats, counts_above
from pulseveil.audit.designs import Records
from pulseveil.audit.lira import label_confidence, margins, record_means
from pulseveil.audit.one_run import CanaryGuesses
from pulseveil.contracts import FeatureSet
from pulseveil.detectors import Fitted

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
