"""Distributions of single signals: how far apart values lie, whatever their order in time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulseveil.quality.intervals import Array, Estimate, by_subject, over_subjects
from pulseveil.randomness import Stream

_LEVELS = 256


def wasserstein(
    real: NDArray[np.float32], other: NDArray[np.float32], subject: NDArray[np.str_], stream: Stream
) -> Estimate:
    """First Wasserstein distance between values of one signal (n, time) and (m, time), in the signal's unit.

    `subject` (n): whose real window each is. 0 for equal distributions; values fall with more windows.
    """
    from scipy.stats import wasserstein_distance

    value = float(wasserstein_distance(real.ravel(), other.ravel()))
    grid = _grid(real, other)
    widths = np.diff(grid)
    shape = _shares_below(other, grid).mean(axis=0)

    def area(totals: Array) -> Array:
        apart = np.abs(totals[..., :-1] / totals[..., -1:] - shape)
        return np.asarray((apart[..., :-1] * widths).sum(axis=-1))

    return Estimate(value, *over_subjects(_totals(real, subject, grid), area, stream)[1:])


def kolmogorov_smirnov(
    real: NDArray[np.float32], other: NDArray[np.float32], subject: NDArray[np.str_], stream: Stream
) -> Estimate:
    """Kolmogorov-Smirnov statistic of one signal's values (n, time) and (m, time): largest gap of the CDFs.

    Its p value is left out: samples of one window, and windows of one person, are not independent. 0 for
    equal distributions, 1 for disjoint ones; values fall with more windows.
    """
    from scipy.stats import ks_2samp

    value = float(ks_2samp(real.ravel(), other.ravel(), method="asymp").statistic)
    grid = _grid(real, other)
    shape = _shares_below(other, grid).mean(axis=0)

    def gap(totals: Array) -> Array:
        return np.asarray(np.abs(totals[..., :-1] / totals[..., -1:] - shape).max(axis=-1))

    return Estimate(value, *over_subjects(_totals(real, subject, grid), gap, stream)[1:])


def _grid(real: NDArray[np.float32], other: NDArray[np.float32]) -> Array:
    """Levels at which the interval's distribution functions are read: quantiles of both sides together."""
    values = np.concatenate([real.ravel(), other.ravel()]).astype(np.float64)
    return np.unique(np.quantile(values, np.linspace(0, 1, _LEVELS)))


def _shares_below(values: NDArray[np.float32], grid: Array) -> Array:
    """Share of each window's values (n, time) that are at most each level (n, levels)."""
    ordered = np.sort(values.astype(np.float64), axis=1)
    counts = np.stack([np.searchsorted(row, grid, side="right") for row in ordered])
    return np.asarray(counts / values.shape[1], dtype=np.float64)


def _totals(real: NDArray[np.float32], subject: NDArray[np.str_], grid: Array) -> Array:
    """The shares of each person's windows, and their number (subjects, levels + 1)."""
    shares = _shares_below(real, grid)
    return by_subject(np.hstack([shares, np.ones((len(shares), 1))]), subject)
