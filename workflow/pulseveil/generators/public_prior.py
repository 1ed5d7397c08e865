"""Three statistics of each channel of a window, public knowledge of them, and windows from statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import PHYSIOLOGICAL_CHANNELS
from pulseveil.core.errors import InputError
from pulseveil.generators import PublicPeople
from pulseveil.privacy.records import means_by_class
from pulseveil.windows.features import SD_FLOOR, SECONDS_PER_MINUTE, statistic_names, window_statistics
from pulseveil.windows.literature import COLUMNS

CHANNELS, SCALING = PHYSIOLOGICAL_CHANNELS, "calibration"
STATISTICS = ("mean", "log_sd", "slope")
NAMES = tuple(f"{channel}_{statistic}" for statistic in STATISTICS for channel in CHANNELS)

# A change that matters, in the statistic's unit: one unit of the channel, a factor of e, and 0.1 per minute,
# which is one unit in a task of ten minutes.
_UNIT = {"mean": 1.0, "log_sd": 1.0, "slope": 0.1}
# Phasic EDA is what the level leaves over, so that its mean stays near 0: a window's own spread is a change.
_WITHIN_PHASIC = 0.05
_UNIT_OF_ONE = {"eda_phasic_mean": _WITHIN_PHASIC}
# Stress moves a squashed statistic by 0.3 along its sign (`literature.MIDPOINT`), which is tanh(0.62 / 2).
_SHIFT = 0.62
# Spread within a minute where the literature's table has no centre: heart rate varies by 4 of 10 beats/min,
# pulse amplitude by 20 % (0.4 of half a log unit), movement by 0.4 log units, skin temperature by 0.05 C.
_LOG_SD = {"heart_rate": -1.0, "pulse_amplitude": -1.0, "activity": -1.0, "temperature": -3.0}
# Spread of the windows of one person and condition: half a unit, and slopes that undo themselves in a minute
# or, for slow channels, in several.
_WITHIN_MEAN, _WITHIN_LOG_SD = {"eda_phasic": _WITHIN_PHASIC}, 0.6
_WITHIN_SLOPE = {"eda_level": 0.25, "eda_phasic": 0.25, "temperature": 0.15}
# Share of a window's variance that its line may take.
_LINE_SHARE = 0.95
_LARGEST_LOG_SD = 2.0
# Windows of public people that a model keeps, some 300 kB.
_POOL_WINDOWS = 240


@dataclass(frozen=True, eq=False)
class Prior:
    """Public knowledge of the statistics `NAMES`: values at rest and under stress, unit, spread (s each).

    within: SD of the windows of one person and condition. pool: windows of public people, if there are any.
    """

    rest: Floats
    stress: Floats
    unit: Floats
    within: Floats
    pool: Pool | None = None


@dataclass(frozen=True, eq=False)
class Pool:
    """What windows of public people leave beside class means: residuals (m, s), shapes (m, time, channels).

    residuals: statistics less the mean of their class. shapes: windows less their line, of SD 1.
    """

    residuals: Floats
    shapes: Floats

    def drawn(self, normal: Floats) -> tuple[Floats, Floats]:
        """Residuals (n, s) and shapes (n, time, channels) of a window per standard normal number (n)."""
        # Plans import this module; SciPy takes long to import.
        from scipy.special import ndtr

        row = np.minimum(ndtr(normal) * len(self.residuals), len(self.residuals) - 1).astype(np.intp)
        return self.residuals[row], self.shapes[row]


def literature_prior() -> Prior:
    """The prior of the literature's table and of round public numbers."""
    known = COLUMNS[SCALING]
    rest, shift, unit, within = [], [], [], []
    for statistic in STATISTICS:
        for channel in CHANNELS:
            column = known.get(f"{channel}_{statistic}")
            public = _LOG_SD.get(channel, 0.0) if statistic == "log_sd" else 0.0
            rest.append(column.centre if column else public)
            shift.append(_SHIFT * column.sign * column.scale if column else 0.0)
            unit.append(_UNIT_OF_ONE.get(f"{channel}_{statistic}", _UNIT[statistic]))
            within.append(
                {
                    "mean": _WITHIN_MEAN.get(channel, 0.5),
                    "log_sd": _WITHIN_LOG_SD,
                    "slope": _WITHIN_SLOPE.get(channel, 1.0),
                }[statistic]
            )
    at_rest = np.array(rest)
    return Prior(at_rest, at_rest + np.array(shift), np.array(unit), np.array(within))


def pool_prior(cohorts: Sequence[PublicPeople], rate_hz: float) -> Prior:
    """The prior of public people: their class means, residuals and shapes, with equal weights of the cohorts.

    Raises:
        InputError: there is no cohort, or a cohort has nobody with windows of both classes.
    """
    if not cohorts:
        raise InputError("prior pool: expected public_cohorts in the study, found none")
    known, rest, stress, residuals, shapes = literature_prior(), [], [], [], []
    for people in cohorts:
        statistics = statistics_of(people.windows, rate_hz)
        finite = np.isfinite(statistics).all(axis=1)
        statistics, of_stress = statistics[finite], people.stress[finite]
        means = means_by_class(statistics, of_stress, people.subject[finite])
        complete = means[:, np.isfinite(means).all(axis=(0, 2))]
        if not complete.shape[1]:
            raise InputError(f"public cohort {people.cohort}: nobody has windows with and without stress")
        means_of_stress, means_of_rest = complete.mean(axis=1)
        stress.append(means_of_stress)
        rest.append(means_of_rest)
        own = np.where(of_stress[:, np.newaxis], means_of_stress, means_of_rest)
        # Equal numbers of windows give the cohorts equal weights, whatever their sizes.
        rows = np.linspace(0, len(statistics) - 1, _POOL_WINDOWS // len(cohorts)).astype(np.intp)
        residuals.append((statistics - own)[rows])
        shapes.append(_shape(people.windows[finite][rows].astype(np.float64), rate_hz))
    return Prior(
        np.mean(rest, axis=0),
        np.mean(stress, axis=0),
        known.unit,
        known.within,
        Pool(np.concatenate(residuals), np.concatenate(shapes)),
    )


def statistics_of(windows: NDArray[np.floating], rate_hz: float) -> Floats:
    """The statistics `NAMES` (n, s) of windows (n, time, channels)."""
    columns = statistic_names(CHANNELS)
    values = window_statistics(windows, rate_hz)
    return values[:, [columns.index(name) for name in NAMES]].astype(np.float64)


def walks(white: Floats, rate_hz: float) -> Floats:
    """Random walks less their lines, of SD 1, from white noise (n, time, channels).

    They are slow, as the physiological channels at 1 Hz are.
    """
    return _shape(np.cumsum(white, axis=1), rate_hz)


def decode(statistics: Floats, shape: Floats, rate_hz: float) -> NDArray[np.float32]:
    """Windows (n, time, channels) with the statistics `NAMES` (n, s) and shapes (n, time, channels) of SD 1.

    x(t) = mean + slope t + SD shape(t). The line takes at most 95 % of the variance.
    """
    mean, log_sd, slope = (part[:, np.newaxis] for part in np.split(statistics, len(STATISTICS), axis=1))
    minutes = _minutes(shape.shape[1], rate_hz)
    sd = np.exp(np.clip(log_sd, np.log(SD_FLOOR), _LARGEST_LOG_SD))
    largest = np.sqrt(_LINE_SHARE) * sd / minutes.std()
    slope = np.clip(slope, -largest, largest)
    rest = np.sqrt(np.square(sd) - np.square(slope * minutes.std()))
    windows: NDArray[np.float32] = (mean + slope * minutes + rest * shape).astype(np.float32)
    return windows


def _minutes(time: int, rate_hz: float) -> Floats:
    """Minutes (time, 1) of the samples of a window from its middle."""
    samples = np.arange(time, dtype=np.float64) - (time - 1) / 2
    minutes: Floats = samples[:, np.newaxis] / (rate_hz * SECONDS_PER_MINUTE)
    return minutes


def _shape(values: Floats, rate_hz: float) -> Floats:
    """Values (n, time, channels) less the line of each window and channel, of SD 1."""
    minutes = _minutes(values.shape[1], rate_hz)
    centred = values - values.mean(axis=1, keepdims=True)
    lines = minutes * (centred * minutes).sum(axis=1, keepdims=True) / np.square(minutes).sum()
    left = centred - lines
    shape: Floats = left / np.maximum(left.std(axis=1, keepdims=True), SD_FLOOR)
    return shape
