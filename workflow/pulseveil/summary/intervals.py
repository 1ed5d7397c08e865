"""Confidence intervals of a mean over subjects and sign-flip tests, for many table cells at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pulseveil.core.arrays import Floats
from pulseveil.core.randomness import Stream, child, generator

LEVEL = 0.95
# (RESAMPLES + 1) * 0.025 is whole: both limits are order statistics.
RESAMPLES = 9_999
FEWEST_FOR_BOOTSTRAP = 5
MOST_FOR_ENUMERATION = 20
# With the observed pattern 100,000: p values are whole multiples of 1e-5.
SIGN_DRAWS = 99_999
# 64 MB of float64.
_CHUNK_NUMBERS = 1 << 23

Method = Literal["bootstrap-t", "t", "constant", "none"]


@dataclass(frozen=True, eq=False)
class Intervals:
    """Intervals of r means: `mean`, `low`, `high` (r) float64, NaN if undefined; `method` (r)."""

    mean: Floats
    low: Floats
    high: Floats
    method: NDArray[np.str_]


def mean_intervals(values: Floats, stream: Stream, bounds: tuple[float, float] = (0.0, 1.0)) -> Intervals:
    """95 % confidence interval of the mean of each row of `values` (r, subjects); NaN values are left out.

    From 5 values on: bootstrap-t, clipped to Hoeffding's inequality for values within `bounds`. Below:
    Student's t. Equal values give a point ("constant"), a single value gives no interval ("none").

    Bootstrap-t divides each resampled mean by its own standard error. For about 15 skewed values it keeps its
    coverage, where the percentile bootstrap covers some 90 %. If most values are equal one of its limits can
    be infinite: Hoeffding's inequality bounds this limit.

    All rows with the same number of values share the resamples of `stream`, so the interval of a row does not
    depend on other rows.

    Source: Efron and Tibshirani 1993, section 12.5; Davison and Hinkley 1997, section 5.2; Hoeffding 1963.

    Examples:
        >>> from pulseveil.core.randomness import root_stream
        >>> found = mean_intervals(np.array([[0.6, 0.7, 0.8], [0.9, 0.9, 0.9]]), root_stream(1))
        >>> found.mean.round(3).tolist(), found.low.round(3).tolist(), found.method.tolist()
        ([0.7, 0.9], [0.452, 0.9], ['t', 'constant'])
    """
    defined = ~np.isnan(values)
    counts = defined.sum(axis=1)
    mean, low, high = (np.full(len(values), np.nan) for _ in range(3))
    method = np.full(len(values), "none", dtype="<U11")
    for n in np.unique(counts[counts > 0]).tolist():
        rows = np.flatnonzero(counts == n)
        complete = values[rows][defined[rows]].reshape(len(rows), n)
        mean[rows] = complete.mean(axis=1)
        if n > 1:
            low[rows], high[rows], method[rows] = _complete_intervals(complete, stream, bounds)
    return Intervals(mean, low, high, method)


def sign_flip_p(differences: Floats, stream: Stream) -> Floats:
    """Two-sided p values (r) of the mean of each row of `differences` (r, subjects) under exchangeable signs.

    Up to 20 values: exact, over all sign patterns. Above: 99,999 random patterns, and the observed pattern
    counts as one of them, so p is never 0. NaN values are left out; a row without values has p NaN.

    Examples:
        >>> from pulseveil.core.randomness import root_stream
        >>> sign_flip_p(np.array([[0.1, 0.2, 0.1, 0.3], [0.1, -0.1, 0.2, -0.2]]), root_stream(1)).tolist()
        [0.125, 1.0]
    """
    defined = ~np.isnan(differences)
    counts = defined.sum(axis=1)
    p = np.full(len(differences), np.nan)
    for n in np.unique(counts[counts > 0]).tolist():
        rows = np.flatnonzero(counts == n)
        complete = differences[rows][defined[rows]].reshape(len(rows), n)
        p[rows] = _exact_p(complete) if n <= MOST_FOR_ENUMERATION else _monte_carlo_p(complete, stream)
    return p


def _complete_intervals(
    values: Floats, stream: Stream, bounds: tuple[float, float]
) -> tuple[Floats, Floats, NDArray[np.str_]]:
    n = values.shape[1]
    mean = values.mean(axis=1)
    spread = values.std(axis=1, ddof=1)
    # Rounding gives equal values a tiny spread, and their t statistics would be rounding divided by rounding.
    constant = spread <= 1e-12 * np.maximum(1.0, np.abs(mean))
    error = np.where(constant, 0.0, spread / np.sqrt(n))
    if n < FEWEST_FOR_BOOTSTRAP:
        quantile = stats.t.ppf((1 + LEVEL) / 2, n - 1)
        below, above, name = quantile * error, quantile * error, "t"
    else:
        # A stream per n: rows with another number of values must not shift these resamples.
        lower, upper = _studentised_quantiles(values, constant, child(stream, "bootstrap", n))
        widest = (bounds[1] - bounds[0]) * np.sqrt(np.log(2 / (1 - LEVEL)) / (2 * n))
        below, above = np.minimum(upper * error, widest), np.minimum(-lower * error, widest)
        name = "bootstrap-t"
    low, high = np.clip(mean - below, *bounds), np.clip(mean + above, *bounds)
    return low, high, np.where(constant, "constant", name)


def _studentised_quantiles(
    values: Floats, constant: NDArray[np.bool_], stream: Stream
) -> tuple[Floats, Floats]:
    """2.5 % and 97.5 % quantiles (r each) of the bootstrap t statistic of each row; 0 for constant rows."""
    n = values.shape[1]
    centred = np.where(constant[:, None], 0.0, values - values.mean(axis=1, keepdims=True))
    # Resamples as weights: mean and variance of all rows are then two matrix products.
    weights = generator(stream).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).T / n
    tail = round((RESAMPLES + 1) * (1 - LEVEL) / 2)
    lower, upper = np.empty(len(values)), np.empty(len(values))
    # In chunks: a study has thousands of rows, and each needs RESAMPLES numbers.
    step = max(1, _CHUNK_NUMBERS // RESAMPLES)
    for start in range(0, len(values), step):
        rows = slice(start, start + step)
        t = np.partition(_t_statistics(centred[rows], weights), (tail - 1, RESAMPLES - tail), axis=1)
        lower[rows], upper[rows] = t[:, tail - 1], t[:, RESAMPLES - tail]
    return lower, upper


def _t_statistics(centred: Floats, weights: Floats) -> Floats:
    n = centred.shape[1]
    mean = centred @ weights
    variance = (centred**2) @ weights - mean**2
    # A resample that repeats one value has no spread: t is infinite, or 0 if its mean is the sample mean.
    flat = variance <= 1e-12 * np.mean(centred**2, axis=1, keepdims=True)
    error = np.sqrt(np.where(flat, 1.0, variance) / (n - 1))
    infinite = np.where(mean == 0, 0.0, np.copysign(np.inf, mean))
    return np.where(flat, infinite, mean / error)


def _exact_p(differences: Floats) -> Floats:
    n = differences.shape[1]
    # A pattern and its mirror image are equally extreme: the first sign can stay positive, half the work.
    patterns = np.arange(2 ** (n - 1))
    signs = _signs((patterns >> np.arange(n)[:, None]) & 1)
    return _share_as_extreme(differences, signs)


def _monte_carlo_p(differences: Floats, stream: Stream) -> Floats:
    n = differences.shape[1]
    draws = generator(child(stream, "signs", n)).integers(0, 2, size=(n, SIGN_DRAWS))
    return (1 + SIGN_DRAWS * _share_as_extreme(differences, _signs(draws))) / (1 + SIGN_DRAWS)


def _signs(bits: NDArray[np.int64]) -> Floats:
    return np.asarray(1.0 - 2.0 * bits, dtype=np.float64)


def _share_as_extreme(differences: Floats, signs: Floats) -> Floats:
    """Share (r) of sign patterns (n, patterns) whose sum is at least as far from 0 as the observed sum."""
    observed = np.abs(differences.sum(axis=1, keepdims=True))
    # Sums of the same numbers in another order differ in their last digits: ties must count as hits.
    slack = 1e-9 * np.abs(differences).sum(axis=1, keepdims=True)
    share = np.empty(len(differences))
    step = max(1, _CHUNK_NUMBERS // signs.shape[1])
    for start in range(0, len(differences), step):
        rows = slice(start, start + step)
        share[rows] = (np.abs(differences[rows] @ signs) >= observed[rows] - slack[rows]).mean(axis=1)
    return share
