"""Physiological channels at 1 Hz from wrist signals at native rates: pulse, conductance, motion, temperature.

A BVP signal at 1 Hz holds no pulse wave, because heart beats lie above 0.5 Hz. Heart rate and pulse amplitude
are therefore computed at the native rate and then sampled at 1 Hz.

Every step uses samples up to a stated number of seconds away and no others (`REACH_S`), because a guarantee
for one minute of a recording must count all values that the minute can change. Filters are sums of products
with finite taps: recursive filters, Fourier transforms and running sums spread rounding without limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseveil.cohorts.gaps import bridge
from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import CONTACT_US, PHYSIOLOGICAL_CHANNELS, Recording, Signal
from pulseveil.core.errors import InputError

# The functions below import SciPy themselves, because it takes half a second and plans import this module for
# `REACH_S`.


PULSE_BAND_HZ = (0.7, 3.5)
# 99.99 % of the energy of the pulse filter's response lies within 2 s.
PULSE_SPAN_S = 3
# Least prominence of a crest as a share of the envelope: 2 for a clean beat, below this value for ripples.
CREST_PROMINENCE = 0.7
# Each round extends the reach by two shortest intervals.
CREST_ROUNDS = 3
ENVELOPE_SPAN_S = 2.5
# Shortest and longest inter-beat interval of a heart beat: 180 and 40 beats/min.
INTERVAL_RANGE_S = (60 / 180, 60 / 40)
# An interval that deviates from the median of its neighbourhood by a larger share is a missed or false beat.
INTERVAL_TOLERANCE = 0.25
INTERVAL_SPAN_S = 15
# A second whose envelope exceeds the median of its neighbourhood by this factor is movement, not pulse.
LOUD = 3.0
LOUD_SPAN_S = 17
# Heart rate is interpolated linearly over up to this time (s) from a trusted beat. Further away it is unknown
# and set to the mean of adults at rest (Ostchega et al., National Health Statistics Reports 41, 2011).
BEAT_SPAN_S = 8
USUAL_HEART_RATE = 72.0
# Largest distance (s) to a sample with contact for linear interpolation over a loss of contact.
CONTACT_SPAN_S = 3
TONIC_CUTOFF_HZ = 0.02
# The filter spans one period of the cut-off frequency.
TONIC_SPAN_S = 25
# Steps of the sensors (Empatica E4), below which no logarithm may go.
ACC_STEP_G = 1 / 64
BVP_STEP = 0.01

# Distance (s) beyond its own second at which a raw sample can change a channel. A heart rate depends on the
# intervals near it and on loudness. Whether an interval is accepted depends on the beats at its ends and on
# the beats of its neighbours.
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
    """Channels (T,) float64 at 1 Hz, keyed by `PHYSIOLOGICAL_CHANNELS`; value k describes [k, k + 1) s.

    artefact: mask (T,) of the seconds without an accepted heart beat, where heart rate is interpolated.
    contact_loss_seconds: number of seconds in which skin conductance is interpolated.
    """

    channels: Mapping[str, Floats]
    artefact: NDArray[np.bool_]
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
        artefact=artefact,
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


def beat_times(pulse: Floats, envelope: Floats, rate_hz: float) -> Floats:
    """Times (s) of the prominent crests of a pulse wave (n,), refined between samples by a parabola."""
    from scipy import ndimage, signal

    # Prominence is limited to the longest interval, and a plateau of that length has none: both would
    # otherwise depend on samples at any distance.
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


def loud_seconds(amplitude: Floats) -> NDArray[np.bool_]:
    """Seconds (T,) whose pulse amplitude (T,) is so far above its neighbourhood that it is movement."""
    from scipy import ndimage

    usual = ndimage.median_filter(amplitude, 2 * LOUD_SPAN_S + 1, mode="nearest")
    return np.asarray(amplitude > LOUD * usual)


def accepted_intervals(middles_s: Floats, intervals_s: Floats, loud: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Inter-beat intervals (m,) that are possible, not `loud` (m,), and near the median of their neighbours.

    middles_s: (m,) times of the intervals, ascending. Neighbours are the possible intervals within
    `INTERVAL_SPAN_S`.
    """
    possible = (intervals_s >= INTERVAL_RANGE_S[0]) & (intervals_s <= INTERVAL_RANGE_S[1])
    middles, intervals = middles_s[possible], intervals_s[possible]
    starts = np.searchsorted(middles, middles - INTERVAL_SPAN_S, side="left")
    ends = np.searchsorted(middles, middles + INTERVAL_SPAN_S, side="right")
    usual = np.array([np.median(intervals[start:end]) for start, end in zip(starts, ends, strict=True)])
    accepted = possible & ~loud
    accepted[possible] &= np.abs(intervals / usual - 1) <= INTERVAL_TOLERANCE
    return accepted


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


def _spaced(crests: NDArray[np.intp], pulse: Floats, distance: int) -> NDArray[np.bool_]:
    """Crests (m,) of a pulse (n,) that remain if each removes lower crests less than `distance` away.

    The highest crests go first, as in SciPy's `find_peaks`. There one crest can decide another one through a
    chain of any length; here chains end after `CREST_ROUNDS`.
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


def _heart_rate(beats: Floats, loud: NDArray[np.bool_], subject: str) -> tuple[Floats, NDArray[np.bool_]]:
    """Heart rate (T,) in beats/min, and the mask (T,) of seconds in which it is interpolated.

    loud: (T,) seconds whose beats are not trusted.
    """
    intervals = np.diff(beats)
    middles = beats[:-1] + intervals / 2
    accepted = accepted_intervals(middles, intervals, loud[np.minimum(middles.astype(int), len(loud) - 1)])
    if not accepted.any():
        raise InputError(
            f"{subject}: expected heart beats between 40 and 180 per minute in BVP, found none; "
            "leave the subject out or use the published channels"
        )
    centres = np.arange(len(loud), dtype=np.float64) + 0.5
    rates = 60 / intervals[accepted]
    heart_rate = bridge(centres, middles[accepted], rates, BEAT_SPAN_S, USUAL_HEART_RATE)
    # The number of beats before a centre is the index of its interval; the padding covers the ends.
    inside = np.r_[False, accepted, False][np.searchsorted(beats, centres)]
    return heart_rate, ~inside


def _activity(signals: Mapping[str, Signal], seconds: int) -> Floats:
    """SD of the acceleration's magnitude (g) per second, plus the rounding noise of the sensor."""
    # The noise keeps the SD positive at rest, so that its logarithm is finite.
    squares = [np.square(signals[name].values) for name in ("ACC_x", "ACC_y", "ACC_z")]
    magnitude = np.sqrt(np.sum(squares, axis=0)) * ACC_STEP_G
    variance = _per_second(magnitude, signals["ACC_x"].rate_hz, seconds).var(axis=1)
    return np.asarray(np.sqrt(variance + ACC_STEP_G**2 / 12))


def _per_second(values: NDArray[Any], rate_hz: float, seconds: int) -> NDArray[Any]:
    """Samples of the whole seconds as rows (seconds, rate)."""
    rate = round(rate_hz)
    rows: NDArray[Any] = values[: seconds * rate].reshape(seconds, rate)
    return rows
