"""Public facts about the channels of a window: meaning, unit, range and direction under stress.

No fact comes from recordings: ranges are those of `scaling.CHANNEL_SCALES`, directions those of
`windows.literature`; both cite the literature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pulseveil.core.errors import InputError
from pulseveil.windows.literature import COLUMNS
from pulseveil.windows.scaling import CHANNEL_SCALES, ChannelScale

# Channel -> meaning and native unit.
_CHANNELS: Mapping[str, tuple[str, str]] = {
    "BVP": ("blood volume pulse", "arbitrary units"),
    "EDA": ("skin conductance", "uS"),
    "ACC_x": ("acceleration, first axis", "g/64"),
    "ACC_y": ("acceleration, second axis", "g/64"),
    "ACC_z": ("acceleration, third axis", "g/64"),
    "TEMP": ("skin temperature", "°C"),
    "heart_rate": ("heart rate", "beats/min"),
    "pulse_amplitude": ("amplitude of the pulse wave", "arbitrary units"),
    "eda_level": ("skin conductance", "uS"),
    "eda_phasic": ("fast part of the skin conductance", "uS"),
    "activity": ("variation of the acceleration inside a second", "g"),
    "temperature": ("skin temperature", "°C"),
}
_DIRECTIONS = {1: "higher in stress", -1: "lower in stress", 0: "no direction"}


@dataclass(frozen=True)
class PublicChannel:
    """A channel of a window, with all numbers in the unit of the window's values.

    `low`, `high`: range of values at a wrist. `centre`: mean of a window that is evidence neither for stress
    nor for rest. `scale`: change of that mean that matters. Both are None if the literature gives none.
    `sign`: 1 if stress raises the mean, -1 if stress lowers it, 0 if unknown.
    """

    name: str
    meaning: str
    unit: str
    low: float
    high: float
    sign: int = 0
    centre: float | None = None
    scale: float | None = None

    @property
    def direction(self) -> str:
        """Direction in which stress moves the mean of a window, by the literature."""
        return "not known" if self.centre is None else _DIRECTIONS[self.sign]


def public_channels(channels: tuple[str, ...], scaling: str) -> tuple[PublicChannel, ...]:
    """Public facts about each channel, in the units of `scaling`.

    Raises:
        InputError: nothing is known about a channel.

    Examples:
        >>> (channel,) = public_channels(("heart_rate",), "calibration")
        >>> channel.unit, channel.direction
        ("change against the person's own rest, in steps of 10 beats/min", 'higher in stress')
    """
    unknown = set(channels) - set(_CHANNELS)
    if unknown:
        raise InputError(
            f"channel {min(unknown)!r}: no public facts are known; expected one of {', '.join(_CHANNELS)}"
        )
    return tuple(_channel(name, scaling) for name in channels)


def _channel(name: str, scaling: str) -> PublicChannel:
    meaning, native = _CHANNELS[name]
    scale = CHANNEL_SCALES[name]
    unit, low, high = _range(scale, scaling, native)
    known = COLUMNS.get(scaling, {}).get(f"{name}_mean")
    if known is None:
        return PublicChannel(name, meaning, unit, low, high)
    return PublicChannel(name, meaning, unit, low, high, known.sign, known.centre, known.scale)


def _range(scale: ChannelScale, scaling: str, native: str) -> tuple[str, float, float]:
    """Unit of scaled values in words, and public range in that unit."""
    if scaling == "min-max":
        return "share of the range of the person's own recording", 0.0, 1.0
    if scaling == "public":
        return f"share of the public range, {scale.low:.3g} to {scale.high:.3g} {native}", 0.0, 1.0
    low, high = scale.transform(np.array([scale.low, scale.high]))
    # Rest and current value both lie in the public range, so no change is wider than the range.
    widest = float(high - low) / scale.unit
    if scale.floor is None:
        return f"change against the person's own rest, in steps of {scale.unit:g} {native}", -widest, widest
    unit = f"change of the natural logarithm against the person's own rest, in steps of {scale.unit:g}"
    return unit, -widest, widest
