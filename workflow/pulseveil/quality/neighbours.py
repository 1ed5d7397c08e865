"""Measures from distances between windows: nearest neighbours, precision, recall, density, coverage, MMD.

Maximum mean discrepancy (MMD) compares two distributions in the space of a kernel (Gretton et al. 2012).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating]


def nearest_distances(rows: Rows, among: Rows) -> NDArray[np.float64]:
    """Euclidean distance (n) of each row (n, k) to its nearest row `among` (m, k).

    From synthetic to real: smaller values than for held-out people suggest copies of training windows. From
    real to synthetic: large values suggest windows that are never generated. Values fall with more rows
    `among`. This measures fidelity, not privacy: no value bounds what an attacker can learn.

    Examples:
        >>> nearest_distances(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [6.0, 8.0]]))
        array([5.])
    """
    from sklearn.neighbors import NearestNeighbors

    # Search trees are slower in hundreds of dimensions.
    found = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(among)
    return np.asarray(found.kneighbors(rows)[0][:, 0], dtype=np.float64)


NEIGHBOURS = 5


class Support(NamedTuple):
    """precision, density: one value per other row (m). recall, coverage: one value per real row (n)."""

    precision: NDArray[np.float64]
    density: NDArray[np.float64]
    recall: NDArray[np.float64]
    coverage: NDArray[np.float64]


def support(real: Rows, other: Rows, neighbours: int = NEIGHBOURS) -> Support:
    """Precision, density, recall and coverage of real rows (n, k) and other rows (m, k), per row.

    The ball of a row reaches to its `neighbours`-th nearest neighbour on its own side.

    - precision: 1 if the other row lies in a real ball; recall: 1 if the real row lies in a ball of the other
      side (Kynkaanniemi et al. 2019).
    - density: number of real balls that contain the other row, divided by `neighbours`, so that it can exceed
      1; coverage: 1 if the real row's ball contains another row (Naeem et al. 2020).

    The means are the measures. Balls shrink with n: compare equal sizes only. A sample shrunk to its mean has
    high precision and density and low recall. A wide, noisy sample has large balls and high recall, but low
    coverage.

    Examples:
        >>> real, collapsed = np.arange(8.0)[:, np.newaxis], np.full((8, 1), 3.5)
        >>> [float(values.mean()) for values in support(real, collapsed, neighbours=1)]
        [1.0, 2.0, 0.0, 0.25]

    Raises:
        ValueError: a side has no more than `neighbours` rows.
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
    """Distance (n) to the k-th nearest neighbour."""
    # Index k and not k - 1, because each row is its own nearest at distance 0.
    return np.asarray(np.partition(distance, neighbours, axis=1)[:, neighbours])


def median_distance(rows: Rows) -> float:
    """Median Euclidean distance between two of the rows (n, k): the usual bandwidth of the kernel.

    Examples:
        >>> median_distance(np.array([[0.0], [1.0], [3.0]]))
        2.0
    """
    from scipy.spatial.distance import pdist

    return float(np.median(pdist(rows)))


def mmd2(real: Rows, other: Rows, bandwidth: float) -> float:
    """Squared maximum mean discrepancy of rows (n, k) and (m, k) for the Gaussian kernel.

    The unbiased estimate (Gretton et al. 2012, equation 3): its expectation does not depend on n, and it can
    be negative if both sides have the same distribution. bandwidth: the kernel's SD, in units of distance.
    """
    from sklearn.metrics.pairwise import rbf_kernel

    gamma = 1 / (2 * bandwidth**2)
    own = [_mean_of_pairs(rbf_kernel(rows, gamma=gamma)) for rows in (real, other)]
    return float(sum(own) - 2 * rbf_kernel(real, other, gamma=gamma).mean())


def _mean_of_pairs(kernel: NDArray[np.floating]) -> float:
    """Mean of a kernel matrix (n, n) over pairs of different rows."""
    n = len(kernel)
    # The diagonal compares each row with itself, which would bias the estimate.
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))
