"""Class-conditional moments as one noised query, small enough for a guarantee at unit subject.

A window of 60 s and 6 channels has 360 values: with 14 people, noise on so many values hides all of them. So
each channel of a window is summarised by its mean (or its first cosine coefficients), the square of that, and
the logarithm of the remaining standard deviation, the "rest": 18 numbers in all. The spectrum of the rest is
public: its energy falls with the square of the frequency, as in a random walk.

The autoencoder learns the same few values of a window (`WindowValues`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.core.arrays import Floats
from pulseveil.core.settings import Settings
from pulseveil.privacy import accounting
from pulseveil.privacy.budget import Budget, Mechanism, Unit
from pulseveil.privacy.gaussian import posterior_mean
from pulseveil.privacy.records import person_means

PUBLIC_QUANTITIES = (
    "number of people",
    "windows of a person",
    "shares of the conditions",
    "unit, range and spectrum of the channels",
)

# Public constants in units of the channels, where one unit is a change that matters. A value more than four
# units from the centre is an artefact. The mean of a condition lies within about one unit of the centre, its
# windows within half a unit of that mean; the deviation within a minute is about 0.3 units. All are prior
# knowledge: if they were computed from the data, they would need a share of the budget.
RANGE = 4.0
MEAN_SPREAD = 1.0
VARIANCE, VARIANCE_SPREAD, LEAST_VARIANCE = 0.25, 0.25, 0.01
LOG_REST, LOG_REST_SPREAD, LEAST_REST = -1.2, 1.0, 1e-3
# Squares and logarithms are larger numbers than means and matter less: without weights they would use up the
# clip norm.
SQUARE_WEIGHT, LOG_WEIGHT = 0.3, 0.5
# Cosines with a random coefficient of their own. All faster cosines together are sampled as white noise.
COSINES = 12


class PrivateMoments(Settings):
    """Settings of the private training of `moments`."""

    coefficients: int = Field(
        1, gt=0, lt=COSINES, description="cosine coefficients learnt per channel; 1: only the mean"
    )
    clip_norm: float = Field(3.0, gt=0, description="largest L2 norm of one record's contribution")
    centre: float = Field(
        0.0,
        description="value of the windows at rest: 0 for scaling calibration, 0.5 for other scalings",
    )
    unit: float = Field(
        1.0,
        gt=0,
        description="a change that matters: 1 for scaling calibration, 0.25 for other scalings",
    )


@dataclass(frozen=True, eq=False)
class ClassMoments:
    """Moments per condition: mean, variance of the coefficients (k, channels, c), log rest (k, channels)."""

    mean: Floats
    variance: Floats
    log_rest: Floats


def moments_mechanism(private: PrivateMoments, budget: Budget) -> Mechanism:
    """The query of a training within `budget`: one Gaussian mechanism on the sum of all records."""
    n = budget.known_population().records(budget.unit)
    return accounting.calibrate(
        budget, name="moments", n=n, q=1.0, capacity=n, steps=1, clip_norm=private.clip_norm
    )


def cosines(time: int, number: int) -> Floats:
    """The first cosines (number, time), orthogonal, each with mean square 1; the first one is constant.

    Examples:
        >>> cosines(4, 2).round(2).tolist()
        [[1.0, 1.0, 1.0, 1.0], [1.31, 0.54, -0.54, -1.31]]
    """
    phase = np.pi * (np.arange(time) + 0.5) / time
    basis: Floats = np.sqrt(2) * np.cos(np.arange(number)[:, np.newaxis] * phase)
    basis[0] = 1.0
    return basis


def slow_and_rest(
    windows: NDArray[np.floating], coefficients: int, centre: float, unit: float
) -> tuple[Floats, Floats]:
    """Slow cosine coefficients (n, channels, c) and log rests (n, channels) of windows (n, time, channels).

    Both are in public units, with artefacts clipped to the public range. The rest is the standard deviation
    that the slow cosines leave.
    """
    # Clipped before any mean: one artefact would otherwise decide all values of its record.
    units = np.clip((windows.astype(np.float64) - centre) / unit, -RANGE, RANGE)
    basis = cosines(units.shape[1], coefficients)
    found = np.einsum("ntk,ct->nkc", units, basis) / units.shape[1]
    energy = np.square(units).mean(axis=1) - np.square(found).sum(axis=2)
    return found, np.log(np.sqrt(np.maximum(energy, LEAST_REST**2)))


def rest_shares(time: int, known: int) -> tuple[Floats, float]:
    """Shares of the energy of the rest: of each sampled cosine from number `known` on, and of white noise.

    The energy covers all cosines from number `known` to the fastest that `time` samples can represent.
    """
    sampled = min(COSINES, time)
    energy = 1 / np.square(np.arange(known, max(time, sampled + 1)))
    share: Floats = energy / energy.sum()
    return share[: sampled - known], float(share[sampled - known :].sum())


def window_summaries(windows: NDArray[np.floating], private: PrivateMoments) -> Floats:
    """Summaries (n, channels * (2 c + 1)) of windows (n, time, channels): means, squares, log rests."""
    found, log_rest = slow_and_rest(windows, private.coefficients, private.centre, private.unit)
    parts = (
        found.reshape(len(found), -1),
        SQUARE_WEIGHT * np.square(found).reshape(len(found), -1),
        # Less the public value: a summand that all records share would use up the clip norm.
        LOG_WEIGHT * (log_rest - LOG_REST),
    )
    return np.hstack(parts)


def contributions(
    summaries: Floats, condition: NDArray[np.int8], subject: NDArray[np.str_], classes: int, unit: Unit
) -> Floats:
    """Contribution of each record to the query (records, classes * m), before clipping.

    Args:
        summaries: (n, m) of the windows.

    At unit window, a record holds the summary of the window in the slots of its condition, and zeros in all
    other slots. At unit subject, it holds the mean over the person's windows of each condition, and zeros for
    a condition without windows.
    """
    people = np.unique(subject)
    slots = []
    for code in range(classes):
        own = condition == code
        if unit == "window":
            slots.append(np.where(own[:, np.newaxis], summaries, 0.0))
            continue
        means = np.zeros((len(people), summaries.shape[1]))
        means[np.isin(people, subject[own])] = person_means(summaries[own], subject[own])
        slots.append(means)
    return np.hstack(slots)


def released_moments(
    total: Floats, private: PrivateMoments, mechanism: Mechanism, shares: Floats, channels: int
) -> ClassMoments:
    """Moments from a released sum (k * m) of `contributions`, shrunk to public values where noise is large.

    Args:
        total: (k * m), the clipped sum with its noise.
        shares: (k), public shares of the conditions.
    """
    # Only public constants and the released sum enter from here on: post-processing, which costs no epsilon.
    records = np.ones(len(shares)) if mechanism.unit == "subject" else shares
    # At unit subject, each of the n records adds a mean per condition. At unit window, the public shares
    # divide the n records among the conditions.
    divisor = (mechanism.n * records)[:, np.newaxis]
    noise = (mechanism.noise_multiplier * mechanism.clip_norm / divisor) ** 2
    size = channels * private.coefficients
    found = total.reshape(len(shares), -1) / divisor
    mean = posterior_mean(found[:, :size], noise, 0.0, MEAN_SPREAD**2)
    variance = found[:, size : 2 * size] / SQUARE_WEIGHT - np.square(mean)
    variance = posterior_mean(variance, noise / SQUARE_WEIGHT**2, VARIANCE, VARIANCE_SPREAD**2)
    log_rest = LOG_REST + found[:, 2 * size :] / LOG_WEIGHT
    log_rest = posterior_mean(log_rest, noise / LOG_WEIGHT**2, LOG_REST, LOG_REST_SPREAD**2)
    shape = (len(shares), channels, private.coefficients)
    # Noise can make an estimated variance negative: the floor keeps its square root real.
    return ClassMoments(mean.reshape(shape), np.maximum(variance, LEAST_VARIANCE).reshape(shape), log_rest)


def as_gaussian(moments: ClassMoments, private: PrivateMoments, time: int) -> tuple[Floats, Floats, Floats]:
    """Mean (k, d), factors (k, rank, d) and residual deviation (k, d) of windows of `time` samples.

    d = time * channels, flattened like the windows. The rank is channels times the number of sampled cosines.
    """
    classes, channels, known = moments.mean.shape
    sampled = min(COSINES, time)
    basis = cosines(time, sampled)
    mean = private.centre + private.unit * np.einsum("kcj,jt->ktc", moments.mean, basis[:known])
    share, white_share = rest_shares(time, known)
    rest = np.exp(2 * moments.log_rest)[:, :, np.newaxis]
    spectrum = np.concatenate([moments.variance, rest * share], axis=2)
    scaled = private.unit * np.einsum("kcj,jt->kcjt", np.sqrt(spectrum), basis)
    factors = np.zeros((classes, channels, sampled, time, channels))
    for channel in range(channels):
        factors[:, channel, :, :, channel] = scaled[:, channel]
    white = private.unit * np.sqrt(rest[:, :, 0] * white_share)
    residual = np.broadcast_to(white[:, np.newaxis], mean.shape)
    return (
        mean.reshape(classes, -1),
        factors.reshape(classes, channels * sampled, -1),
        residual.reshape(classes, -1),
    )


Values = NDArray[np.float32]


@dataclass(frozen=True)
class WindowValues:
    """Conversion between windows (n, time, channels) and their values (n, channels * (coefficients + 1)).

    Examples:
        >>> form = WindowValues(time=2, channels=1, coefficients=1, centre=0.0, unit=1.0)
        >>> values = form.of(np.array([[[1.0], [2.0]]]))
        >>> values.round(1).tolist()
        [[1.5, 0.5]]
        >>> form.windows(values, np.zeros((1, form.noise_size))).tolist()
        [[[1.5], [1.5]]]
    """

    time: int
    channels: int
    coefficients: int
    centre: float
    unit: float

    @property
    def size(self) -> int:
        """Number of values per window."""
        return self.channels * (self.coefficients + 1)

    @property
    def noise_size(self) -> int:
        """Number of standard normal numbers from which the rest of one window is sampled."""
        return self.channels * (min(COSINES, self.time) - self.coefficients + self.time)

    def of(self, windows: NDArray[np.floating]) -> Values:
        """Values of windows: coefficients channel by channel, then log rests minus the public `LOG_REST`."""
        slow, log_rest = slow_and_rest(windows, self.coefficients, self.centre, self.unit)
        return np.hstack([slow.reshape(len(slow), -1), log_rest - LOG_REST]).astype(np.float32)

    def windows(self, values: NDArray[np.floating], noise: NDArray[np.floating]) -> Values:
        """Windows with the slow part of `values` and a rest sampled by noise (n, noise_size).

        Values beyond the public range are clipped to it.
        """
        n, size = len(values), self.channels * self.coefficients
        # A decoder trained with noise can give any number: the exponential of a large one would overflow.
        slow = np.clip(values[:, :size], -RANGE, RANGE).reshape(n, self.channels, -1)
        deviation = np.exp(np.clip(values[:, size:] + LOG_REST, np.log(LEAST_REST), np.log(RANGE)))
        sampled = min(COSINES, self.time)
        share, white_share = rest_shares(self.time, self.coefficients)
        fast, white = np.split(noise, [self.channels * (sampled - self.coefficients)], axis=1)
        fast = fast.reshape(n, self.channels, -1) * np.sqrt(share) * deviation[:, :, np.newaxis]
        smooth = np.einsum("nkc,ct->ntk", np.concatenate([slow, fast], axis=2), cosines(self.time, sampled))
        rough = white.reshape(n, self.time, self.channels) * np.sqrt(white_share) * deviation[:, np.newaxis]
        windows: Values = (self.centre + self.unit * (smooth + rough)).astype(np.float32)
        return windows
