"""Scaling of one subject's channels, without any value of other subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import STRESS
from pulseveil.core.errors import InputError
from pulseveil.windows.timeline import UNLABELLED, Timeline

# Fewer seconds than one window are too few to estimate a person's own level.
LEAST_CALIBRATION_S = 60
# Rounding noise of the magnitude of an accelerometer that counts in 1/64 g (uniform: step / sqrt(12)).
_ACC_NOISE_G = 1 / 64 / np.sqrt(12)


@dataclass(frozen=True)
class ChannelScale:
    """Public knowledge about a channel, fixed before any recording is read.

    unit: a change that matters, in the unit of the transformed channel. low, high: range of values that can
    occur at a wrist, in the channel's own unit. floor: lower bound of the values before the logarithm is
    taken; None for a channel without logarithm.
    """

    unit: float
    low: float
    high: float
    floor: float | None = None

    def transform(self, values: Floats) -> Floats:
        """The channel unchanged, or its logarithm if only ratios of its values are meaningful."""
        return values if self.floor is None else np.log(np.maximum(values, self.floor))


# Units: round numbers of a first trial on WESAD, never tuned. Ranges and floors:
# - heart rate: 40 (trained sleepers) to 180 beats/min (a hard run; Tanaka et al., J Am Coll Cardiol 2001).
# - pulse amplitude and BVP: arbitrary units of the Empatica E4; pulses of 1 to 1000, drift within 500. The
#   floor is the step of the file format.
# - skin conductance: 0.05 uS is an electrode without contact; 40 uS is beyond wrists and palms (Boucsein,
#   Electrodermal Activity, 2012). The floor 0.01 uS is the lower end of the E4's range. Single responses
#   stay below 3 uS (Dawson, Schell, Filion, Handbook of Psychophysiology, 2007), mostly below 1.
# - acceleration: the E4's range is +-2 g, -128 to 127 in 1/64 g; its magnitude varies by at most about 1 g
#   within a second; the floor is rounding noise.
# - skin temperature of the wrist: 20 to 40 C (Kraeuchi, Wirz-Justice, Am J Physiol 1994, and margin).
_CONDUCTANCE = ChannelScale(unit=1.0, low=0.05, high=40.0, floor=0.01)
_ACCELERATION = ChannelScale(unit=16.0, low=-128.0, high=127.0)
_TEMPERATURE = ChannelScale(unit=1.0, low=20.0, high=40.0)
CHANNEL_SCALES: Mapping[str, ChannelScale] = {
    "BVP": ChannelScale(unit=20.0, low=-500.0, high=500.0),
    "EDA": _CONDUCTANCE,
    "ACC_x": _ACCELERATION,
    "ACC_y": _ACCELERATION,
    "ACC_z": _ACCELERATION,
    "TEMP": _TEMPERATURE,
    "heart_rate": ChannelScale(unit=10.0, low=40.0, high=180.0),
    "pulse_amplitude": ChannelScale(unit=0.5, low=1.0, high=1000.0, floor=0.01),
    "eda_level": _CONDUCTANCE,
    "eda_phasic": ChannelScale(unit=0.3, low=-2.0, high=2.0),
    "activity": ChannelScale(unit=1.0, low=float(_ACC_NOISE_G), high=1.0, floor=float(_ACC_NOISE_G)),
    "temperature": _TEMPERATURE,
}


@dataclass(frozen=True, eq=False)
class Scaled:
    """Scaled rows: values (T, c) without unit; calibration (T) bool, rows used for calibration."""

    values: Floats
    calibration: NDArray[np.bool_]
    notes: tuple[str, ...] = ()


class Scaling(Protocol):
    """A way to scale the rows of one subject.

    reach_s: distance (s) at which a raw sample can change a scaled value, constants apart. constants: text
    that names the values that are computed from the person's rows, empty if there are none. A sample that
    changes a constant changes all rows of the person.
    """

    reach_s: ClassVar[float]
    constants: ClassVar[str]

    def scale(self, timeline: Timeline, channels: Sequence[str]) -> Scaled:
        """Scale `timeline.values` (T, c), whose columns are `channels`."""
        ...


@dataclass(frozen=True)
class MinMax:
    """Scaling of each channel to 0..1 over the subject's own labelled seconds, as in the published study.

    Transductive: it needs the whole recording and its labels, test windows included. A constant channel
    becomes 0.
    """

    reach_s: ClassVar[float] = 0.0
    constants: ClassVar[str] = "minimum and maximum of each channel over all labelled seconds"

    def scale(self, timeline: Timeline, channels: Sequence[str]) -> Scaled:
        """Scale each channel to 0..1.

        Raises:
            InputError: no second is labelled.
        """
        kept = timeline.values[timeline.labelled]
        if not len(kept):
            raise InputError(
                f"{timeline.subject}: no labelled second lies in the recording; check its labels"
            )
        low, high = kept.min(axis=0), kept.max(axis=0)
        flat = high == low
        values = (timeline.values - low) / np.where(flat, 1.0, high - low)
        notes = tuple(f"{channels[i]}: constant, scaled to 0" for i in np.flatnonzero(flat).tolist())
        return Scaled(values, _none(timeline), notes)


@dataclass(frozen=True)
class Calibration:
    """Change relative to the subject's own first rest, in public units.

    (g(x) - mean of g over the calibration seconds) / unit, with g and unit of `CHANNEL_SCALES`. Calibration
    seconds are the first `seconds` of the first non-stress interval. A device can ask its user for such a
    rest, and so scale without labels.
    """

    seconds: int = 300
    reach_s: ClassVar[float] = 0.0
    constants: ClassVar[str] = "mean of each channel over the first rest"

    def scale(self, timeline: Timeline, channels: Sequence[str]) -> Scaled:
        """Scale the rows, and mark the calibration seconds.

        Raises:
            InputError: there is no non-stress interval, or the first one is too short.
        """
        rows = self._rows(timeline)
        scales = [CHANNEL_SCALES[name] for name in channels]
        changes = np.empty_like(timeline.values)
        for i, scale in enumerate(scales):
            column = scale.transform(timeline.values[:, i])
            changes[:, i] = (column - column[rows].mean()) / scale.unit
        used = _none(timeline)
        used[rows] = True
        if len(rows) == self.seconds:
            return Scaled(changes, used)
        note = (
            f"calibrated on {len(rows)} s instead of {self.seconds} s, all of the first non-stress interval"
        )
        return Scaled(changes, used, (note,))

    def _rows(self, timeline: Timeline) -> NDArray[np.intp]:
        rest = np.where(timeline.condition == STRESS, UNLABELLED, timeline.interval)
        found = np.flatnonzero(rest != UNLABELLED)
        if not len(found):
            raise InputError(f"{timeline.subject}: calibration needs a non-stress interval, found none")
        rows = np.flatnonzero(rest == rest[found[0]])[: self.seconds]
        if len(rows) < min(LEAST_CALIBRATION_S, self.seconds):
            raise InputError(
                f"{timeline.subject}: calibration needs at least {LEAST_CALIBRATION_S} s of the first "
                f"non-stress interval, found {len(rows)} s; use scaling 'public' or leave the subject out"
            )
        return rows


@dataclass(frozen=True)
class PublicRange:
    """Scaling of each channel's public range to 0..1, clipped; no value is computed from recordings."""

    reach_s: ClassVar[float] = 0.0
    constants: ClassVar[str] = ""

    def scale(self, timeline: Timeline, channels: Sequence[str]) -> Scaled:
        """Scale by the ranges of `CHANNEL_SCALES`."""
        values = np.empty_like(timeline.values)
        for i, scale in enumerate(CHANNEL_SCALES[name] for name in channels):
            low, high = scale.transform(np.array([scale.low, scale.high]))
            values[:, i] = (scale.transform(timeline.values[:, i]) - low) / (high - low)
        return Scaled(np.clip(values, 0, 1), _none(timeline))


def scalings(calibration_s: int = 300) -> Mapping[str, Scaling]:
    """All scalings by name; `calibration_s` is the length of the calibration in seconds."""
    return {"min-max": MinMax(), "calibration": Calibration(calibration_s), "public": PublicRange()}


def unchanged(timeline: Timeline) -> Scaled:
    """The rows of a person whose values were scaled before."""
    return Scaled(timeline.values, _none(timeline))


def _none(timeline: Timeline) -> NDArray[np.bool_]:
    return np.zeros(len(timeline.values), bool)
