"""Correlations between the signals, and of each with the label, over all samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulseveil.quality.intervals import Array, Estimate, by_subject, over_subjects
from pulseveil.quality.samples import Pair, Sample
from pulseveil.randomness import Stream


def correlation_matrix(sample: Sample) -> Array:
    """Pearson correlations (channels + 1, channels + 1) over all samples; the last row is that with stress.

    0 for a signal that never changes.
    """
    return _matrix(_moments(sample).sum(axis=0), sample.windows.shape[2] + 1)


def correlation_distance(pair: Pair, stream: Stream) -> Estimate:
    """Mean absolute difference of the two sides' correlations over all pairs, 0 to 2.

    The published study's number: 21 pairs of six signals and the label. Biased up by chance where people are
    few, hardly by n.
    """
    size = pair.real.windows.shape[2] + 1
    pairs = np.triu_indices(size, 1)
    other = correlation_matrix(pair.other)[pairs]

    def apart(totals: Array) -> Array:
        return np.asarray(np.abs(_matrix(totals, size)[..., pairs[0], pairs[1]] - other).mean(axis=-1))

    return over_subjects(by_subject(_moments(pair.real), pair.real.subject), apart, stream)


def _moments(sample: Sample) -> Array:
    """Of each window the number, sums and sums of products of its samples (n, 1 + k + k * k)."""
    n, time, _ = sample.windows.shape
    label = np.broadcast_to(sample.stress[:, np.newaxis, np.newaxis], (n, time, 1))
    values = np.concatenate([sample.windows.astype(np.float64), label.astype(np.float64)], axis=2)
    products = np.einsum("ntj,ntk->njk", values, values, optimize=True)
    return np.hstack([np.full((n, 1), float(time)), values.sum(axis=1), products.reshape(n, -1)])


def _matrix(totals: NDArray[np.float64], size: int) -> Array:
    """Correlations (..., k, k) from summed moments (..., 1 + k + k * k)."""
    count = totals[..., :1]
    means = totals[..., 1 : size + 1] / count
    products = totals[..., size + 1 :].reshape(*totals.shape[:-1], size, size) / count[..., np.newaxis]
    covariance = products - means[..., :, np.newaxis] * means[..., np.newaxis, :]
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    # What rounding leaves of the variance of a constant signal is no variation.
    scale = np.where(variance > 1e-9 * np.maximum(1, means**2), np.sqrt(np.abs(variance)), np.inf)
    found = covariance / (scale[..., :, np.newaxis] * scale[..., np.newaxis, :])
    return np.asarray(np.where(np.eye(size, dtype=bool), 1.0, found))
