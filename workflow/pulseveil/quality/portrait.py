"""Data of a generator's quality figures: histograms, spectra, correlations and maps.

A map shows windows as points in a plane, by principal components and by t-SNE.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.contracts import Portrait
from pulseveil.core.randomness import Stream, child, integer_seed
from pulseveil.quality.distributions import correlation_matrix, power_spectra
from pulseveil.quality.measures import CLASSES
from pulseveil.quality.samples import Pair, Sample

Points = NDArray[np.float32]

_COMPONENTS = 30
_PERPLEXITY = 40
_ITERATIONS = 500


class Map(NamedTuple):
    """Points (n, 2) of real and of other windows, in the order of the samples."""

    real: Points
    other: Points


def principal_components(pair: Pair) -> tuple[Map, NDArray[np.float64]]:
    """Both sides on the first two principal components of the real windows, and their shares of variance (2).

    The components are fitted to the flattened real windows only.
    """
    from sklearn.decomposition import PCA

    rows = [sample.windows.reshape(len(sample.windows), -1) for sample in pair]
    # Not the solver `auto`, which is a randomized one for large inputs.
    model = PCA(n_components=2, svd_solver="full").fit(rows[0])
    points = [model.transform(side).astype(np.float32) for side in rows]
    return Map(*points), np.asarray(model.explained_variance_ratio_, dtype=np.float64)


def neighbour_map(pair: Pair, stream: Stream) -> Map:
    """Both sides on one t-SNE map (van der Maaten and Hinton 2008).

    Both sides are embedded together, as published, because t-SNE cannot add points to an existing map.
    Windows are first reduced to 30 principal components of the real windows; the perplexity is 40. Distances
    between distant groups have no meaning.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    rows = [sample.windows.reshape(len(sample.windows), -1) for sample in pair]
    n = sum(map(len, rows))
    model = PCA(min(_COMPONENTS, *rows[0].shape), svd_solver="full").fit(rows[0])
    tsne = TSNE(
        # A perplexity needs about three times as many neighbours.
        perplexity=min(_PERPLEXITY, (n - 1) / 3),
        max_iter=_ITERATIONS,
        init="pca",
        random_state=integer_seed(child(stream, "map")),
    )
    points = tsne.fit_transform(model.transform(np.concatenate(rows))).astype(np.float32)
    return Map(points[: len(rows[0])], points[len(rows[0]) :])


_BINS = 40
# Windows of each class that a portrait keeps.
EXAMPLES = 3
# Quantiles shown: with the extremes, nearly all values would fall into a few bins.
_SHOWN = (0.005, 0.995)


def portray(
    pair: Pair,
    scaled: Pair,
    *,
    channels: tuple[str, ...],
    rate_hz: float,
    scaling: str,
    keys: Mapping[str, str | int],
    stream: Stream,
) -> Portrait:
    """The portrait of equally many real and synthetic windows.

    scaled: the same windows with comparable signals, for the maps, which rest on Euclidean distances.
    """
    edges = _edges(pair)
    real_power, synthetic_power = (power_spectra(sample.windows, rate_hz)[1].mean(axis=0) for sample in pair)
    components, explained = principal_components(scaled)
    neighbours = neighbour_map(scaled, stream)
    return Portrait(
        channels=channels,
        edges=edges,
        real_density=_densities(pair.real, edges),
        synthetic_density=_densities(pair.other, edges),
        frequency_hz=power_spectra(pair.real.windows[:1], rate_hz)[0],
        real_power=real_power.T,
        synthetic_power=synthetic_power.T,
        real_correlation=correlation_matrix(pair.real),
        synthetic_correlation=correlation_matrix(pair.other),
        explained=explained,
        real_components=components.real,
        synthetic_components=components.other,
        real_neighbours=neighbours.real,
        synthetic_neighbours=neighbours.other,
        real_stress=pair.real.stress,
        synthetic_stress=pair.other.stress,
        real_windows=examples(pair.real),
        synthetic_windows=examples(pair.other),
        rate_hz=rate_hz,
        scaling=scaling,
        keys=keys,
    )


def examples(sample: Sample) -> NDArray[np.float32]:
    """Example windows (classes, `EXAMPLES`, time, channels) of a sample, evenly from the rows of each class.

    A class with fewer windows repeats them; a class without any is NaN.
    """
    found = np.full((len(CLASSES), EXAMPLES, *sample.windows.shape[1:]), np.nan, np.float32)
    for i, stress in enumerate(CLASSES.values()):
        rows = np.flatnonzero(sample.stress == stress)
        if len(rows):
            # By position and not by look: chosen windows would flatter a generator.
            found[i] = sample.windows[rows[np.linspace(0, len(rows) - 1, EXAMPLES).round().astype(int)]]
    return found


def _edges(pair: Pair) -> NDArray[np.float64]:
    """Edges (channels, bins + 1) of equal bins between the extreme quantiles of both sides."""
    ends = [np.quantile(sample.windows, _SHOWN, axis=(0, 1)) for sample in pair]
    low, high = np.minimum(ends[0][0], ends[1][0]), np.maximum(ends[0][1], ends[1][1])
    # A constant signal still needs bins of positive width.
    high = np.where(high > low, high, low + 1)
    return np.linspace(low, high, _BINS + 1, axis=1).astype(np.float64)


def _densities(sample: Sample, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Densities (classes, channels, bins); values beyond the edges count in the total. 0 without windows."""
    found = np.zeros((len(CLASSES), edges.shape[0], edges.shape[1] - 1))
    for i, stress in enumerate(CLASSES.values()):
        windows = sample.windows[sample.stress == stress]
        for channel, bounds in enumerate(edges):
            values = windows[:, :, channel].ravel()
            counts = np.histogram(values, bounds)[0]
            found[i, channel] = counts / (max(1, values.size) * np.diff(bounds))
    return found
