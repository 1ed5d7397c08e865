"""Gaps in a row of values, bridged from close neighbours only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Samples that a sensor cannot have measured are mended from neighbours up to this far away.
MENDED_S = 2.0


def bridge(positions: Array, known: Array, values: Array, span: float, otherwise: Array | float) -> Array:
    """Values at `positions (n,)`, by a line between the ascending `known (m,)`, with `values (m,)`.

    Neighbours count up to `span` away: with one on one side only, its value is held, with none it is
    `otherwise`. Nothing further away changes a result, by not a bit.
    """
    if not len(known):
        return np.broadcast_to(np.asarray(otherwise, np.float64), positions.shape).copy()
    after = np.searchsorted(known, positions)
    right, left = np.minimum(after, len(known) - 1), np.maximum(after - 1, 0)
    follows = (after < len(known)) & (known[right] - positions <= span)
    precedes = (after > 0) & (positions - known[left] <= span)
    between = np.interp(positions, known, values)
    return np.select(
        [follows & precedes, precedes, follows], [between, values[left], values[right]], otherwise
    )
