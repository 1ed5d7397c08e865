"""Distances to the nearest window of the other side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating]


def nearest_distances(rows: Rows, among: Rows) -> NDArray[np.float64]:
    """Euclidean distance (n) of each row (n, k) to its nearest row `among` (m, k).

    From synthetic to real: values below those of held-out people hint at copies of training windows. From
    real to synthetic: large values hint at windows that are never made. Falls with more rows `among`.
    Fidelity, not privacy: neither small nor large values bound what an attacker can learn.
    """
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(among)
    return np.asarray(found.kneighbors(rows)[0][:, 0], dtype=np.float64)
