"""Coordinates of windows that are easy to learn: levels, spreads, slow cosines, energies of fast cosines.

A window is level + spread x shape per channel. Detectors read levels and log spreads first: each is a
coordinate of its own. Shapes of calm and of lively windows have the same energy, so that their cosine
coefficients are alike. A fast coefficient has a normal distribution, once its band has the learnt energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct
from scipy.special import ndtri

Array = NDArray[np.floating]

# The least spread of a window as a share of the channel's SD, and the least energy of a band: logarithms of a
# constant signal stay finite.
_LEAST = 1e-3
_TINY = 1e-9
_KNOTS = 201
_PARTS = (np.arange(_KNOTS) + 0.5) / _KNOTS
_SCORES = ndtri(_PARTS)


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Map from windows (n, time, channels) to learnt coordinates (n, learnt), and back with normal numbers.

    Learnt coordinates are normal scores: a monotone, piecewise linear function gives each a standard normal
    distribution over the windows of `fit`. Values beyond the outermost of its 201 quantiles are cut.

    Args:
        least_spread: (channels), the spread of a constant window.
        fast_deviation: (fast, channels), root mean square of each fast cosine in a band of energy 1.
        knots: (learnt, 201), quantiles of each coordinate.
        edges: (bands + 1), first coefficient of each band, and the length of a window.
    """

    least_spread: Array
    fast_deviation: Array
    knots: Array
    edges: NDArray[np.int64]

    @classmethod
    def fit(cls, windows: NDArray[np.float32], cosines: int, bands: int) -> Self:
        """The coordinates of windows (n, time, channels) of more than cosines + bands samples.

        cosines: slow coefficients learnt per channel. bands: parts of all faster ones, of equal ratios.
        """
        time = windows.shape[1]
        values = windows.astype(np.float64)
        deviation = values.std(axis=(0, 1))
        least_spread = _LEAST * np.where(deviation > 0, deviation, 1)
        edges = np.unique(np.geomspace(cosines + 1, time, bands + 1).round().astype(np.int64))
        coordinates, fast = _split(values, least_spread, edges)
        return cls(
            least_spread,
            np.sqrt(np.square(fast).mean(axis=0)),
            np.quantile(coordinates, _PARTS, axis=0).T,
            edges,
        )

    @property
    def learnt(self) -> int:
        """Number of learnt coordinates of a window."""
        return len(self.knots)

    @property
    def noise_size(self) -> int:
        """Number of normal numbers of the fast cosines of a window."""
        return self.fast_deviation.size

    def of(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normal scores (n, learnt) of the coordinates of windows (n, time, channels)."""
        coordinates, _ = _split(windows.astype(np.float64), self.least_spread, self.edges)
        scores = [_score(own, knots) for own, knots in zip(coordinates.T, self.knots, strict=True)]
        return np.stack(scores, axis=1).astype(np.float32)

    def windows(self, scores: NDArray[np.float32], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the scores (n, learnt), with normal numbers (n, noise_size)."""
        fast, channels = self.fast_deviation.shape
        first = self.edges[0]
        pairs = zip(scores.T, self.knots, strict=True)
        values = np.stack([np.interp(own, _SCORES, knots) for own, knots in pairs], axis=1)
        level, log_spread, slow, log_energy = np.split(
            values.reshape(len(scores), -1, channels), [1, 2, first + 1], axis=1
        )
        drawn = noise.reshape(-1, fast, channels) * self.fast_deviation
        parts = [
            part * np.exp(log_energy[:, [i]]) / np.maximum(_root_mean_square(part), _TINY)
            for i, part in enumerate(np.split(drawn, self.edges[1:-1] - first, axis=1))
        ]
        shape = np.concatenate([np.zeros_like(level), slow, *parts], axis=1)
        # Exactly the drawn spread: energies of all coefficients, learnt one by one, add up to 1 only about.
        shape /= np.maximum(_root_mean_square(shape), _TINY)
        windows = level + np.exp(log_spread) * idct(shape, axis=1, norm="ortho")
        return np.asarray(windows, dtype=np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The coordinates as named arrays."""
        return {
            "least_spread": self.least_spread,
            "fast_deviation": self.fast_deviation,
            "knots": self.knots,
            "edges": self.edges,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The coordinates with the state `arrays`, as `arrays()` returned it."""
        return cls(*(arrays[name] for name in ("least_spread", "fast_deviation", "knots", "edges")))


def _split(values: Array, least_spread: Array, edges: NDArray[np.int64]) -> tuple[Array, Array]:
    """Coordinates (n, learnt) of windows (n, time, channels), and cosines (n, fast, channels) of energy 1."""
    level = values.mean(axis=1, keepdims=True)
    spread = np.maximum(values.std(axis=1, keepdims=True), least_spread)
    shape = dct((values - level) / spread, axis=1, norm="ortho")
    bands = [shape[:, low:high] for low, high in pairwise(edges)]
    energies = [np.maximum(_root_mean_square(band), _LEAST) for band in bands]
    fast = [band / energy for band, energy in zip(bands, energies, strict=True)]
    learnt = [level, np.log(spread), shape[:, 1 : edges[0]], *map(np.log, energies)]
    return np.concatenate(learnt, axis=1).reshape(len(values), -1), np.concatenate(fast, axis=1)


def _root_mean_square(values: Array) -> Array:
    """Root mean square over time of values (n, time, channels): (n, 1, channels)."""
    return np.asarray(np.sqrt(np.square(values).mean(axis=1, keepdims=True)))


def _score(values: Array, knots: Array) -> Array:
    """Normal scores (n) of values (n) of a coordinate with these quantiles."""
    # Equal quantiles have the mean of their scores: a constant has the score 0.
    distinct, position = np.unique(knots, return_inverse=True)
    return np.interp(values, distinct, np.bincount(position, _SCORES) / np.bincount(position))
