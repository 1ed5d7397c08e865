"""Windows as points of a plane: principal components and t-SNE."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pulseveil.quality.samples import Pair
from pulseveil.randomness import Stream, child, integer_seed

Points = NDArray[np.float32]

_COMPONENTS = 30
_PERPLEXITY = 40
_ITERATIONS = 500


class Map(NamedTuple):
    """Points (n, 2) of real and of other windows, in the order of the samples."""

    real: Points
    other: Points


def principal_components(pair: Pair) -> tuple[Map, NDArray[np.float64]]:
    """Both sides on the first two principal components of the real windows, and the variance share of each.

    Fitted to real windows alone, all signals and samples of a window being one row.
    """
    from sklearn.decomposition import PCA

    rows = [sample.windows.reshape(len(sample.windows), -1) for sample in pair]
    model = PCA(n_components=2, svd_solver="full").fit(rows[0])
    points = [model.transform(side).astype(np.float32) for side in rows]
    return Map(*points), np.asarray(model.explained_variance_ratio_, dtype=np.float64)


def neighbour_map(pair: Pair, stream: Stream) -> Map:
    """Both sides on one t-SNE map (van der Maaten and Hinton 2008).

    The map is made of both sides together, as published: t-SNE has no place for points that it was not made
    of. Principal components of the real windows (30) come first, perplexity is 40. Distances between far
    groups mean nothing.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    rows = [sample.windows.reshape(len(sample.windows), -1) for sample in pair]
    n = sum(map(len, rows))
    model = PCA(min(_COMPONENTS, *rows[0].shape), svd_solver="full").fit(rows[0])
    tsne = TSNE(
        perplexity=min(_PERPLEXITY, (n - 1) / 3),
        max_iter=_ITERATIONS,
        init="pca",
        random_state=integer_seed(child(stream, "map")),
    )
    points = tsne.fit_transform(model.transform(np.concatenate(rows))).astype(np.float32)
    return Map(points[: len(rows[0])], points[len(rows[0]) :])
