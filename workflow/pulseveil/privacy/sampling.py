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
    return draws(rng, n=mechanism.n, q=mechanism.q, room=mechanism.room, steps=mechanism.steps)


def draws(rng: np.random.Generator, *, n: int, q: float, room: int, steps: int) -> NDArray[np.int32]:
    """The draws (steps, room) of `draw`, where there is no mechanism: for models without privacy."""
    order = np.full((steps, room), ABSENT, np.int32)
    for row in order:
        drawn = np.flatnonzero(rng.random(n) < q)
        if len(drawn) > room:
            drawn = rng.permutation(drawn)[:room]
        row[: len(drawn)] = drawn
    return order


def with_released(
    order: NDArray[np.int32], mechanism: Mechanism, released: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """The draws `order` (steps, room), and beside them `released` further records, each drawn with q too.

    Those are numbered from the mechanism's n upwards. No draw is cut for them.
    """
    drawn = draws(rng, n=released, q=mechanism.q, room=released, steps=mechanism.steps)
    both = np.hstack([order, np.where(drawn == ABSENT, ABSENT, drawn + mechanism.n)])
    return np.take_along_axis(both, np.argsort(both == ABSENT, axis=1, kind="stable"), axis=1)
