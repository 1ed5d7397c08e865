"""Gaussian mechanism in whole numbers: one-query releases, and full-batch steps of small models."""

from __future__ import annotations

import math
import secrets
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.arrays import Floats
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.noise import Noise

# Rows are clipped to this much less than the clip norm: rounding to the grid uses at most half of it.
_SLACK = 1e-6


def clip_rows(values: Floats, norm: float) -> Floats:
    """Clip rows of `values` (n, d) to L2 norm `norm * (1 - 1e-6)`.

    A row with a non-finite value becomes zero.

    Guarantee:
        No row is longer than `norm`, and none depends on another row: one record, replaced by zero, moves the
        sum of the rows by at most `norm`.

    Examples:
        >>> clip_rows(np.array([[3.0, 4.0], [0.3, 0.4], [np.inf, 0.0]]), norm=1.0).round(3).tolist()
        [[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]
    """
    finite = np.isfinite(values).all(axis=1, keepdims=True)
    rows = np.where(finite, values, 0.0)
    # Squares of large values overflow: norms are taken of rows divided by their largest value, and compared
    # without a product of both.
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    unit = rows / np.where(largest > 0, largest, 1.0)
    length = np.linalg.norm(unit, axis=1, keepdims=True)
    limit = norm * (1 - _SLACK)
    too_long = largest > limit / np.maximum(length, 1.0)
    return np.where(too_long, unit * (limit / np.maximum(length, 1.0)), rows)


def release(contributions: Floats, mechanism: Mechanism, noise: Noise, step: int = 0) -> Floats:
    """Noised sum (d) of the clipped rows of `contributions` (records, d): one full-batch step.

    Clipped rows are rounded to a grid so fine that their norm stays below the clip norm, and are summed in
    whole numbers. With secret noise, the sum gets discrete Gaussian noise from the operating system's
    randomness. Reproducible noise comes from `noise`, by the number of the step.

    Raises:
        ValueError: the mechanism has no such step or another sampler than the full batch, or there are more
            than n records.

    Guarantee:
        One of the mechanism's Gaussian steps at its unit, for zero-out neighbours, if each row is one
        record's contribution and depends on no other record. Neither sum nor noise has floating-point digits
        that differ between neighbours. Contributions must hold all that is read of the data: labels, scaling
        and counts are not protected by it. Reproducible noise protects nobody.

    Source: Canonne, Kamath and Steinke 2020 (arXiv:2004.00010); Mironov 2012 for the attack on floats.
    """
    records, width = contributions.shape
    if step >= mechanism.steps or mechanism.sampler != "full batch" or records > mechanism.n:
        raise ValueError(
            f"mechanism {mechanism.name}: expected one of {mechanism.steps} steps over all of at most "
            f"{mechanism.n} records, found step {step} of a {mechanism.sampler} over {records}"
        )
    grid = grid_step(mechanism.clip_norm, width)
    total = on_grid(clip_rows(contributions, mechanism.clip_norm), grid).sum(axis=0)
    noised: Floats = (total + _draws(mechanism, mechanism.clip_norm / grid, width, noise, step)) * grid
    return noised


def posterior_mean(found: Floats, noise_variance: Any, expected: Any, prior_variance: float) -> Floats:
    """Mean of the normal posterior of released values `found`, whose noise has a known variance.

    The prior is normal, around `expected`. Shrinkage is post-processing: it costs no epsilon if expectation
    and variances are public.

    Examples:
        >>> posterior_mean(np.array([2.0]), noise_variance=3.0, expected=0.0, prior_variance=1.0)
        array([0.5])
    """
    weight = prior_variance / (prior_variance + noise_variance)
    mean: Floats = weight * found + (1 - weight) * expected
    return mean


def grid_step(clip_norm: float, width: int) -> float:
    """Grid step: a power of two, so fine that rounding moves a row by at most half of clipping's slack.

    The width of a row is part of it, since the rounding errors of `width` values add up in the norm.
    """
    return 2.0 ** math.floor(math.log2(_SLACK * clip_norm / math.sqrt(max(width, 1))))


def on_grid(rows: Floats, step: float) -> NDArray[np.int64]:
    """Round `rows` to whole steps of the grid (int64)."""
    return np.rint(rows / step).astype(np.int64)


def _draws(mechanism: Mechanism, clip_norm: float, width: int, noise: Noise, step: int) -> Floats:
    """Noise (width) in units of the grid, as `clip_norm` is; whole numbers if the noise is secret."""
    scale = mechanism.noise_multiplier * clip_norm
    if noise.secret:
        # A clip norm has a million steps and more: the discrete Gaussian's loss is then that of the
        # continuous one. Rounding its deviation up adds noise.
        random = secrets.SystemRandom()
        return np.array([discrete_gaussian(math.ceil(scale), random) for _ in range(width)], np.float64)
    return noise.generator(mechanism.name, step, "sum", "noise").normal(scale=scale, size=width)


def discrete_gaussian(sigma: int, random: Random) -> int:
    """Draw a whole number x with probability proportional to exp(-x^2 / (2 sigma^2)), exactly.

    Guarantee:
        Exact if `random` gives independent uniform whole numbers: no float takes part. The time of a draw
        depends on its value, which no guarantee here covers.

    Source: Canonne, Kamath and Steinke 2020, algorithm 3.
    """
    scale = sigma + 1
    while True:
        y = _discrete_laplace(scale, random)
        # (|y| - sigma^2 / scale)^2 / (2 sigma^2) as one fraction of whole numbers: a float would round it.
        if _bernoulli_exp((abs(y) * scale - sigma**2) ** 2, 2 * sigma**2 * scale**2, random):
            return y


def _discrete_laplace(scale: int, random: Random) -> int:
    """Draw a whole number x with probability proportional to exp(-|x| / scale). Source: algorithm 2."""
    while True:
        rest = random.randrange(scale)
        if not _bernoulli_exp(rest, scale, random):
            continue
        times = 0
        while _bernoulli_exp(1, 1, random):
            times += 1
        size, negative = rest + scale * times, random.getrandbits(1)
        # Minus zero is drawn again: with both signs, zero would be twice as likely as it should be.
        if size > 0 or not negative:
            return -size if negative else size


def _bernoulli_exp(numerator: int, denominator: int, random: Random) -> bool:
    """True with probability exp(-numerator / denominator), exactly. Source: algorithm 1."""
    whole, rest = divmod(numerator, denominator)
    return all(_bernoulli_exp_fraction(1, 1, random) for _ in range(whole)) and _bernoulli_exp_fraction(
        rest, denominator, random
    )


def _bernoulli_exp_fraction(numerator: int, denominator: int, random: Random) -> bool:
    """`_bernoulli_exp` for fractions up to 1: the first k with Bernoulli(fraction / k) false is odd."""
    k = 1
    while random.randrange(denominator * k) < numerator:
        k += 1
    return k % 2 == 1
