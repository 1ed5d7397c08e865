"""Physiological channels at 1 Hz from wrist signals at native rates: pulse, conductance, motion, temperature.

A BVP signal at 1 Hz holds no pulse wave, because heart beats lie above 0.5 Hz. Heart rate and pulse amplitude
are therefore computed at the native rate and then sampled at 1 Hz.

Every step uses samples up to a stated number of seconds away and no others (`REACH_S`), because a guarantee
for one minute of a recording must count all values that the minute can change. Filters are sums of products
with finite taps: recursive filters, Fourier transforms and running sums spread rounding without limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseveil.cohorts.gaps import bridge
from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import CONTACT_US, PHYSIOLOGICAL_CHANNELS, Recording, Signal
from pulseveil.core.errors import InputError
from pulseveil.windows import heart_rate

# The functions below import SciPy themselves, because it takes half a second and plans import this module for
# `REACH_S`.


PULSE_BAND_HZ = (0.7, 3.5)
# 99.99 % of the energy of the pulse filter's response lies within 2 s.
PULSE_SPAN_S = 3
# Heart rate is interpolated linearly over up to this time (s) from a second in which it is clear. Further
# away it is set to the mean of adults at rest (Ostchega et al., National Health Statistics Reports 41, 2011).
CLEAR_SPAN_S = 8
USUAL_HEART_RATE = 72.0
# Largest distance (s) to a sample with contact for linear interpolation over a loss of contact.
CONTACT_SPAN_S = 3
TONIC_CUTOFF_HZ = 0.02
# The filter spans one period of the cut-off frequency.
TONIC_SPAN_S = 25
# Steps of the sensors (Empatica E4), below which no logarithm may go.
ACC_STEP_G = 1 / 64
BVP_STEP = 0.01
ACCELERATION = ("ACC_x", "ACC_y", "ACC_z")

# Distance (s) beyond its own second at which a raw sample can change a channel.
REACH_S: Mapping[str, float] = {
    "heart_rate": CLEAR_SPAN_S + heart_rate.TRACK_REACH_S + PULSE_SPAN_S,
    "pulse_amplitude": PULSE_SPAN_S,
    "eda_level": CONTACT_SPAN_S,
    "eda_phasic": CONTACT_SPAN_S + TONIC_SPAN_S,
    "activity": 0.0,
    "temperature": 0.0,
}


@dataclass(frozen=True, eq=False)
class PhysiologicalSignals:
    """Channels (T,) float64 at 1 Hz, keyed by `PHYSIOLOGICAL_CHANNELS`; value k describes [k, k + 1) s.

    pulse: rate, uncertainty and beats; heart rate is interpolated where the rate is unclear.
    contact_loss_seconds: number of seconds in which skin conductance is interpolated.
    """

    channels: Mapping[str, Floats]
    pulse: heart_rate.Pulse
    contact_loss_seconds: int


def physiological_channels(recording: Recording) -> PhysiologicalSignals:
    """The six physiological channels of a recording over the T whole seconds that all its signals cover.

    heart_rate beats/min; pulse_amplitude in the unit of BVP; eda_level and eda_phasic uS; activity g;
    temperature degrees Celsius. All values are finite; pulse_amplitude, eda_level and activity are positive,
    so that a later step may take logarithms. A value depends only on samples at most `REACH_S` from its
    second. All signals must have the same start.

    Raises:
        InputError: the BVP holds no pulse.
    """
    signals = recording.signals
    seconds = recording.whole_seconds
    pulse, envelope = pulse_wave(signals["BVP"])
    amplitude = _per_second(envelope, signals["BVP"].rate_hz, seconds).mean(axis=1)
    axes = [_of_heart_beats(signals[name], ACC_STEP_G) for name in ACCELERATION]
    tracked = heart_rate.track_pulse(replace(signals["BVP"], values=pulse), envelope, axes, seconds)
    conductance, lost = fill_contact_loss(signals["EDA"])
    eda_level = _per_second(conductance, signals["EDA"].rate_hz, seconds).mean(axis=1)
    values = (
        _filled_in(tracked, recording.subject),
        np.maximum(amplitude, BVP_STEP),
        eda_level,
        eda_level - tonic_level(eda_level),
        _activity(signals, seconds),
        _per_second(signals["TEMP"].values, signals["TEMP"].rate_hz, seconds).mean(axis=1),
    )
    return PhysiologicalSignals(
        channels=dict(zip(PHYSIOLOGICAL_CHANNELS, values, strict=True)),
        pulse=tracked,
        contact_loss_seconds=int(_per_second(lost, signals["EDA"].rate_hz, seconds).any(axis=1).sum()),
    )


def pulse_wave(bvp: Signal) -> tuple[Floats, Floats]:
    """The BVP limited to the frequencies of heart beats, with zero phase, and its envelope; both (n,).

    The envelope is the magnitude of the pulse's analytic signal. The filter is the impulse response of a
    Butterworth filter of order 3, run forwards and backwards, truncated at `PULSE_SPAN_S`.
    """
    from scipy import signal

    half = round(PULSE_SPAN_S * bvp.rate_hz)
    impulse = np.zeros(8 * half + 1)
    impulse[4 * half] = 1
    sections = signal.butter(3, PULSE_BAND_HZ, btype="bandpass", fs=bvp.rate_hz, output="sos")
    # With the analytic signal of the response as taps, one convolution gives the pulse (real part) and its
    # quadrature (imaginary part), and both have the same finite reach.
    response = signal.hilbert(signal.sosfiltfilt(sections, impulse, padlen=0))[3 * half : 5 * half + 1]
    longer = np.pad(bvp.values, half, mode="reflect", reflect_type="odd")
    pulse, quadrature = (np.convolve(longer, part, "valid") for part in (response.real, response.imag))
    return pulse, np.hypot(pulse, quadrature)


def fill_contact_loss(eda: Signal) -> tuple[Floats, NDArray[np.bool_]]:
    """Conductance (n,) in uS with samples without contact interpolated, and the mask (n,) of those samples.

    Further than `CONTACT_SPAN_S` from any sample with contact, the result is the contact threshold.
    """
    lost = eda.values < CONTACT_US
    index = np.arange(len(lost), dtype=np.float64)
    span = CONTACT_SPAN_S * eda.rate_hz
    return bridge(index, index[~lost], eda.values[~lost], span, CONTACT_US), lost


def tonic_level(eda_level: Floats) -> Floats:
    """Slow part (T,) of a conductance (T,) at 1 Hz: below `TONIC_CUTOFF_HZ`, zero phase, ends mirrored."""
    from scipy import ndimage, signal

    taps = signal.firwin(2 * TONIC_SPAN_S + 1, TONIC_CUTOFF_HZ, fs=1.0)
    return np.asarray(ndimage.convolve1d(eda_level, taps, mode="reflect"))


def _of_heart_beats(axis: Signal, unit: float) -> Signal:
    """An axis of the acceleration, times `unit`, limited to the frequencies of heart beats."""
    return replace(axis, values=pulse_wave(axis)[0] * unit)


def _filled_in(pulse: heart_rate.Pulse, subject: str) -> Floats:
    """Heart rate (T,) in beats/min, interpolated where it is unclear."""
    clear = ~pulse.unclear
    if not clear.any():
        raise InputError(
            f"{subject}: expected heart beats between 40 and 180 per minute in BVP, found none; "
            "leave the subject out or use the published channels"
        )
    seconds = np.arange(len(clear), dtype=np.float64)
    return bridge(seconds, seconds[clear], pulse.rate[clear], CLEAR_SPAN_S, USUAL_HEART_RATE)


def _activity(signals: Mapping[str, Signal], seconds: int) -> Floats:
    """SD of the acceleration's magnitude (g) per second, plus the rounding noise of the sensor."""
    # The noise keeps the SD positive at rest, so that its logarithm is finite.
    squares = [np.square(signals[name].values) for name in ACCELERATION]
    magnitude = np.sqrt(np.sum(squares, axis=0)) * ACC_STEP_G
    variance = _per_second(magnitude, signals["ACC_x"].rate_hz, seconds).var(axis=1)
    return np.asarray(np.sqrt(variance + ACC_STEP_G**2 / 12))


def _per_second(values: NDArray[Any], rate_hz: float, seconds: int) -> NDArray[Any]:
    """Samples of the whole seconds as rows (seconds, rate)."""
    rate = round(rate_hz)
    rows: NDArray[Any] = values[: seconds * rate].reshape(seconds, rate)
    return rows
