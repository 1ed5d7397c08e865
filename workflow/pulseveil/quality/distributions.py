"""Distances between values, power spectra and correlations of real and synthetic windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.arrays import Floats
from pulseveil.core.randomness import Stream
from pulseveil.quality.intervals import Estimate, by_subject, over_subjects
from pulseveil.quality.samples import Pair, Sample

_LEVELS = 256


def wasserstein(
    real: NDArray[np.float32], other: NDArray[np.float32], subject: NDArray[np.str_], stream: Stream
) -> Estimate:
    """First Wasserstein distance between values of one signal (n, time) and (m, time), in the signal's unit.

    subject: (n) of the real windows, for the interval. 0 for equal distributions; values fall with more
    windows.

    Examples:
        >>> from pulseveil.core.randomness import root_stream
        >>> real = np.arange(8, dtype=np.float32).reshape(2, 4)
        >>> wasserstein(real, real + 3, np.array(["S1", "S1"]), root_stream(0))
        Estimate(value=3.0, low=nan, high=nan)
    """
    from scipy.stats import wasserstein_distance

    value = float(wasserstein_distance(real.ravel(), other.ravel()))
    # The value is exact. Its interval uses distribution functions on a grid, which are sums over people.
    grid = _grid(real, other)
    widths = np.diff(grid)
    shape = _shares_below(other, grid).mean(axis=0)

    def area(totals: Floats) -> Floats:
        apart = np.abs(totals[..., :-1] / totals[..., -1:] - shape)
        return np.asarray((apart[..., :-1] * widths).sum(axis=-1))

    return Estimate(value, *over_subjects(_totals(real, subject, grid), area, stream)[1:])


def kolmogorov_smirnov(
    real: NDArray[np.float32], other: NDArray[np.float32], subject: NDArray[np.str_], stream: Stream
) -> Estimate:
    """Kolmogorov-Smirnov statistic of one signal's values (n, time) and (m, time): largest gap of the CDFs.

    0 for equal distributions, 1 for disjoint ones; values fall with more windows. There is no p value,
    because samples of one window, and windows of one person, are not independent.
    """
    from scipy.stats import ks_2samp

    # `method` concerns only the unused p value, whose exact computation is slow.
    value = float(ks_2samp(real.ravel(), other.ravel(), method="asymp").statistic)
    grid = _grid(real, other)
    shape = _shares_below(other, grid).mean(axis=0)

    def gap(totals: Floats) -> Floats:
        return np.asarray(np.abs(totals[..., :-1] / totals[..., -1:] - shape).max(axis=-1))

    return Estimate(value, *over_subjects(_totals(real, subject, grid), gap, stream)[1:])


def _grid(real: NDArray[np.float32], other: NDArray[np.float32]) -> Floats:
    """Levels at which distribution functions are evaluated for the interval: quantiles of both sides."""
    values = np.concatenate([real.ravel(), other.ravel()]).astype(np.float64)
    return np.unique(np.quantile(values, np.linspace(0, 1, _LEVELS)))


def _shares_below(values: NDArray[np.float32], grid: Floats) -> Floats:
    """Share (n, levels) of each window's values (n, time) that are at most the level."""
    ordered = np.sort(values.astype(np.float64), axis=1)
    counts = np.stack([np.searchsorted(row, grid, side="right") for row in ordered])
    return np.asarray(counts / values.shape[1], dtype=np.float64)


def _totals(real: NDArray[np.float32], subject: NDArray[np.str_], grid: Floats) -> Floats:
    """Per-person sums of the shares, and the number of windows last (subjects, levels + 1)."""
    shares = _shares_below(real, grid)
    return by_subject(np.hstack([shares, np.ones((len(shares), 1))]), subject)


# Floor of the power as a share of the real signal's mean power: -60 dB, so that the logarithm stays finite.
_SILENCE = 1e-6


def power_spectra(windows: NDArray[np.float32], rate_hz: float) -> tuple[Floats, Floats]:
    """Frequencies (f) in Hz, without 0, and the power (n, f, channels) in squared units of the signal per Hz.

    Periodogram of windows (n, time, channels) less their mean, with a Hann window.

    Examples:
        >>> wave = np.sin(2 * np.pi * 0.25 * np.arange(60))[np.newaxis, :, np.newaxis]
        >>> frequency, power = power_spectra(wave, rate_hz=1.0)
        >>> float(frequency[power[0, :, 0].argmax()])
        0.25
    """
    from scipy.signal import periodogram

    frequency, power = periodogram(
        windows.astype(np.float64), rate_hz, window="hann", detrend="constant", axis=1
    )
    # Without the mean, bin 0 holds only what the Hann window leaks into it.
    return frequency[1:], power[:, 1:]


def spectral_distance(real: Floats, other: Floats, subject: NDArray[np.str_], stream: Stream) -> Estimate:
    """Mean absolute difference (dB) over frequencies of the mean spectra of real (n, f) and other (m, f).

    subject: (n) of the real windows, for the interval. 0 is ideal; values fall with more windows.
    """
    # `tiny` keeps the floor above 0 for a signal that never changes.
    floor = _SILENCE * max(float(real.mean()), float(np.finfo(np.float64).tiny))
    reference = _decibel(other.mean(axis=0), floor)

    def apart(totals: Floats) -> Floats:
        mean = totals[..., :-1] / totals[..., -1:]
        return np.asarray(np.abs(_decibel(mean, floor) - reference).mean(axis=-1))

    sums = by_subject(np.hstack([real, np.ones((len(real), 1))]), subject)
    return over_subjects(sums, apart, stream)


def _decibel(power: Floats, floor: float) -> Floats:
    return np.asarray(10 * np.log10(np.maximum(power, floor)))


def correlation_matrix(sample: Sample) -> Floats:
    """Pearson correlations (channels + 1, channels + 1) over all samples of all windows, stress last.

    0 for a signal that never changes.
    """
    return _matrix(_moments(sample).sum(axis=0), sample.windows.shape[2] + 1)


def correlation_distance(pair: Pair, stream: Stream) -> Estimate:
    """Mean absolute difference of the two sides' correlations over all pairs of signals and label, 0 to 2.

    As in the published study, with 21 pairs of six signals and the label. Chance raises the value if people
    are few; the number of windows hardly matters.
    """
    size = pair.real.windows.shape[2] + 1
    pairs = np.triu_indices(size, 1)
    other = correlation_matrix(pair.other)[pairs]

    def apart(totals: Floats) -> Floats:
        return np.asarray(np.abs(_matrix(totals, size)[..., pairs[0], pairs[1]] - other).mean(axis=-1))

    return over_subjects(by_subject(_moments(pair.real), pair.real.subject), apart, stream)


def _moments(sample: Sample) -> Floats:
    """Per window: number, sums and sums of products of its samples (n, 1 + k + k * k)."""
    # Moments add up over windows and people: a bootstrap sample needs no window again.
    n, time, _ = sample.windows.shape
    label = np.broadcast_to(sample.stress[:, np.newaxis, np.newaxis], (n, time, 1))
    values = np.concatenate([sample.windows.astype(np.float64), label.astype(np.float64)], axis=2)
    products = np.einsum("ntj,ntk->njk", values, values, optimize=True)
    return np.hstack([np.full((n, 1), float(time)), values.sum(axis=1), products.reshape(n, -1)])


def _matrix(totals: NDArray[np.float64], size: int) -> Floats:
    """Correlations (..., k, k) from summed moments (..., 1 + k + k * k)."""
    count = totals[..., :1]
    means = totals[..., 1 : size + 1] / count
    products = totals[..., size + 1 :].reshape(*totals.shape[:-1], size, size) / count[..., np.newaxis]
    covariance = products - means[..., :, np.newaxis] * means[..., np.newaxis, :]
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    # The variance of a constant signal is not exactly 0 after rounding: it counts as 0 below this bound.
    scale = np.where(variance > 1e-9 * np.maximum(1, means**2), np.sqrt(np.abs(variance)), np.inf)
    found = covariance / (scale[..., :, np.newaxis] * scale[..., np.newaxis, :])
    return np.asarray(np.where(np.eye(size, dtype=bool), 1.0, found))
