"""Physiological channels at 1 Hz from native-rate wrist signals: pulse, skin conductance, motion, warmth.

At 1 Hz a raw BVP channel holds no pulse wave any more (heart beats lie above 0.5 Hz); these channels are
computed at the native rates first and carry heart rate and pulse amplitude along.

Every step looks a stated number of seconds to either side and no further (`REACH_S`): what a minute of a
recording can change is what a guarantee for that minute must count. Filters are sums of products with finite
taps, never recursive and never by a Fourier transform or a running sum, whose rounding goes on for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseveil.cohorts.gaps import bridge
from pulseveil.core.contracts import CONTACT_US, PHYSIOLOGICAL_CHANNELS, Recording, Signal
from pulseveil.core.errors import InputError

# SciPy takes half a second to import, so that the functions below import it themselves: the plan asks this
# module how far its channels reach.

Array = NDArray[np.float64]

PULSE_BAND_HZ = (0.7, 3.5)
# 99.99 % of the energy of the pulse filter's response lie within 2 s.
PULSE_SPAN_S = 3
# The crest of a clean beat rises above its troughs by twice the envelope; ripples rise by less than this.
CREST_PROMINENCE = 0.7
# Each round reaches two shortest intervals further.
CREST_ROUNDS = 3
ENVELOPE_SPAN_S = 2.5
# Shortest and longest inter-beat interval that counts as a heart beat: 180 and 40 beats/min.
INTERVAL_RANGE_S = (60 / 180, 60 / 40)
# An interval further than this share from the median of those around it is a missed or false beat.
INTERVAL_TOLERANCE = 0.25
INTERVAL_SPAN_S = 15
# A second whose envelope exceeds the median of those around it this many times is movement, not pulse.
LOUD = 3.0
LOUD_SPAN_S = 17
# Between trusted beats the heart rate is a line; further from any of them it is not known, and the mean of
# adults at rest stands for it (Ostchega et al., National Health Statistics Reports 41, 2011).
BEAT_SPAN_S = 8
USUAL_HEART_RATE = 72.0
# Longer losses of contact are too long for a line between the neighbours.
CONTACT_SPAN_S = 3
TONIC_CUTOFF_HZ = 0.02
# One period of the cut-off in all.
TONIC_SPAN_S = 25
# The sensors' steps (Empatica E4): no logarithm should look below them.
ACC_STEP_G = 1 / 64
BVP_STEP = 0.01

# How far (s) a raw sample can change a channel beyond the second that it lies in. A heart rate hangs on the
# intervals around it, each on the beats at its ends and on those of the intervals around it, and on loudness.
_OF_BEAT = max(ENVELOPE_SPAN_S, INTERVAL_RANGE_S[1], 2 * CREST_ROUNDS * INTERVAL_RANGE_S[0])
_OF_INTERVAL = max(INTERVAL_SPAN_S + INTERVAL_RANGE_S[1] / 2 + _OF_BEAT, LOUD_SPAN_S + 1)
REACH_S: Mapping[str, float] = {
    "heart_rate": BEAT_SPAN_S + _OF_INTERVAL + PULSE_SPAN_S,
    "pulse_amplitude": PULSE_SPAN_S,
    "eda_level": CONTACT_SPAN_S,
    "eda_phasic": CONTACT_SPAN_S + TONIC_SPAN_S,
    "activity": 0.0,
    "temperature": 0.0,
}


@dataclass(frozen=True, eq=False)
class PhysiologicalSignals:
    """Channels (T,) float64 at 1 Hz, keyed by `PHYSIOLOGICAL_CHANNELS`; second k describes [k, k + 1).

    `artefact_seconds` are seconds without an accepted heart beat, where heart rate is interpolated;
    `contact_loss_seconds` are seconds in which skin conductance was filled in from its neighbours.
    """

    channels: Mapping[str, Array]
    artefact_seconds: int
    contact_loss_seconds: int


def physiological_channels(recording: Recording) -> PhysiologicalSignals:
    """The six physiological channels of a recording over the T whole seconds that all its signals share.

    heart_rate beats/min; pulse_amplitude in the unit of BVP; eda_level and eda_phasic uS; activity g;
    temperature degrees Celsius. All values are finite; pulse_amplitude, eda_level and activity are positive,
    so that a later step may take logarithms. A value depends on the signal up to `REACH_S` to either side of
    its second, and on nothing else. Signals must share one start.

    Raises InputError when the BVP holds no pulse.
    """
    signals = recording.signals
    seconds = recording.whole_seconds
    pulse, envelope = pulse_wave(signals["BVP"])
    amplitude = _per_second(envelope, signals["BVP"].rate_hz, seconds).mean(axis=1)
    beats = beat_times(pulse, envelope, signals["BVP"].rate_hz)
    heart_rate, artefact = _heart_rate(beats, loud_seconds(amplitude), recording.subject)
    conductance, lost = fill_contact_loss(signals["EDA"])
    eda_level = _per_second(conductance, signals["EDA"].rate_hz, seconds).mean(axis=1)
    values = (
        heart_rate,
        np.maximum(amplitude, BVP_STEP),
        eda_level,
        eda_level - tonic_level(eda_level),
        _activity(signals, seconds),
        _per_second(signals["TEMP"].values, signals["TEMP"].rate_hz, seconds).mean(axis=1),
    )
    return PhysiologicalSignals(
        channels=dict(zip(PHYSIOLOGICAL_CHANNELS, values, strict=True)),
        artefact_seconds=int(artefact.sum()),
        contact_loss_seconds=int(_per_second(lost, signals["EDA"].rate_hz, seconds).any(axis=1).sum()),
    )


def pulse_wave(bvp: Signal) -> tuple[Array, Array]:
    """The BVP limited to the frequencies of heart beats, zero phase, and its envelope; both (n,).

    The envelope is the magnitude of the pulse's analytic signal. The filter is a Butterworth filter of order
    3 run forwards and backwards, cut off at `PULSE_SPAN_S`.
    """
    from scipy import signal

    half = round(PULSE_SPAN_S * bvp.rate_hz)
    impulse = np.zeros(8 * half + 1)
    impulse[4 * half] = 1
    sections = signal.butter(3, PULSE_BAND_HZ, btype="bandpass", fs=bvp.rate_hz, output="sos")
    # The analytic signal of the response, so that the real part gives the pulse, and both parts its envelope.
    response = signal.hilbert(signal.sosfiltfilt(sections, impulse, padlen=0))[3 * half : 5 * half + 1]
    longer = np.pad(bvp.values, half, mode="reflect", reflect_type="odd")
    pulse, quadrature = (np.convolve(longer, part, "valid") for part in (response.real, response.imag))
    return pulse, np.hypot(pulse, quadrature)


def beat_times(pulse: Array, envelope: Array, rate_hz: float) -> Array:
    """Times (s) of the crests of a pulse wave (n,) that stand out, refined between samples by a parabola."""
    from scipy import ndimage, signal

    # Prominence looks no further than the longest interval; what is flat for as long has none.
    width = 2 * int(INTERVAL_RANGE_S[1] * rate_hz) + 1
    crests, properties = signal.find_peaks(
        pulse, height=0, prominence=0, wlen=width, plateau_size=(None, width - 2)
    )
    width = 2 * round(ENVELOPE_SPAN_S * rate_hz) + 1
    usual = ndimage.convolve1d(envelope, np.full(width, 1 / width), mode="nearest")
    prominent = properties["prominences"] > CREST_PROMINENCE * usual[crests]
    crests = crests[prominent & _spaced(crests, pulse, int(INTERVAL_RANGE_S[0] * rate_hz))]
    before, at, after = pulse[crests - 1], pulse[crests], pulse[crests + 1]
    curvature = before - 2 * at + after
    shift = np.divide(before - after, 2 * curvature, out=np.zeros_like(at), where=curvature < 0)
    return np.asarray((crests + shift) / rate_hz)


def loud_seconds(amplitude: Array) -> NDArray[np.bool_]:
    """Which seconds of a pulse amplitude (T,) stand so far above their neighbours that they are movement."""
    from scipy import ndimage

    usual = ndimage.median_filter(amplitude, 2 * LOUD_SPAN_S + 1, mode="nearest")
    return np.asarray(amplitude > LOUD * usual)


def accepted_intervals(middles_s: Array, intervals_s: Array, loud: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which inter-beat intervals (m,) count: possible, not `loud (m,)`, near the median of those around.

    `middles_s` (m,): their times, ascending; "around" is up to `INTERVAL_SPAN_S`, possible intervals only.
    """
    possible = (intervals_s >= INTERVAL_RANGE_S[0]) & (intervals_s <= INTERVAL_RANGE_S[1])
    middles, intervals = middles_s[possible], intervals_s[possible]
    starts = np.searchsorted(middles, middles - INTERVAL_SPAN_S, side="left")
    ends = np.searchsorted(middles, middles + INTERVAL_SPAN_S, side="right")
    usual = np.array([np.median(intervals[start:end]) for start, end in zip(starts, ends, strict=True)])
    accepted = possible & ~loud
    accepted[possible] &= np.abs(intervals / usual - 1) <= INTERVAL_TOLERANCE
    return accepted


def fill_contact_loss(eda: Signal) -> tuple[Array, NDArray[np.bool_]]:
    """Conductance (n,) in uS with samples below contact interpolated from their neighbours, and which.

    Further than `CONTACT_SPAN_S` from any contact it is the contact threshold.
    """
    lost = eda.values < CONTACT_US
    index = np.arange(len(lost), dtype=np.float64)
    span = CONTACT_SPAN_S * eda.rate_hz
    return bridge(index, index[~lost], eda.values[~lost], span, CONTACT_US), lost


def tonic_level(eda_level: Array) -> Array:
    """The slow part (T,) of a 1 Hz conductance (T,): below `TONIC_CUTOFF_HZ`, zero phase, ends mirrored."""
    from scipy import ndimage, signal

    taps = signal.firwin(2 * TONIC_SPAN_S + 1, TONIC_CUTOFF_HZ, fs=1.0)
    return np.asarray(ndimage.convolve1d(eda_level, taps, mode="reflect"))


def _spaced(crests: NDArray[np.intp], pulse: Array, distance: int) -> NDArray[np.bool_]:
    """Which crests (m,) of a pulse (n,) stay when each suppresses lower ones less than `distance` away.

    Highest first, as SciPy does, whose chains of crests have no end: here a chain ends after `CREST_ROUNDS`.
    """
    from scipy import ndimage

    stays = np.zeros(len(crests), bool)
    open_ = np.ones(len(crests), bool)
    for _ in range(CREST_ROUNDS):
        heights = np.zeros(len(pulse))
        heights[crests[open_]] = pulse[crests[open_]]
        wins = open_ & (pulse[crests] == ndimage.maximum_filter1d(heights, 2 * distance - 1)[crests])
        won = np.zeros(len(pulse), bool)
        won[crests[wins]] = True
        stays |= wins
        open_ &= ~ndimage.maximum_filter1d(won, 2 * distance - 1)[crests]
    return stays


def _heart_rate(beats: Array, loud: NDArray[np.bool_], subject: str) -> tuple[Array, NDArray[np.bool_]]:
    """Heart rate (T,) interpolated between accepted intervals, and seconds outside all of them.

    `loud (T,)`: seconds whose beats are not trusted.
    """
    intervals = np.diff(beats)
    middles = beats[:-1] + intervals / 2
    accepted = accepted_intervals(middles, intervals, loud[np.minimum(middles.astype(int), len(loud) - 1)])
    if not accepted.any():
        raise InputError(
            f"{subject}: expected heart beats between 40 and 180 a minute in BVP, found none; "
            "leave the subject out or use the published channels"
        )
    centres = np.arange(len(loud), dtype=np.float64) + 0.5
    rates = 60 / intervals[accepted]
    heart_rate = bridge(centres, middles[accepted], rates, BEAT_SPAN_S, USUAL_HEART_RATE)
    # The number of beats before a centre says which interval it lies in; the padding stands for the ends.
    inside = np.r_[False, accepted, False][np.searchsorted(beats, centres)]
    return heart_rate, ~inside


def _activity(signals: Mapping[str, Signal], seconds: int) -> Array:
    """SD of the acceleration's magnitude (g) in each second, the sensor's rounding noise included."""
    squares = [np.square(signals[name].values) for name in ("ACC_x", "ACC_y", "ACC_z")]
    magnitude = np.sqrt(np.sum(squares, axis=0)) * ACC_STEP_G
    variance = _per_second(magnitude, signals["ACC_x"].rate_hz, seconds).var(axis=1)
    return np.asarray(np.sqrt(variance + ACC_STEP_G**2 / 12))


def _per_second(values: NDArray[Any], rate_hz: float, seconds: int) -> NDArray[Any]:
    """The samples of each whole second as rows (seconds, rate)."""
    rate = round(rate_hz)
    rows: NDArray[Any] = values[: seconds * rate].reshape(seconds, rate)
    return rows
