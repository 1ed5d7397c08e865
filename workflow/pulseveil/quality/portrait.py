"""What the figures of a generator are drawn from: histograms, spectra, correlations and points of maps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pulseveil.contracts import Portrait
from pulseveil.quality.correlations import correlation_matrix
from pulseveil.quality.maps import neighbour_map, principal_components
from pulseveil.quality.measures import CLASSES
from pulseveil.quality.samples import Pair, Sample
from pulseveil.quality.spectra import power_spectra
from pulseveil.randomness import Stream

_BINS = 40
# Rare extremes would leave the histograms a few filled bins.
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
    """The portrait of equally many real and synthetic windows; `scaled` are the same ones, for the maps."""
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
        scaling=scaling,
        keys=keys,
    )


def _edges(pair: Pair) -> NDArray[np.float64]:
    """Edges (channels, bins + 1) of equal bins from the lower to the upper quantiles of either side."""
    ends = [np.quantile(sample.windows, _SHOWN, axis=(0, 1)) for sample in pair]
    low, high = np.minimum(ends[0][0], ends[1][0]), np.maximum(ends[0][1], ends[1][1])
    high = np.where(high > low, high, low + 1)
    return np.linspace(low, high, _BINS + 1, axis=1).astype(np.float64)


def _densities(sample: Sample, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Densities (classes, channels, bins) over all values, those beyond the edges too; 0 without windows."""
    found = np.zeros((len(CLASSES), edges.shape[0], edges.shape[1] - 1))
    for i, stress in enumerate(CLASSES.values()):
        windows = sample.windows[sample.stress == stress]
        for channel, bounds in enumerate(edges):
            values = windows[:, :, channel].ravel()
            counts = np.histogram(values, bounds)[0]
            found[i, channel] = counts / (max(1, values.size) * np.diff(bounds))
    return found
