"""Precision, recall, density and coverage: is what is made real, and is all that is real made?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating]

NEIGHBOURS = 5


class Support(NamedTuple):
    """Of each other row (m) precision and density, of each real row (n) recall and coverage."""

    precision: NDArray[np.float64]
    density: NDArray[np.float64]
    recall: NDArray[np.float64]
    coverage: NDArray[np.float64]


def support(real: Rows, other: Rows, neighbours: int = NEIGHBOURS) -> Support:
    """Where real rows (n, k) and other rows (m, k) lie in each other's balls; means are the measures.

    The ball of a row reaches to its `neighbours`-th neighbour on its own side. Precision: the row lies in
    some real ball; recall: the real row lies in some ball of the other side (Kynkaanniemi et al. 2019).
    Density: in how many real balls the row lies, over `neighbours`, so that it can exceed 1; coverage: the
    real row's ball holds some row of the other side (Naeem et al. 2020). Balls shrink with n: compare equal
    sizes only. A sample drawn to its mean has high precision and density and low recall; a wide, noisy
    one has large balls of its own and high recall, which coverage does not mistake.
    Raises ValueError where a side has no more than `neighbours` rows.
    """
    from scipy.spatial.distance import cdist

    if min(len(real), len(other)) <= neighbours:
        raise ValueError(f"more than {neighbours} rows are needed on each side")
    distance = cdist(real, other)
    in_real = distance <= _radii(cdist(real, real), neighbours)[:, np.newaxis]
    in_other = distance <= _radii(cdist(other, other), neighbours)
    return Support(
        precision=in_real.any(axis=0).astype(np.float64),
        density=in_real.sum(axis=0) / neighbours,
        recall=in_other.any(axis=1).astype(np.float64),
        coverage=in_real.any(axis=1).astype(np.float64),
    )


def _radii(distance: NDArray[np.float64], neighbours: int) -> NDArray[np.float64]:
    """Distance (n) to the k-th neighbour; each row is its own nearest."""
    return np.asarray(np.partition(distance, neighbours, axis=1)[:, neighbours])
