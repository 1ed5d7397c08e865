"""Three statistics of each channel of a window, public knowledge of them, and windows from statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import PHYSIOLOGICAL_CHANNELS
from pulseveil.windows.features import SD_FLOOR, SECONDS_PER_MINUTE, statistic_names, window_statistics
from pulseveil.windows.literature import COLUMNS

CHANNELS, SCALING = PHYSIOLOGICAL_CHANNELS, "calibration"
STATISTICS = ("mean", "log_sd", "slope")
NAMES = tuple(f"{channel}_{statistic}" for statistic in STATISTICS for channel in CHANNELS)

# A change that matters, in the statistic's unit: one unit of the channel, a factor of e, and 0.1 per minute,
# which is one unit in a task of ten minutes.
_UNIT = {"mean": 1.0, "log_sd": 1.0, "slope": 0.1}
# Stress moves a squashed statistic by 0.3 along its sign (`literature.MIDPOINT`), which is tanh(0.62 / 2).
_SHIFT = 0.62
# Spread within a minute where the literature's table has no centre: heart rate varies by 4 of 10 beats/min,
# pulse amplitude by 20 % (0.4 of half a log unit), movement by 0.4 log units, skin temperature by 0.05 C.
_LOG_SD = {"heart_rate": -1.0, "pulse_amplitude": -1.0, "activity": -1.0, "temperature": -3.0}
# Spread of the windows of one person and condition: half a unit, and slopes that undo themselves in a minute
# or, for slow channels, in several.
_WITHIN_MEAN, _WITHIN_LOG_SD = {"eda_phasic": 0.05}, 0.6
_WITHIN_SLOPE = {"eda_level": 0.25, "eda_phasic": 0.25, "temperature": 0.15}
# Share of a window's variance that its line may take.
_LINE_SHARE = 0.95
_LARGEST_LOG_SD = 2.0


@dataclass(frozen=True, eq=False)
class Prior:
    """Public knowledge of the statistics `NAMES`: values at rest and under stress, unit, spread (s each).

    within: SD of the windows of one person and condition.
    """

    rest: Floats
    stress: Floats
    unit: Floats
    within: Floats


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
            unit.append(_UNIT[statistic])
            within.append(
                {
                    "mean": _WITHIN_MEAN.get(channel, 0.5),
                    "log_sd": _WITHIN_LOG_SD,
                    "slope": _WITHIN_SLOPE.get(channel, 1.0),
                }[statistic]
            )
    at_rest = np.array(rest)
    return Prior(at_rest, at_rest + np.array(shift), np.array(unit), np.array(within))


def statistics_of(windows: NDArray[np.floating], rate_hz: float) -> Floats:
    """The statistics `NAMES` (n, s) of windows (n, time, channels)."""
    columns = statistic_names(CHANNELS)
    values = window_statistics(windows, rate_hz)
    return values[:, [columns.index(name) for name in NAMES]].astype(np.float64)


def decode(statistics: Floats, walk: Floats, rate_hz: float) -> NDArray[np.float32]:
    """Windows (n, time, channels) with the statistics `NAMES` (n, s), from white noise (n, time, channels).

    x(t) = mean + slope t + SD shape(t), where the shape is a random walk less its line, of SD 1: slow, as
    the physiological channels at 1 Hz are. The line takes at most 95 % of the variance.
    """
    time = walk.shape[1]
    mean, log_sd, slope = (part[:, np.newaxis] for part in np.split(statistics, len(STATISTICS), axis=1))
    minutes = ((np.arange(time) - (time - 1) / 2) / rate_hz / SECONDS_PER_MINUTE)[:, np.newaxis]
    shape = np.cumsum(walk, axis=1)
    shape = shape - shape.mean(axis=1, keepdims=True)
    shape = shape - minutes * (shape * minutes).sum(axis=1, keepdims=True) / np.square(minutes).sum()
    shape = shape / np.maximum(shape.std(axis=1, keepdims=True), SD_FLOOR)
    sd = np.exp(np.clip(log_sd, np.log(SD_FLOOR), _LARGEST_LOG_SD))
    largest = np.sqrt(_LINE_SHARE) * sd / minutes.std()
    slope = np.clip(slope, -largest, largest)
    rest = np.sqrt(np.square(sd) - np.square(slope * minutes.std()))
    windows: NDArray[np.float32] = (mean + slope * minutes + rest * shape).astype(np.float32)
    return windows
