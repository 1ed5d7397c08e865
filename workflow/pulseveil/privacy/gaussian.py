"""Noised sums of clipped records in whole numbers: one-query releases, and steps of small models."""

from __future__ import annotations

import math
import secrets
from random import Random

import numpy as np
from numpy.typing import NDArray

from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.noise import Noise

Floats = NDArray[np.float64]

_SLACK = 1e-6


def clip_rows(values: Floats, norm: float) -> Floats:
    """Rows of `values` (n, d), scaled down to L2 norm `norm * (1 - 1e-6)` where they are longer.

    A row with a non-finite value becomes zero.
    """
    finite = np.isfinite(values).all(axis=1, keepdims=True)
    rows = np.where(finite, values, 0.0)
    # Squares of large values overflow: norms are taken of rows divided by their largest value.
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    unit = rows / np.where(largest > 0, largest, 1.0)
    length = np.linalg.norm(unit, axis=1, keepdims=True)
    limit = norm * (1 - _SLACK)
    too_long = largest > limit / np.maximum(length, 1.0)
    return np.where(too_long, unit * (limit / np.maximum(length, 1.0)), rows)


def release(contributions: Floats, mechanism: Mechanism, noise: Noise, step: int = 0) -> Floats:
    """The noised sum (d) of the clipped rows of `contributions` (records, d): a step, of a full batch.

    Clipped rows are rounded to a grid so fine that their norm stays below the clip norm, and summed in whole
    numbers. With secret noise the sum gets discrete Gaussian noise from the operating system's randomness:
    neither sum nor noise has floating-point digits that could tell them apart. Reproducible noise comes from
    `noise`, by the number of the step. Raises ValueError for a step that the mechanism does not have, another
    sampler than the full batch, or more than n records.

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


def grid_step(clip_norm: float, width: int) -> float:
    """The power of two whose rounding moves a row of `width` values by at most half of clipping's slack."""
    return 2.0 ** math.floor(math.log2(_SLACK * clip_norm / math.sqrt(max(width, 1))))


def on_grid(rows: Floats, step: float) -> NDArray[np.int64]:
    """`rows` in whole steps of the grid, rounded to the nearest."""
    return np.rint(rows / step).astype(np.int64)


def _draws(mechanism: Mechanism, clip_norm: float, width: int, noise: Noise, step: int) -> Floats:
    """Noise (width) in the unit of `clip_norm`; whole numbers, rounded up to a little more, where secret."""
    scale = mechanism.noise_multiplier * clip_norm
    if noise.secret:
        # A clip norm is a million steps and more: there the discrete Gaussian's loss is the continuous one's.
        random = secrets.SystemRandom()
        return np.array([discrete_gaussian(math.ceil(scale), random) for _ in range(width)], np.float64)
    return noise.generator(mechanism.name, step, "sum", "noise").normal(scale=scale, size=width)


def discrete_gaussian(sigma: int, random: Random) -> int:
    """A whole number x with probability proportional to exp(-x^2 / (2 sigma^2)), exactly.

    Source: Canonne, Kamath and Steinke 2020, algorithm 3.
    """
    scale = sigma + 1
    while True:
        y = _discrete_laplace(scale, random)
        # |y| - sigma^2 / scale, squared, over 2 sigma^2: kept as one fraction of whole numbers.
        if _bernoulli_exp((abs(y) * scale - sigma**2) ** 2, 2 * sigma**2 * scale**2, random):
            return y


def _discrete_laplace(scale: int, random: Random) -> int:
    """A whole number x with probability proportional to exp(-|x| / scale). Source: algorithm 2."""
    while True:
        rest = random.randrange(scale)
        if not _bernoulli_exp(rest, scale, random):
            continue
        times = 0
        while _bernoulli_exp(1, 1, random):
            times += 1
        size, negative = rest + scale * times, random.getrandbits(1)
        if size > 0 or not negative:
            return -size if negative else size


def _bernoulli_exp(numerator: int, denominator: int, random: Random) -> bool:
    """True with probability exp(-numerator / denominator), exactly. Source: algorithm 1."""
    whole, rest = divmod(numerator, denominator)
    return all(_bernoulli_exp_fraction(1, 1, random) for _ in range(whole)) and _bernoulli_exp_fraction(
        rest, denominator, random
    )


def _bernoulli_exp_fraction(numerator: int, denominator: int, random: Random) -> bool:
    """The same for fractions up to 1: of Bernoulli(fraction / k), k = 1, 2, ..., an odd one fails first."""
    k = 1
    while random.randrange(denominator * k) < numerator:
        k += 1
    return k % 2 == 1
