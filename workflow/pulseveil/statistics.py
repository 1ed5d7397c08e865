"""Plain statistics of a window, in named columns, for detectors that need no spectrum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pulseveil.errors import InputError

# Column suffix -> unit; `scaled` is the unit of the channel after the window set's scaling.
STATISTICS: Mapping[str, str] = {
    "mean": "scaled",
    "log_sd": "ln(scaled)",
    "slope": "scaled/min",
    "minimum": "scaled",
    "maximum": "scaled",
}
# A still sensor has SD 0, whose logarithm no linear model survives; this is about one sensor step.
SD_FLOOR = 1e-3
SECONDS_PER_MINUTE = 60.0


def statistic_names(channels: Sequence[str]) -> tuple[str, ...]:
    """Column names such as `heart_rate_mean`: all statistics of the first channel, then of the next."""
    return tuple(f"{channel}_{name}" for channel in channels for name in STATISTICS)


def window_statistics(windows: NDArray[np.floating], rate_hz: float) -> NDArray[np.float32]:
    """Statistics (n, channels * 5) of scaled windows (n, time, channels), columns as in `statistic_names`.

    mean; log_sd: natural logarithm of the population SD, floored at `SD_FLOOR`; slope: least-squares line,
    a minute; minimum; maximum.
    """
    values = np.asarray(windows, dtype=np.float64)
    count, time, channels = values.shape
    minutes = (np.arange(time) - (time - 1) / 2) / rate_hz / SECONDS_PER_MINUTE
    columns = (
        values.mean(axis=1),
        np.log(np.maximum(values.std(axis=1), SD_FLOOR)),
        np.einsum("ntc,t->nc", values, minutes) / np.square(minutes).sum(),
        values.min(axis=1),
        values.max(axis=1),
    )
    return np.stack(columns, axis=2).reshape(count, channels * len(columns)).astype(np.float32)


def select_columns(names: Sequence[str], wanted: Sequence[str]) -> NDArray[np.intp]:
    """Indices of the wanted columns: whole names, or statistics (`mean`), which stand for every channel.

    Raises InputError when a wanted column is not there.
    """
    found = [[i for i, name in enumerate(names) if name == w or name.endswith(f"_{w}")] for w in wanted]
    for w, indices in zip(wanted, found, strict=True):
        if not indices:
            raise InputError(f"statistics: no column {w!r}; the feature file has {', '.join(names)}")
    return np.unique(np.concatenate([np.asarray(indices, dtype=np.intp) for indices in found]))
