"""Passes over the training windows, each in an order of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulseveil.randomness import Stream, child, generator


def shuffled_rows(n: int, first: int, count: int, stream: Stream) -> NDArray[np.intp]:
    """Entries first..first+count-1 of an endless sequence of random orders of 0..n-1."""
    passes = range(first // n, (first + count - 1) // n + 1)
    orders = [generator(child(stream, "order", number)).permutation(n) for number in passes]
    start = first - passes[0] * n
    return np.concatenate(orders)[start : start + count]
