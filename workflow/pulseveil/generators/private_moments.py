"""Class-conditional moments as one noised query, small enough for a guarantee to whole persons.

A window of 60 s of 6 channels has 360 values, too many for the noise of 14 people. Each channel of a window
is summed up by its mean (or more of its first cosine coefficients), the square of that, and the logarithm of
the standard deviation that is left: 18 numbers. How that rest is spread over faster cosines is public: its
energy falls with the square of the frequency, as in a random walk.

The autoencoder learns windows in the same few values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.core.settings import Settings
from pulseveil.privacy import accounting
from pulseveil.privacy.budget import Budget, Mechanism, Unit
from pulseveil.privacy.records import person_means

Array = NDArray[np.float64]

PUBLIC_QUANTITIES = (
    "number of people",
    "windows of a person",
    "shares of the conditions",
    "unit, range and spectrum of the channels",
)

# Public knowledge in units of the channels, one of which is a change that matters: a value further than four
# units from the centre is an artefact; the mean of a condition lies within about one unit of the centre, its
# windows within half a unit of that; the deviation inside a minute is some 0.3 units.
RANGE = 4.0
MEAN_SPREAD = 1.0
VARIANCE, VARIANCE_SPREAD, LEAST_VARIANCE = 0.25, 0.25, 0.01
LOG_REST, LOG_REST_SPREAD, LEAST_REST = -1.2, 1.0, 1e-3
# Squares and logarithms are larger numbers than means, and matter less.
SQUARE_WEIGHT, LOG_WEIGHT = 0.3, 0.5
# Cosines that are drawn as such; all faster ones together are white noise.
COSINES = 12


class PrivateMoments(Settings):
    """How private moments are taken."""

    coefficients: int = Field(
        1, gt=0, lt=COSINES, description="cosine coefficients learnt of each channel; 1: the mean"
    )
    clip_norm: float = Field(3.0, gt=0, description="largest norm of one record's contribution")
    centre: float = Field(0.0, description="value of the windows at rest: 0 for calibration, 0.5 for others")
    unit: float = Field(1.0, gt=0, description="change that matters: 1 for calibration, 0.25 for others")


@dataclass(frozen=True, eq=False)
class ClassMoments:
    """Of each condition: mean and variance of the coefficients (k, channels, c), log rest (k, channels)."""

    mean: Array
    variance: Array
    log_rest: Array


def moments_mechanism(private: PrivateMoments, budget: Budget) -> Mechanism:
    """The one query of a training within `budget`."""
    n = budget.known_population().records(budget.unit)
    return accounting.calibrate(
        budget, name="moments", n=n, q=1.0, capacity=n, steps=1, clip_norm=private.clip_norm
    )


def cosines(time: int, number: int) -> Array:
    """The first cosines (number, time), orthogonal and of mean square 1; the first one is constant."""
    phase = np.pi * (np.arange(time) + 0.5) / time
    basis: Array = np.sqrt(2) * np.cos(np.arange(number)[:, np.newaxis] * phase)
    basis[0] = 1.0
    return basis


def slow_and_rest(
    windows: NDArray[np.floating], coefficients: int, centre: float, unit: float
) -> tuple[Array, Array]:
    """Slow cosine coefficients (n, channels, c) of windows (n, time, channels), and log rests (n, channels).

    In public units, artefacts cut to the public range. The rest is the deviation that the cosines leave.
    """
    units = np.clip((windows.astype(np.float64) - centre) / unit, -RANGE, RANGE)
    basis = cosines(units.shape[1], coefficients)
    found = np.einsum("ntk,ct->nkc", units, basis) / units.shape[1]
    energy = np.square(units).mean(axis=1) - np.square(found).sum(axis=2)
    return found, np.log(np.sqrt(np.maximum(energy, LEAST_REST**2)))


def rest_shares(time: int, known: int) -> tuple[Array, float]:
    """Shares of the rest's energy of the drawn cosines from number `known` on, and of the white remainder.

    Energy over all cosines from the known ones on, up to the fastest that `time` samples can show.
    """
    drawn = min(COSINES, time)
    energy = 1 / np.square(np.arange(known, max(time, drawn + 1)))
    share: Array = energy / energy.sum()
    return share[: drawn - known], float(share[drawn - known :].sum())


def window_summaries(windows: NDArray[np.floating], private: PrivateMoments) -> Array:
    """Summaries (n, channels * (2 c + 1)) of windows (n, time, channels): means, squares, log rests.

    All three are weighted, so that no kind takes up the clip norm alone.
    """
    found, log_rest = slow_and_rest(windows, private.coefficients, private.centre, private.unit)
    parts = (
        found.reshape(len(found), -1),
        SQUARE_WEIGHT * np.square(found).reshape(len(found), -1),
        LOG_WEIGHT * (log_rest - LOG_REST),
    )
    return np.hstack(parts)


def contributions(
    summaries: Array, condition: NDArray[np.int8], subject: NDArray[np.str_], classes: int, unit: Unit
) -> Array:
    """What each record adds to the query (records, classes * m), from `summaries` (n, m), before clipping.

    A window fills the slots of its own condition; a person the mean of the own windows of each condition,
    and zeros for a condition without any.
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
    total: Array, private: PrivateMoments, mechanism: Mechanism, shares: Array, channels: int
) -> ClassMoments:
    """The moments in a released sum (k * m) of `contributions`, divided by public constants only.

    Where the noise is large they are drawn to public values: a function of released values, at no epsilon.
    """
    records = np.ones(len(shares)) if mechanism.unit == "subject" else shares
    divisor = (mechanism.n * records)[:, np.newaxis]
    noise = (mechanism.noise_multiplier * mechanism.clip_norm / divisor) ** 2
    many = channels * private.coefficients
    found = total.reshape(len(shares), -1) / divisor
    mean = _posterior(found[:, :many], noise, 0.0, MEAN_SPREAD**2)
    variance = found[:, many : 2 * many] / SQUARE_WEIGHT - np.square(mean)
    variance = _posterior(variance, noise / SQUARE_WEIGHT**2, VARIANCE, VARIANCE_SPREAD**2)
    log_rest = LOG_REST + found[:, 2 * many :] / LOG_WEIGHT
    log_rest = _posterior(log_rest, noise / LOG_WEIGHT**2, LOG_REST, LOG_REST_SPREAD**2)
    shape = (len(shares), channels, private.coefficients)
    return ClassMoments(mean.reshape(shape), np.maximum(variance, LEAST_VARIANCE).reshape(shape), log_rest)


def as_gaussian(moments: ClassMoments, private: PrivateMoments, time: int) -> tuple[Array, Array, Array]:
    """Mean (k, d), factors (k, rank, d) and residual deviation (k, d) of windows of `time` samples.

    d = time * channels, flattened like the windows; the rank is channels times the drawn cosines.
    """
    classes, channels, known = moments.mean.shape
    drawn = min(COSINES, time)
    basis = cosines(time, drawn)
    mean = private.centre + private.unit * np.einsum("kcj,jt->ktc", moments.mean, basis[:known])
    share, white_share = rest_shares(time, known)
    rest = np.exp(2 * moments.log_rest)[:, :, np.newaxis]
    spectrum = np.concatenate([moments.variance, rest * share], axis=2)
    scaled = private.unit * np.einsum("kcj,jt->kcjt", np.sqrt(spectrum), basis)
    factors = np.zeros((classes, channels, drawn, time, channels))
    for channel in range(channels):
        factors[:, channel, :, :, channel] = scaled[:, channel]
    white = private.unit * np.sqrt(rest[:, :, 0] * white_share)
    residual = np.broadcast_to(white[:, np.newaxis], mean.shape)
    return (
        mean.reshape(classes, -1),
        factors.reshape(classes, channels * drawn, -1),
        residual.reshape(classes, -1),
    )


def _posterior(found: Array, noise: Array, expected: float, spread: float) -> Array:
    trust = spread / (spread + noise)
    return trust * found + (1 - trust) * expected


Values = NDArray[np.float32]


@dataclass(frozen=True)
class WindowValues:
    """How windows (n, time, channels) and values (n, channels * (coefficients + 1)) are exchanged."""

    time: int
    channels: int
    coefficients: int
    centre: float
    unit: float

    @property
    def size(self) -> int:
        """Values of a window."""
        return self.channels * (self.coefficients + 1)

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that the rest of a window is made from."""
        return self.channels * (min(COSINES, self.time) - self.coefficients + self.time)

    def of(self, windows: NDArray[np.floating]) -> Values:
        """Values of windows: coefficients channel by channel, then log rests less the public one."""
        slow, log_rest = slow_and_rest(windows, self.coefficients, self.centre, self.unit)
        return np.hstack([slow.reshape(len(slow), -1), log_rest - LOG_REST]).astype(np.float32)

    def windows(self, values: NDArray[np.floating], noise: NDArray[np.floating]) -> Values:
        """Windows of these values; noise (n, noise_size) is spread over the faster cosines as is public.

        Values beyond the public range are cut to it.
        """
        n, many = len(values), self.channels * self.coefficients
        slow = np.clip(values[:, :many], -RANGE, RANGE).reshape(n, self.channels, -1)
        deviation = np.exp(np.clip(values[:, many:] + LOG_REST, np.log(LEAST_REST), np.log(RANGE)))
        drawn = min(COSINES, self.time)
        share, white_share = rest_shares(self.time, self.coefficients)
        fast, white = np.split(noise, [self.channels * (drawn - self.coefficients)], axis=1)
        fast = fast.reshape(n, self.channels, -1) * np.sqrt(share) * deviation[:, :, np.newaxis]
        smooth = np.einsum("nkc,ct->ntk", np.concatenate([slow, fast], axis=2), cosines(self.time, drawn))
        rough = white.reshape(n, self.time, self.channels) * np.sqrt(white_share) * deviation[:, np.newaxis]
        made: Values = (self.centre + self.unit * (smooth + rough)).astype(np.float32)
        return made
