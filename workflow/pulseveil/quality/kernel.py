"""Maximum mean discrepancy: two distributions in the space of a kernel (Gretton et al. 2012)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating]


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
