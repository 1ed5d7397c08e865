"""Which records take part in which step: the draws that the accountant assumes, from the same mechanism."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulseveil.privacy.mechanism import Mechanism

ABSENT = -1


def draw(mechanism: Mechanism, rng: np.random.Generator) -> NDArray[np.int32]:
    """Record numbers (steps, room) of all steps; places that stay free hold ABSENT and come last.

    Each of the n records is in each step with probability q, independently of all else (Poisson sampling); a
    draw above the room is cut to a uniformly random subset. With q = 1 each step holds all records.
    """
    order = np.full((mechanism.steps, mechanism.room), ABSENT, np.int32)
    for row in order:
        drawn = np.flatnonzero(rng.random(mechanism.n) < mechanism.q)
        if len(drawn) > mechanism.room:
            drawn = rng.permutation(drawn)[: mechanism.room]
        row[: len(drawn)] = drawn
    return order
