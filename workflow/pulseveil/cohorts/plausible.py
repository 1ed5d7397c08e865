"""Plausible values of wrist sensors, in one table, and what is done with values outside of it.

A single impossible sample is interpolated from its neighbours. A recording whose usual level is impossible
has another unit, or its sensor did not work: it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulseveil.cohorts.gaps import MENDED_S, bridge
from pulseveil.core.arrays import Floats
from pulseveil.core.errors import InputError


@dataclass(frozen=True)
class Unit:
    """Another unit of a sensor: `factor * x + offset` is the value in the unit of `SENSORS`."""

    name: str
    cure: str
    factor: float
    offset: float = 0.0


@dataclass(frozen=True)
class Sensor:
    """What a sensor of a worn device can give, in `unit`.

    low, high: range of single samples; `above`: `low` itself is impossible. level: range of the median of a
    worn device's samples (of the magnitude, for three axes); None if it depends on the device. otherwise:
    value of an impossible sample without a possible one within `MENDED_S`. others: units that are taken for
    `unit`.
    """

    unit: str
    low: float
    high: float
    otherwise: float
    level: tuple[float, float] | None = None
    above: bool = False
    others: tuple[Unit, ...] = ()

    @property
    def range(self) -> str:
        """The range of samples, in words.

        Examples:
            >>> SENSORS["EDA"].range
            'above 0 to 100 uS'
        """
        return f"{'above ' if self.above else ''}{self.low:g} to {self.high:g}{self.unit and ' '}{self.unit}"

    def impossible(self, values: Floats) -> NDArray[np.bool_]:
        """Mask of samples, of any shape, that the sensor cannot have measured."""
        below = values <= self.low if self.above else values < self.low
        return np.asarray(below | (values > self.high))


# - BVP has no unit. In 50 recordings of WESAD and Stress-Predict, movement reaches 2,800 in that of the E4.
# - Skin conductance: range of the E4 (0.01 to 100 uS); the level is that of wrists and palms (Boucsein,
#   Electrodermal Activity, 2012). The E4 writes 0 where it measures nothing.
# - Acceleration: range of the E4 (+-2 g, 8 bit). The level is gravity, which a device feels at all times;
#   it is 62.8 to 64.7 in the shared recordings.
# - Temperature: range that air and skin can have. The level is that of a worn device: no skin is above 45 C.
SENSORS: Mapping[str, Sensor] = {
    "BVP": Sensor("", -10_000.0, 10_000.0, 0.0),
    "EDA": Sensor(
        "uS",
        0.0,
        100.0,
        0.0,
        level=(0.0, 40.0),
        above=True,
        others=(
            Unit("S", "multiply all values by 1000000", 1e6),
            Unit("nS", "divide all values by 1000", 1e-3),
        ),
    ),
    "ACC": Sensor(
        "1/64 g",
        -128.0,
        127.0,
        0.0,
        level=(32.0, 128.0),
        others=(
            Unit("g", "multiply all values by 64", 64.0),
            Unit("m/s^2", "multiply all values by 6.526", 64 / 9.80665),
            Unit("1/1000 g", "multiply all values by 0.064", 0.064),
        ),
    ),
    # Middle of the usual range at a wrist, where a temperature is not known.
    "TEMP": Sensor(
        "C",
        0.0,
        60.0,
        30.0,
        level=(0.0, 45.0),
        others=(
            Unit("degrees Fahrenheit", "subtract 32 and multiply by 5/9", 5 / 9, -160 / 9),
            Unit("kelvin", "subtract 273.15", 1.0, -273.15),
            Unit("1/100 C", "divide all values by 100", 0.01),
        ),
    ),
}
# Below this largest value (uS) no sample of a recording can be in uS: the E4 resolves 0.001 uS.
_LEAST_CONDUCTANCE = 1e-4
# Largest share of impossible samples for which the others still tell the unit of a recording.
_MOST_IMPOSSIBLE = 0.9


def unmeasured(
    values: Floats, mended: NDArray[np.bool_], end: float | None
) -> Mapping[str, NDArray[np.bool_]]:
    """Masks (n,) of samples of one axis that were not measured, by reason; `end` is the end of the range."""
    found = {"mended": mended}
    if end is not None:
        found["saturated"] = np.abs(values) >= end
    return {reason: mask for reason, mask in found.items() if mask.any()}


def refuse_other_unit(known: Sensor, values: Floats, where: str) -> None:
    """Check that the samples (n, axes) of a sensor can have its unit.

    Raises:
        InputError: the usual level is that of another unit (the message has the cure), or of no worn device.
    """
    if known.level is None:
        return
    sizes = np.linalg.norm(values, axis=1) if values.shape[1] > 1 else values[:, 0]
    possible = ~known.impossible(values).any(axis=1)
    # A sensor that fails for a time says nothing of the unit: the level is that of its other samples.
    level = float(np.median(sizes[possible] if possible.mean() > 1 - _MOST_IMPOSSIBLE else sizes))
    low, high = known.level
    tiny = known.unit == "uS" and 0 < values.max() < _LEAST_CONDUCTANCE
    if low <= level <= high and not tiny:
        return
    # A sensor that gives one impossible value throughout has no unit: it did not work.
    usual = [unit for unit in known.others if low < level * unit.factor + unit.offset <= high]
    if not usual:
        if known.impossible(values).any(axis=1).all():
            return
        raise InputError(
            f"{where}: the median is {level:.6g}, expected {low:g} to {high:g} {known.unit} of a worn "
            "device; convert the values, or leave the recording out"
        )
    raise InputError(
        f"{where}: the median is {level:.6g}, expected {low:g} to {high:g} {known.unit}; the values look "
        f"like {usual[0].name}: {usual[0].cure}"
    )


def mend(known: Sensor, values: Floats, rate_hz: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Interpolate impossible samples (n, axes) from possible ones within `MENDED_S`, each axis by itself.

    Returns:
        The values, and the mask (n, axes) of the samples that were replaced. All other samples are unchanged.
    """
    # Before any resampling: one sample of 382 C rings through the whole Fourier-resampled channel.
    bad = known.impossible(values)
    if not bad.any():
        return values, bad
    mended = values.copy()
    for axis in np.flatnonzero(bad.any(axis=0)):
        rows, good = np.flatnonzero(bad[:, axis]), np.flatnonzero(~bad[:, axis])
        mended[rows, axis] = bridge(
            rows.astype(float),
            good.astype(float),
            values[good, axis],
            MENDED_S * rate_hz,
            known.otherwise,
        )
    return mended, bad
