"""Intervals of means over subjects and claims about paired differences, for many table cells at once.

One procedure decides each claim: interval and p value are the same test, so that p is at most 1 - `LEVEL`
exactly where the interval leaves out 0. `tests/benchmarks/intervals.py` compares the procedure with others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from threadpoolctl import threadpool_limits

from pulseveil.core.arrays import Floats
from pulseveil.core.randomness import Stream, child, generator

LEVEL = 0.95
# (RESAMPLES + 1) * 0.025 is whole: both limits are order statistics.
RESAMPLES = 9_999
FEWEST_FOR_BOOTSTRAP = 5
# Paired differences of shares.
_DIFFERENCES = (-1.0, 1.0)
# How many people may not decide a claim alone, and how many must be left to test the claim without them.
_FEW_PEOPLE, _FEWEST_LEFT = 2, 3
# How many resamples lie beyond each limit, and the limit itself.
_TAIL = round((RESAMPLES + 1) * (1 - LEVEL) / 2)
# 1.3 MB of resamples: a chunk that is read and written many times stays in a core's cache.
_CHUNK_ROWS = 16

Method = Literal["bootstrap-t", "t", "constant", "none"]


@dataclass(frozen=True, eq=False)
class Intervals:
    """Intervals of r means: `mean`, `low`, `high` (r) float64, NaN if undefined; `method` (r)."""

    mean: Floats
    low: Floats
    high: Floats
    method: NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class Claims(Intervals):
    """Claims about r mean differences: their intervals, and `p` and `two_people` (r) of the same tests.

    p: two-sided p value, at most 0.05 exactly where `low` to `high` leaves out 0; NaN without an interval.
    two_people: whether the interval would leave out 0, or reach it, without two people.
    """

    p: Floats
    two_people: NDArray[np.bool_]


class _Tests(NamedTuple):
    """Limits, p values of the mean 0, and methods of rows without gaps; all (r)."""

    low: Floats
    high: Floats
    p: Floats
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
    mean, low, high = (np.full(len(values), np.nan) for _ in range(3))
    method = np.full(len(values), "none", dtype="<U11")
    for rows, complete in _complete(values):
        mean[rows] = complete.mean(axis=1)
        if complete.shape[1] > 1:
            low[rows], high[rows], _, method[rows] = _tests(complete, stream, bounds)
    return Intervals(mean, low, high, method)


def paired_claims(differences: Floats, stream: Stream) -> Claims:
    """Claims about the mean of each row of `differences` (r, subjects), shares within -1 and 1.

    Limits as in `mean_intervals`. p is the smallest error at which the same interval leaves out 0. Equal
    values say nothing about people who differ: with n of them, at most 1 - 0.025^(1/n) of all people differ
    (two-sided binomial limit), and these people have differences of -1 or 1.

    Two people decide a claim if the interval without the two largest or without the two smallest differences
    lies on another side of 0. NaN values are left out.

    Source: Clopper and Pearson 1934, for no success in n; otherwise as in `mean_intervals`.

    Examples:
        >>> from pulseveil.core.randomness import root_stream
        >>> all_better, two_better = [0.1, 0.2, 0.15, 0.25, 0.1, 0.2], [0.0, 0.01, -0.01, 0.0, 0.6, 0.5]
        >>> found = paired_claims(np.array([all_better, two_better]), root_stream(1))
        >>> (found.low > 0).tolist(), (found.p <= 0.05).tolist()
        ([True, False], [True, False])
    """
    mean, low, high, p = (np.full(len(differences), np.nan) for _ in range(4))
    method = np.full(len(differences), "none", dtype="<U11")
    two_people = np.zeros(len(differences), dtype=np.bool_)
    for rows, complete in _complete(differences):
        mean[rows] = complete.mean(axis=1)
        if complete.shape[1] > 1:
            found = _claims(complete, stream)
            low[rows], high[rows], p[rows], method[rows] = found
            side = _side(found.low, found.high)
            two_people[rows] = _decided_by_two(complete, side, stream)
    return Claims(mean, low, high, method, p, two_people)


def _complete(values: Floats) -> Iterator[tuple[NDArray[np.intp], Floats]]:
    """Rows with the same number of defined values, and these values (rows, n)."""
    defined = ~np.isnan(values)
    counts = defined.sum(axis=1)
    for n in np.unique(counts[counts > 0]).tolist():
        rows = np.flatnonzero(counts == n)
        yield rows, values[rows][defined[rows]].reshape(len(rows), n)


def _claims(differences: Floats, stream: Stream) -> _Tests:
    low, high, p, method = _tests(differences, stream, _DIFFERENCES)
    constant = method == "constant"
    n, value = differences.shape[1], differences[:, 0]
    least, most = _limits_of_equal(differences)
    return _Tests(
        np.where(constant, least, low),
        np.where(constant, most, high),
        # (1 - differ)^n = p / 2 at the share that moves the limit to 0.
        np.where(constant, np.minimum(1.0, 2 * (1 + np.abs(value)) ** -float(n)), p),
        method,
    )


def _limits_of_equal(differences: Floats) -> tuple[Floats, Floats]:
    """Limits (r) of rows with equal differences, beside which a binomial share of people may differ."""
    n, value = differences.shape[1], differences[:, 0]
    differ = 1 - ((1 - LEVEL) / 2) ** (1 / n)
    least, most = _DIFFERENCES
    return value - differ * (value - least), value + differ * (most - value)


def _side(low: Floats, high: Floats) -> NDArray[np.int64]:
    """Side of 0 (r) on which each interval lies: 1 above, -1 below, 0 if the interval holds 0."""
    return np.where(low > 0, 1, np.where(high < 0, -1, 0))


def _decided_by_two(differences: Floats, side: NDArray[np.int64], stream: Stream) -> NDArray[np.bool_]:
    if differences.shape[1] < _FEW_PEOPLE + _FEWEST_LEFT:
        return np.zeros(len(differences), dtype=np.bool_)
    ordered = np.sort(differences, axis=1)
    parts = (ordered[:, _FEW_PEOPLE:], ordered[:, :-_FEW_PEOPLE])
    without = np.stack([_sides(part, stream) for part in parts])
    return np.asarray((without != side).any(axis=0), dtype=np.bool_)


def _sides(differences: Floats, stream: Stream) -> NDArray[np.int64]:
    """Sides of 0 (r) of the intervals of `_claims`, without their limits: sorting takes most of the time."""
    n = differences.shape[1]
    if n < FEWEST_FOR_BOOTSTRAP:
        found = _claims(differences, stream)
        return _side(found.low, found.high)
    rows = _described(differences)
    widest = _widest(n, _DIFFERENCES)
    reach = _reach(differences, rows, stream)
    # A limit is the `_TAIL`th resample: it leaves out 0 exactly if fewer resamples reach the mean.
    above = (reach.high < _TAIL) | (rows.mean > widest)
    below = (reach.low < _TAIL) | (-rows.mean > widest)
    least, most = _limits_of_equal(differences)
    sides = np.where(above, 1, np.where(below, -1, 0))
    return np.where(rows.constant, _side(least, most), sides)


class _Described(NamedTuple):
    """Mean and standard error of rows without gaps, and whether all values are equal; all (r)."""

    mean: Floats
    error: Floats
    constant: NDArray[np.bool_]


def _described(values: Floats) -> _Described:
    mean = values.mean(axis=1)
    spread = values.std(axis=1, ddof=1)
    # Rounding gives equal values a tiny spread, and their t statistics would be rounding divided by rounding.
    constant = spread <= 1e-12 * np.maximum(1.0, np.abs(mean))
    return _Described(mean, np.where(constant, 0.0, spread / np.sqrt(values.shape[1])), constant)


def _widest(n: int, bounds: tuple[float, float]) -> float:
    """Distance of the limits from the mean of n values within `bounds` by Hoeffding's inequality."""
    return float((bounds[1] - bounds[0]) * np.sqrt(np.log(2 / (1 - LEVEL)) / (2 * n)))


def _tests(values: Floats, stream: Stream, bounds: tuple[float, float]) -> _Tests:
    n = values.shape[1]
    rows = _described(values)
    mean, error, constant = rows
    if n < FEWEST_FOR_BOOTSTRAP:
        quantile = stats.t.ppf((1 + LEVEL) / 2, n - 1)
        below, above, name = quantile * error, quantile * error, "t"
        p = 2 * stats.t.sf(np.abs(mean) / np.where(constant, np.inf, error), n - 1)
    else:
        found = _bootstrap(values, rows, stream)
        widest = _widest(n, bounds)
        below, above = np.minimum(found.below, widest), np.minimum(found.above, widest)
        by_hoeffding = 2 * np.exp(-2 * n * (mean / (bounds[1] - bounds[0])) ** 2)
        # An interval of the narrower limits leaves out 0 where either does.
        p, name = np.minimum(found.p, by_hoeffding), "bootstrap-t"
    low, high = np.clip(mean - below, *bounds), np.clip(mean + above, *bounds)
    return _Tests(low, high, np.minimum(p, 1.0), np.where(constant, "constant", name))


class _Bootstrap(NamedTuple):
    """Distances of both limits from the mean, and p values of the mean 0; all (r)."""

    below: Floats
    above: Floats
    p: Floats


def _bootstrap(values: Floats, rows: _Described, stream: Stream) -> _Bootstrap:
    """Limits and p values by the bootstrap t statistic of each row (r, n); 0 and 1 for rows without spread.

    p counts resamples: a limit is the k-th of them, so the limit reaches 0 exactly if fewer than k resamples
    are at least as extreme as the mean.
    """
    below, above, as_extreme = (np.empty(len(values)) for _ in range(3))
    for part, moved in _resampled(values, rows, stream):
        reach = _reaching(moved, rows.mean[part])
        as_extreme[part] = np.minimum(reach.high, reach.low)
        moved.partition((_TAIL - 1, RESAMPLES - _TAIL), axis=1)
        below[part], above[part] = moved[:, RESAMPLES - _TAIL], -moved[:, _TAIL - 1]
    p = np.where(rows.constant, 1.0, 2 * (1 + as_extreme) / (1 + RESAMPLES))
    return _Bootstrap(below, above, p)


class _Reach(NamedTuple):
    """Numbers of resamples (r) that are at least as high, and at least as low, as the mean of the values."""

    high: NDArray[np.intp]
    low: NDArray[np.intp]


def _reach(values: Floats, rows: _Described, stream: Stream) -> _Reach:
    found = [_reaching(moved, rows.mean[part]) for part, moved in _resampled(values, rows, stream)]
    return _Reach(*(np.concatenate(counts) for counts in zip(*found, strict=True)))


def _reaching(moved: Floats, mean: Floats) -> _Reach:
    of_mean = mean[:, None]
    return _Reach(np.count_nonzero(moved >= of_mean, axis=1), np.count_nonzero(moved <= of_mean, axis=1))


def _resampled(values: Floats, rows: _Described, stream: Stream) -> Iterator[tuple[slice, Floats]]:
    """Resampled distances from the mean (some rows, RESAMPLES): t statistics times standard errors.

    All chunks share one array: a chunk must be used before the next one is asked for.
    """
    n = values.shape[1]
    centred = np.where(rows.constant[:, None], 0.0, values - rows.mean[:, None])
    # A stream per n: rows with another number of values must not shift these resamples. Resamples as weights:
    # mean and variance of all rows are then two matrix products.
    rng = generator(child(stream, "bootstrap", n))
    weights = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).T / n
    # In chunks: a study has thousands of rows, and each needs RESAMPLES numbers. The last chunk is the
    # longest, since products of few rows are rounded otherwise.
    ends = [*range(_CHUNK_ROWS, len(values) - _CHUNK_ROWS + 1, _CHUNK_ROWS), len(values)]
    # Written anew for each chunk: new arrays of this size take longer than what is computed in them.
    memory = np.empty((3, max(np.diff([0, *ends])), RESAMPLES))
    # The products are small: several threads would wait for each other longer than they multiply.
    with threadpool_limits(1, user_api="blas"):
        for start, end in pairwise([0, *ends]):
            part = slice(start, end)
            moved = _t_statistics(centred[part], weights, memory[:, : end - start])
            # Products and not quotients are compared: rounding must not part p from the limits.
            moved *= rows.error[part, None]
            moved[rows.constant[part]] = 0.0
            yield part, moved


def _t_statistics(centred: Floats, weights: Floats, memory: Floats) -> Floats:
    """Bootstrap t statistics (rows, RESAMPLES), in the first array of `memory` (3, rows, RESAMPLES)."""
    n = centred.shape[1]
    squares = centred**2
    mean: Floats = memory[0]
    variance, mean_squared = memory[1], memory[2]
    np.matmul(centred, weights, out=mean)
    np.matmul(squares, weights, out=variance)
    variance -= np.square(mean, out=mean_squared)
    # A resample that repeats one value has no spread: t is infinite, or 0 if its mean is the sample mean.
    flat = variance <= 1e-12 * np.mean(squares, axis=1, keepdims=True)
    of_flat = mean[flat]
    variance[flat] = 1.0
    variance /= n - 1
    np.sqrt(variance, out=variance)
    mean /= variance
    mean[flat] = np.where(of_flat == 0, 0.0, np.copysign(np.inf, of_flat))
    return mean
