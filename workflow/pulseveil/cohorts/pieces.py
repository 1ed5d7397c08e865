"""Timed samples of a device, in pieces of any length, become sessions on a common grid of seconds.

Signals may start and end apart, have rates that differ from the nominal ones, and gaps. A session is a
stretch of time that all signals cover. Time in which one of them has no data for long is no data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulseveil.cohorts import plausible
from pulseveil.cohorts.e4 import counted, describe_signals
from pulseveil.cohorts.gaps import MENDED_S
from pulseveil.cohorts.plausible import Sensor
from pulseveil.cohorts.sessions import Session
from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import Signal
from pulseveil.core.errors import InputError

CHANNELS: Mapping[str, tuple[str, ...]] = {
    "BVP": ("BVP",),
    "EDA": ("EDA",),
    "ACC": ("ACC_x", "ACC_y", "ACC_z"),
    "TEMP": ("TEMP",),
}
# A stated rate that is further from the nominal one is an error; in files of 10 s it is off by up to 6 %.
_LARGEST_DEVIATION = 0.1
# In a shorter piece the nominal period is nearer the truth than the stated rate.
_SHORT_S = 60
# Clocks that are set right between two files let them overlap a little.
_OVERLAP_S = 1.0
# Times of tables are rounded, often to milliseconds: a sample may lie so far from its second.
_ROUNDING_S = 0.01
# A shorter session holds no window and hardly a filter's response.
_LEAST_S = 10


@dataclass(frozen=True, eq=False)
class Piece:
    """Samples (n, axes) of a sensor at unix times (n,) in s, ascending; `where` names their file."""

    where: str
    times: Floats
    values: Floats


@dataclass(frozen=True)
class Grid:
    """A sensor of a device: its range and units, its nominal rate (Hz, whole), and the end of its range.

    end: absolute value at which samples are saturated; None if the sensor does not saturate.
    """

    sensor: Sensor
    rate_hz: int
    end: float | None = None


def evenly_timed(where: str, start_unix_s: float, stated_hz: float, nominal_hz: int, values: Floats) -> Piece:
    """A piece of samples (n, axes) at a stated rate, or at the nominal rate if the piece is short.

    Raises:
        InputError: the stated rate is not near the nominal one.
    """
    if not abs(stated_hz / nominal_hz - 1) <= _LARGEST_DEVIATION:
        raise InputError(f"{where}: the rate is {stated_hz:g} Hz, expected about {nominal_hz} Hz")
    rate = nominal_hz if len(values) < _SHORT_S * nominal_hz else stated_hz
    return Piece(where, start_unix_s + np.arange(len(values)) / rate, values)


def sessions_of(
    where: str, pieces: Mapping[str, Sequence[Piece]], grids: Mapping[str, Grid]
) -> tuple[Session, ...]:
    """Sessions in the pieces of one person, interpolated linearly to the nominal rates.

    Gaps of up to `MENDED_S` are bridged and marked as not measured; longer ones end a session.

    Raises:
        InputError: a sensor is missing or has another unit, pieces overlap, or signals share no time.
    """
    missing = [sensor for sensor in grids if not pieces.get(sensor)]
    if missing:
        raise InputError(f"{where}: no samples of {', '.join(missing)}; a recording needs {', '.join(grids)}")
    whole = {sensor: _merged(where, sensor, pieces[sensor], grid) for sensor, grid in grids.items()}
    shared = [(-math.inf, math.inf)]
    for sensor, one in whole.items():
        spans = _spans(one.times, grids[sensor].rate_hz)
        shared = [
            (max(a, c), min(b, d)) for a, b in shared for c, d in spans if min(b, d) - max(a, c) >= _LEAST_S
        ]
    if not shared:
        raise InputError(f"{where}: the signals share no {_LEAST_S} s of time; were files mixed up?")
    return tuple(_session(where, whole, grids, span) for span in shared)


@dataclass(frozen=True, eq=False)
class _Whole:
    """All samples of a sensor by time: times (n,), values (n, axes), mask (n, axes) of mended samples."""

    times: Floats
    values: Floats
    mended: NDArray[np.bool_]


def _merged(where: str, sensor: str, pieces: Sequence[Piece], grid: Grid) -> _Whole:
    ordered = sorted(pieces, key=lambda piece: float(piece.times[0]))
    kept: list[Piece] = []
    for piece in ordered:
        overlap = float(kept[-1].times[-1] - piece.times[0]) if kept else -1.0
        if overlap > _OVERLAP_S:
            raise InputError(
                f"{where}: {kept[-1].where} and {piece.where} overlap by {overlap:.0f} s of {sensor}; keep "
                "one of them (the same file twice, or two devices at the same time)"
            )
        later = piece.times > kept[-1].times[-1] if kept else np.ones(len(piece.times), bool)
        if later.any():
            kept.append(Piece(piece.where, piece.times[later], piece.values[later]))
    values = np.concatenate([piece.values for piece in kept])
    plausible.refuse_other_unit(grid.sensor, values, f"{where}: {sensor}")
    mended = [plausible.mend(grid.sensor, piece.values, grid.rate_hz) for piece in kept]
    return _Whole(
        np.concatenate([piece.times for piece in kept]),
        np.concatenate([found for found, _ in mended]),
        np.concatenate([bad for _, bad in mended]),
    )


def _spans(times: Floats, rate_hz: int) -> list[tuple[float, float]]:
    """Start and end of each stretch without a gap of more than `MENDED_S`."""
    breaks = np.flatnonzero(np.diff(times) > MENDED_S + 1 / rate_hz)
    starts, ends = np.r_[0, breaks + 1], np.r_[breaks, len(times) - 1]
    return [(float(times[a]), float(times[b]) + 1 / rate_hz) for a, b in zip(starts, ends, strict=True)]


def _session(
    where: str, whole: Mapping[str, _Whole], grids: Mapping[str, Grid], span: tuple[float, float]
) -> Session:
    """One session: the whole seconds of a span that all signals cover."""
    start = float(math.ceil(span[0] - _ROUNDING_S))
    seconds = math.floor(span[1] - start + _ROUNDING_S)
    signals: dict[str, Signal] = {}
    repairs: list[str] = []
    for sensor, grid in grids.items():
        one = whole[sensor]
        inside = slice(
            max(int(np.searchsorted(one.times, span[0])) - 1, 0), int(np.searchsorted(one.times, span[1])) + 1
        )
        # Times since the start: unix seconds in float64 resolve a quarter of a microsecond only.
        times, values, mended = one.times[inside] - start, one.values[inside], one.mended[inside]
        at = np.arange(seconds * grid.rate_hz) / grid.rate_hz
        after = np.clip(np.searchsorted(times, at), 1, len(times) - 1)
        gap = (times[after] - times[after - 1] > 1.5 / grid.rate_hz) & (at < times[after])
        for axis, channel in enumerate(CHANNELS[sensor]):
            found = np.interp(at, times, values[:, axis])
            lost = np.interp(at, times, mended[:, axis]) > 0
            masks = {**plausible.unmeasured(found, lost, grid.end), **({"gap": gap} if gap.any() else {})}
            signals[channel] = Signal(found, float(grid.rate_hz), start, masks)
        if count := int(mended.any(axis=1).sum()):
            repairs.append(
                f"{sensor}: {counted(count, 'sample')} outside {grid.sensor.range}, interpolated over up to "
                f"{MENDED_S:g} s"
            )
        if gap.any():
            repairs.append(f"{sensor}: {gap.sum() / grid.rate_hz:.1f} s in short gaps, interpolated")
    return Session(where, signals, start, seconds, span, tuple(repairs), describe_signals(signals))
