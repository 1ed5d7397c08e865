"""What is odd in a recording but no reason to change it: sentences for the cohort summary."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pulseveil.contracts import CONTACT_US, Signal

# The largest value of the 8-bit accelerometer, in g/64.
SATURATION = 127
# Skin does not warm or cool faster than this from one second to the next.
TEMP_STEP_C = 0.5


def describe_signals(signals: Mapping[str, Signal]) -> tuple[str, ...]:
    """Sentences on contact loss, saturation and steps of temperature; times are seconds of the recording."""
    found = (_contact_loss(signals["EDA"]), _saturation(signals), _temperature_steps(signals["TEMP"]))
    return tuple(sentence for sentence in found if sentence)


def _contact_loss(eda: Signal) -> str:
    samples = np.flatnonzero(eda.values < CONTACT_US)
    if not len(samples):
        return ""
    what = f"{counted(len(samples), 'sample')} below {CONTACT_US} uS, no skin contact"
    return f"EDA: {what}, {_span(samples / eda.rate_hz)}"


def _saturation(signals: Mapping[str, Signal]) -> str:
    axes = [signals[channel].values for channel in ("ACC_x", "ACC_y", "ACC_z")]
    count = int((np.abs(np.stack(axes)) >= SATURATION).any(axis=0).sum())
    return f"ACC: {counted(count, 'sample')} at the end of the sensor's range" if count else ""


def _temperature_steps(temp: Signal) -> str:
    step = round(temp.rate_hz)
    by_second = temp.values[::step]
    seconds = np.flatnonzero(np.abs(np.diff(by_second)) > TEMP_STEP_C) + 1
    if not len(seconds):
        return ""
    what = f"{counted(len(seconds), 'step')} of more than {TEMP_STEP_C} C within a second"
    return f"TEMP: {what}, {_span(seconds)}"


def counted(number: int, noun: str) -> str:
    """`1 sample`, `2 samples`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _span(times: NDArray[np.float64] | NDArray[np.intp]) -> str:
    first, last = float(times[0]), float(times[-1])
    return f"at {first:.2f} s" if first == last else f"between {first:.2f} s and {last:.2f} s"
