"""Measured share: how much of each second a sensor measured, and why it did not measure the rest.

What is mended, flat, saturated, or taken without skin contact is no
measurement. A mask uses no sample further away than the channel itself (`timeline.RESAMPLERS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import CONTACT_US, Recording
from pulseveil.core.errors import InputError

# Channels of a recording by sensor, in the order of the cohort table.
SENSORS: Mapping[str, tuple[str, ...]] = {
    "BVP": ("BVP",),
    "EDA": ("EDA",),
    "ACC": ("ACC_x", "ACC_y", "ACC_z"),
    "TEMP": ("TEMP",),
}
# Temperatures (C) of a device on skin: low end of wrists (Kraeuchi, Wirz-Justice, Am J Physiol 1994), and
# above what skin can have.
SKIN_C = (20.0, 45.0)


# Seconds without any change that no worn sensor has. Blocks of these seconds are flat or not, so that a
# mask reaches less far than the channels. In WESAD and Stress-Predict the longest such stretch has 0.06 s of
# BVP and 4.25 s of EDA. ACC and TEMP of a worn device can be constant for 25 s there, longer than a mask may
# reach: they are checked as a whole.
FLAT_S: Mapping[str, int] = {"BVP": 1, "EDA": 10}
# Shortest recording (s) in which a constant ACC or TEMP is a sensor that does not work.
_CONSTANT_S = 120


@dataclass(frozen=True, eq=False)
class Measured:
    """What sensors measured, by the seconds of a recording (T).

    lost: for each sensor and reason, the share (T,) of each second that was not measured. shares: for each
    sensor, the share (T,) that was measured.
    """

    lost: Mapping[str, Mapping[str, Floats]]
    shares: Mapping[str, Floats]


def measured(recording: Recording) -> Measured:
    """Measured share of each second and sensor of a recording; empty for values without units."""
    if recording.scaled:
        return Measured({}, {})
    seconds = recording.whole_seconds
    masks: dict[str, dict[str, NDArray[np.bool_]]] = {}
    for sensor, channels in SENSORS.items():
        of_sensor: dict[str, NDArray[np.bool_]] = {}
        for channel in channels:
            for reason, mask in _lost(sensor, recording, channel).items():
                # A sample of three axes is lost if one of them is.
                of_sensor[reason] = of_sensor.get(reason, np.zeros(len(mask), bool)) | mask
        masks[sensor] = of_sensor
    rates = {sensor: recording.signals[channels[0]].rate_hz for sensor, channels in SENSORS.items()}
    lost = {
        sensor: {reason: _share(mask, rates[sensor], seconds) for reason, mask in of_sensor.items()}
        for sensor, of_sensor in masks.items()
    }
    shares = {
        sensor: 1 - _share(np.any([*of_sensor.values()], axis=0), rates[sensor], seconds)
        if of_sensor
        else np.ones(seconds)
        for sensor, of_sensor in masks.items()
    }
    return Measured(lost, shares)


def refuse_constant(recording: Recording) -> None:
    """Check that acceleration and temperature change at all.

    Raises:
        InputError: one of them is the same in the whole recording.
    """
    if recording.whole_seconds < _CONSTANT_S:
        return
    for sensor in ("ACC", "TEMP"):
        signals = [recording.signals[channel].values for channel in SENSORS[sensor]]
        if not any(np.ptp(values) for values in signals):
            values = ", ".join(f"{float(values[0]):g}" for values in signals)
            raise InputError(
                f"{recording.subject}: {sensor} is {values} in all {recording.whole_seconds} s: the sensor "
                "did not work; leave the recording out"
            )


def joined(parts: list[Measured]) -> Measured:
    """The measured shares of a person's recordings, in order of time, as one."""
    if len(parts) == 1 or not parts[0].shares:
        return parts[0]
    lengths = [len(part.shares["BVP"]) for part in parts]
    reasons = {sensor: dict.fromkeys(r for part in parts for r in part.lost[sensor]) for sensor in SENSORS}
    lost = {
        sensor: {
            reason: np.concatenate(
                [part.lost[sensor].get(reason, np.zeros(n)) for part, n in zip(parts, lengths, strict=True)]
            )
            for reason in of_sensor
        }
        for sensor, of_sensor in reasons.items()
    }
    return Measured(lost, {s: np.concatenate([part.shares[s] for part in parts]) for s in SENSORS})


def left_out(
    found: Measured, rows: NDArray[np.intp], least: float
) -> tuple[NDArray[np.bool_], Mapping[str, int]]:
    """Windows (n,) with a sensor whose measured share is below `least`, and their numbers by reason.

    rows: (n, time) seconds of each window. A window counts once per sensor that lost it, with the reason that
    took most of it.
    """
    dropped = np.zeros(len(rows), bool)
    counts: dict[str, int] = {}
    for sensor, share in found.shares.items():
        below = share[rows].mean(axis=1) < least
        dropped |= below
        if below.any():
            reasons = list(found.lost[sensor])
            taken = np.stack([found.lost[sensor][reason][rows[below]].mean(axis=1) for reason in reasons])
            for index, number in enumerate(np.bincount(taken.argmax(axis=0), minlength=len(reasons))):
                if number:
                    counts[f"{sensor}, {reasons[index]}"] = int(number)
    return dropped, counts


def _lost(sensor: str, recording: Recording, channel: str) -> Mapping[str, NDArray[np.bool_]]:
    """Masks (n,) of the samples of a channel that were not measured, by reason."""
    signal = recording.signals[channel]
    found = dict(signal.unmeasured)
    values = signal.values
    if sensor == "EDA":
        # First, so that it is named where both took equally much: an E4 writes 0, which is mended too.
        found = {"no skin contact": values < CONTACT_US, **found}
    if sensor == "TEMP":
        found["no temperature of skin"] = (values < SKIN_C[0]) | (values > SKIN_C[1])
    if sensor in FLAT_S:
        found["flat line"] = _flat(values, FLAT_S[sensor] * round(signal.rate_hz))
    return {reason: mask for reason, mask in found.items() if mask.any()}


def _flat(values: Floats, block: int) -> NDArray[np.bool_]:
    """Samples (n,) of whole blocks of samples without any change."""
    whole = len(values) // block
    rows = values[: whole * block].reshape(whole, block)
    flat = np.repeat(np.ptp(rows, axis=1) == 0, block)
    return np.concatenate([flat, np.zeros(len(values) - len(flat), bool)])


def _share(mask: NDArray[np.bool_], rate_hz: float, seconds: int) -> Floats:
    rate = round(rate_hz)
    return np.asarray(mask[: seconds * rate].reshape(seconds, rate).mean(axis=1))
