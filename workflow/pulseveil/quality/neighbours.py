"""Distances to the nearest windows of the other side: precision, recall, density, coverage, MMD.

Maximum mean discrepancy (MMD) compares two distributions in the space of a kernel (Gretton et al. 2012).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating]


def nearest_distances(rows: Rows, among: Rows) -> NDArray[np.float64]:
    """Euclidean distance (n) of each row (n, k) to its nearest row `among` (m, k).

    From synthetic to real: values below those of held-out people hint at copies of training windows. From
    real to synthetic: large values hint at windows that are never generated. Falls with more rows `among`.
    Fidelity, not privacy: neither small nor large values bound what an attacker can learn.
    """
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(among)
    return np.asarray(found.kneighbors(rows)[0][:, 0], dtype=np.float64)


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


def median_distance(rows: Rows) -> float:
    """The median Euclidean distance between two of the rows (n, k): the usual bandwidth of the kernel."""
    from scipy.spatial.distance import pdist

    return float(np.median(pdist(rows)))


def mmd2(real: Rows, other: Rows, bandwidth: float) -> float:
    """Squared maximum mean discrepancy of rows (n, k) and (m, k) for the Gaussian kernel.

    The unbiased estimate (Gretton et al. 2012, equation 3): its mean is free of n, and it can be below 0
    where both sides come from one distribution. `bandwidth` is the kernel's SD, in the unit of distances.
    """
    from sklearn.metrics.pairwise import rbf_kernel

    gamma = 1 / (2 * bandwidth**2)
    own = [_mean_of_pairs(rbf_kernel(rows, gamma=gamma)) for rows in (real, other)]
    return float(sum(own) - 2 * rbf_kernel(real, other, gamma=gamma).mean())


def _mean_of_pairs(kernel: NDArray[np.floating]) -> float:
    """The mean over pairs of different rows."""
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))
