"""Interpolation of gaps from close neighbours only."""

from __future__ import annotations

import numpy as np

from pulseveil.core.arrays import Floats

# Largest distance (s) of the neighbours from which impossible samples are interpolated.
MENDED_S = 2.0


def bridge(
    positions: Floats, known: Floats, values: Floats, span: float, otherwise: Floats | float
) -> Floats:
    """Values (n,) at `positions` (n,), interpolated linearly between `values` (m,) at ascending `known` (m,).

    Only neighbours at most `span` away are used. With such a neighbour on one side only, the result is its
    value; with none, the result is `otherwise`. Nothing further away changes a single bit of the result.

    Examples:
        >>> known, values = np.array([1.0, 4.0]), np.array([10.0, 40.0])
        >>> bridge(np.array([2.0, 5.0, 9.0]), known, values, span=2.0, otherwise=0.0)
        array([20., 40.,  0.])
    """
    if not len(known):
        return np.broadcast_to(np.asarray(otherwise, np.float64), positions.shape).copy()
    after = np.searchsorted(known, positions)
    right, left = np.minimum(after, len(known) - 1), np.maximum(after - 1, 0)
    follows = (after < len(known)) & (known[right] - positions <= span)
    precedes = (after > 0) & (positions - known[left] <= span)
    # Also interpolated over long gaps, but selected only if both neighbours are close.
    between = np.interp(positions, known, values)
    return np.select(
        [follows & precedes, precedes, follows], [between, values[left], values[right]], otherwise
    )
