"""Physiological channels at 1 Hz from native-rate wrist signals: pulse, skin conductance, motion, warmth.

At 1 Hz a raw BVP channel holds no pulse wave any more (heart beats lie above 0.5 Hz); these channels are
computed at the native rates first and carry heart rate and pulse amplitude along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, signal

from pulseveil.contracts import CONTACT_US, PHYSIOLOGICAL_CHANNELS, Recording, Signal
from pulseveil.errors import InputError

Array = NDArray[np.float64]

PULSE_BAND_HZ = (0.7, 3.5)
# The crest of a clean beat rises above its troughs by twice the envelope; ripples rise by less than this.
CREST_PROMINENCE = 0.7
ENVELOPE_SPAN_S = 5
# Shortest and longest inter-beat interval that counts as a heart beat: 180 and 40 beats/min.
INTERVAL_RANGE_S = (60 / 180, 60 / 40)
# An interval further than this share from the running median of its neighbours is a missed or false beat.
INTERVAL_TOLERANCE = 0.25
MEDIAN_INTERVALS = 31
# A second whose envelope exceeds the running median of its neighbours this many times is movement, not pulse.
LOUD = 3.0
LOUD_SPAN_S = 61
TONIC_CUTOFF_HZ = 0.02
# The sensors' steps (Empatica E4): no logarithm should look below them.
ACC_STEP_G = 1 / 64
BVP_STEP = 0.01


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
    so that a later step may take logarithms. Filters run forwards and backwards over the whole recording
    (zero phase): a value depends on the signal up to a minute to either side of it (eda_phasic) or a few
    seconds (heart_rate, pulse_amplitude). Signals must share one start.

    Raises InputError when the BVP holds no pulse.
    """
    signals = recording.signals
    seconds = recording.whole_seconds
    pulse = pulse_wave(signals["BVP"])
    envelope = pulse_envelope(pulse)
    amplitude = _per_second(envelope, signals["BVP"].rate_hz, seconds).mean(axis=1)
    beats = beat_times(pulse, envelope, signals["BVP"].rate_hz)
    heart_rate, artefact = _heart_rate(beats, loud_seconds(amplitude), recording.subject)
    conductance, lost = fill_contact_loss(signals["EDA"].values)
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


def pulse_wave(bvp: Signal) -> Array:
    """The BVP (n,) limited to the frequencies of heart beats; zero phase."""
    sections = signal.butter(3, PULSE_BAND_HZ, btype="bandpass", fs=bvp.rate_hz, output="sos")
    return np.asarray(signal.sosfiltfilt(sections, bvp.values))


def pulse_envelope(pulse: Array) -> Array:
    """The envelope (n,) of a pulse wave (n,): the magnitude of its analytic signal."""
    # A length with small prime factors keeps the Fourier transform fast.
    analytic = signal.hilbert(pulse, N=fft.next_fast_len(len(pulse)))
    return np.asarray(np.abs(analytic[: len(pulse)]))


def beat_times(pulse: Array, envelope: Array, rate_hz: float) -> Array:
    """Times (s) of the crests of a pulse wave (n,) that stand out, refined between samples by a parabola."""
    crests, properties = signal.find_peaks(
        pulse, height=0, distance=int(INTERVAL_RANGE_S[0] * rate_hz), prominence=0
    )
    usual = ndimage.uniform_filter1d(envelope, round(ENVELOPE_SPAN_S * rate_hz))
    crests = crests[properties["prominences"] > CREST_PROMINENCE * usual[crests]]
    before, at, after = pulse[crests - 1], pulse[crests], pulse[crests + 1]
    curvature = before - 2 * at + after
    shift = np.divide(before - after, 2 * curvature, out=np.zeros_like(at), where=curvature < 0)
    return np.asarray((crests + shift) / rate_hz)


def loud_seconds(amplitude: Array) -> NDArray[np.bool_]:
    """Which seconds of a pulse amplitude (T,) stand so far above their neighbours that they are movement."""
    return np.asarray(amplitude > LOUD * ndimage.median_filter(amplitude, LOUD_SPAN_S, mode="nearest"))


def accepted_intervals(intervals_s: Array, loud: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which inter-beat intervals (m,) count: possible, not `loud (m,)`, near the running median of such."""
    possible_length = (intervals_s >= INTERVAL_RANGE_S[0]) & (intervals_s <= INTERVAL_RANGE_S[1])
    accepted = possible_length & ~loud
    possible = intervals_s[accepted]
    usual = ndimage.median_filter(possible, MEDIAN_INTERVALS, mode="nearest")
    accepted[accepted] = np.abs(possible / usual - 1) <= INTERVAL_TOLERANCE
    return accepted


def fill_contact_loss(conductance: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Conductance (n,) in uS with samples below contact interpolated from their neighbours, and which.

    The ends are held; a recording without any contact becomes the constant contact threshold.
    """
    lost = conductance < CONTACT_US
    if lost.all():
        return np.full_like(conductance, CONTACT_US), lost
    index = np.arange(len(conductance))
    return np.interp(index, index[~lost], conductance[~lost]), lost


def tonic_level(eda_level: Array) -> Array:
    """The slow part (T,) of a 1 Hz conductance (T,): below `TONIC_CUTOFF_HZ`, zero phase, ends mirrored."""
    sections = signal.butter(2, TONIC_CUTOFF_HZ, fs=1.0, output="sos")
    # Mirrored ends of several periods of the cut-off keep the filter's start-up out of the recording.
    padding = min(round(4 / TONIC_CUTOFF_HZ), len(eda_level) - 1)
    return np.asarray(signal.sosfiltfilt(sections, eda_level, padlen=padding))


def _heart_rate(beats: Array, loud: NDArray[np.bool_], subject: str) -> tuple[Array, NDArray[np.bool_]]:
    """Heart rate (T,) interpolated between accepted intervals, and seconds outside all of them.

    `loud (T,)`: seconds whose beats are not trusted.
    """
    intervals = np.diff(beats)
    middles = beats[:-1] + intervals / 2
    accepted = accepted_intervals(intervals, loud[np.minimum(middles.astype(int), len(loud) - 1)])
    if not accepted.any():
        raise InputError(
            f"{subject}: expected heart beats between 40 and 180 a minute in BVP, found none; "
            "leave the subject out or use the published channels"
        )
    centres = np.arange(len(loud)) + 0.5
    heart_rate = np.interp(centres, middles[accepted], 60 / intervals[accepted])
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
