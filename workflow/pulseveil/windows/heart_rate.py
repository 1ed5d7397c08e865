"""Heart rate by second from a pulse wave, its uncertainty, and beats for heart rate variability.

A rate is tracked through the spectra of overlapping stretches: single beats of a moving wrist are often lost,
the rhythm of several seconds rarely is. Frequencies of the arm's acceleration count less (Temko, IEEE Trans.
Biomed. Eng. 64 (2017) 2016). `tests/benchmarks/heart_rate.py` compares rates and beats with true ones.

Every second is tracked from the seconds around it alone (`TRACK_REACH_S`): a path through a whole recording
would carry a change without limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import Signal

# The functions below import SciPy themselves, because it takes half a second and plans import this module for
# `TRACK_REACH_S`.

# Lowest and highest heart rate (beats/min).
RATES = (40.0, 180.0)
# Length of a stretch, and the step of its frequencies: 1/32 Hz, 1.9 beats/min.
STRETCH_S = 8
BINS_PER_HZ = 32
# Spectra need no higher sampling rate, because the second harmonic of the fastest heart is 6 Hz.
SPECTRUM_HZ = 16.0
# A second harmonic counts up to this share of the first: otherwise half the rate would fit as well.
HARMONIC_SHARE = 0.5
# Half of the independent values that each second adds to the stretches: neighbours overlap. Chosen together
# with `RATE_CHANGE` and `MEMORY_S` so that at most 6 % of the seconds of white noise are clear.
EVIDENCE = 2.5
# Usual change (SD) of a heart rate over some seconds, from one second to the next, in beats/min.
RATE_CHANGE = 2.0
# Number of seconds before and after that say where the rate of a second can be.
MEMORY_S = 15
# SD (g) of an acceleration that halves the weight of its frequency.
MOTION_G = 0.02
# Bins on either side of the likeliest rate that the estimate averages.
NEAR_BINS = 3
# A second is clear if the rate is known to this SD (beats/min).
CLEAR = 5.0
# Distance (s) beyond its own second at which a sample of pulse or acceleration can change a rate.
TRACK_REACH_S = MEMORY_S + STRETCH_S / 2

# A beat is a rise that stands out from the local mean of its envelope.
RISE_PROMINENCE = 0.7
ENVELOPE_SPAN_S = 2.5
# An interval is clean if it deviates from the tracked rate by no larger share.
INTERVAL_TOLERANCE = 0.2
# Least number of pairs of clean intervals for one RMSSD: a third of what a minute at rest has.
LEAST_PAIRS = 20

# Bin of the highest rate.
_HIGHEST = int(RATES[1] / 60 * BINS_PER_HZ)
# Sum over bins of the spectrum of a sinusoid of height 1 (Hann window).
_SPREAD_BINS = 1.5 * BINS_PER_HZ / STRETCH_S
# Rows per block: stretches overlap almost completely and need some hundred times the memory of their signal.
_BLOCK_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Pulse:
    """Heart rate by second, and the beats of a recording.

    rate, uncertainty: (T,) beats/min, the SD of all rates that the signals leave open. beats: (m,) times of
    steepest rise (s). clean: (m - 1,) intervals between beats that agree with a clear rate.
    """

    rate: Floats
    uncertainty: Floats
    beats: Floats
    clean: NDArray[np.bool_]

    @property
    def unclear(self) -> NDArray[np.bool_]:
        """Mask (T,) of the seconds in which the rate is not known."""
        return np.asarray(self.uncertainty > CLEAR)


def track_pulse(pulse: Signal, envelope: Floats, acceleration: Sequence[Signal], seconds: int) -> Pulse:
    """Heart rate by second and beats of a pulse wave (n,) limited to the frequencies of heart beats.

    envelope: (n,) of the pulse wave. acceleration: axes in g, limited to the same frequencies.
    """
    rate, uncertainty = tracked_rate(pulse, acceleration, seconds)
    beats = beat_times(pulse, envelope)
    intervals = np.diff(beats)
    second = np.minimum((beats[:-1] + intervals / 2).astype(int), seconds - 1)
    near = np.abs(intervals * rate[second] / 60 - 1) <= INTERVAL_TOLERANCE
    return Pulse(rate, uncertainty, beats, near & (uncertainty[second] <= CLEAR))


def tracked_rate(pulse: Signal, acceleration: Sequence[Signal], seconds: int) -> tuple[Floats, Floats]:
    """Likeliest heart rate (T,) and the SD (T,) of possible rates around it, in beats/min.

    The likelihood of a rate is that of a sinusoid in noise whose size is unknown and whose power falls with
    1/f (Bretthorst, Bayesian Spectrum Analysis, 1988, section 3.2, for white noise). The rates of
    neighbouring seconds form a random walk, whose probabilities pass forwards and backwards (Rabiner, Proc.
    IEEE 77 (1989) 257) over `MEMORY_S`.
    """
    # Weighted by frequency: what is no pulse is stronger at lower frequencies, and would pull rates down.
    sinusoids = _spectra(pulse, seconds) * np.arange(2 * _HIGHEST + 1)
    # A single sinusoid spreads over neighbouring bins. A dead sensor has a variance of rounding errors.
    total = np.maximum(sinusoids.sum(axis=1) / _SPREAD_BINS, 1e-12)
    moved = np.sum([_spectra(axis, seconds) for axis in acceleration], axis=0)
    shares = sinusoids / total[:, None] / (1 + moved / MOTION_G**2)
    bins = np.arange(math.ceil(RATES[0] / 60 * BINS_PER_HZ), _HIGHEST + 1)
    first, second = shares[:, bins], shares[:, 2 * bins]
    explained = np.minimum(first + np.minimum(second, HARMONIC_SHARE * first), 0.98)
    evidence = -EVIDENCE * np.log1p(-explained)
    likelihood = np.exp(evidence - evidence.max(axis=1, keepdims=True))
    chances = likelihood * _messages(likelihood) * _messages(likelihood[::-1])[::-1]
    chances /= chances.sum(axis=1, keepdims=True)
    rates = 60 * bins / BINS_PER_HZ
    near = chances * (np.abs(np.arange(len(bins)) - chances.argmax(axis=1)[:, None]) <= NEAR_BINS)
    rate = (near * rates).sum(axis=1) / near.sum(axis=1)
    return rate, np.sqrt((chances * np.square(rates - rate[:, None])).sum(axis=1))


def beat_times(pulse: Signal, envelope: Floats) -> Floats:
    """Times (s) of the steep rises of a pulse wave (n,), refined between samples by a parabola.

    A rise is sharper than a crest, whose time depends on the shape of the wave.
    """
    from scipy import ndimage, signal

    rise = np.gradient(pulse.values)
    width = 2 * round(ENVELOPE_SPAN_S * pulse.rate_hz) + 1
    usual = ndimage.uniform_filter1d(np.abs(rise), width, mode="nearest") * np.pi / 2
    distance = max(1, int(60 / RATES[1] * pulse.rate_hz))
    tops, found = signal.find_peaks(rise, height=0, prominence=0, distance=distance)
    tops = tops[found["prominences"] > RISE_PROMINENCE * usual[tops]]
    before, at, after = rise[tops - 1], rise[tops], rise[tops + 1]
    curvature = before - 2 * at + after
    shift = np.divide(before - after, 2 * curvature, out=np.zeros_like(at), where=curvature < 0)
    return np.asarray((tops + shift) / pulse.rate_hz)


def rmssd_ms(beats: Floats, clean: NDArray[np.bool_], starts_s: Floats, window_s: float) -> Floats:
    """RMSSD (n,) in ms of windows that start at `starts_s` (n,), NaN below `LEAST_PAIRS`.

    The root mean square of the differences of successive intervals, both `clean`, whose common beat lies in
    the window (Task Force, Circulation 93 (1996) 1043).

    Examples:
        >>> beats = np.cumsum(np.tile([0.8, 0.85], 40))
        >>> rmssd_ms(beats, np.ones(79, bool), np.array([0.0, 60.0]), 60.0).round()
        array([50., nan])
    """
    pairs = clean[:-1] & clean[1:]
    times = beats[1:-1][pairs]
    sums = np.concatenate([[0.0], np.cumsum(np.square(1e3 * np.diff(beats, 2)[pairs]))])
    first, last = (np.searchsorted(times, starts_s + offset) for offset in (0.0, window_s))
    enough = last - first >= LEAST_PAIRS
    mean = np.divide(sums[last] - sums[first], last - first, out=np.full(len(first), np.nan), where=enough)
    return np.asarray(np.sqrt(mean))


def _messages(likelihood: Floats) -> Floats:
    """Probability (T, bins) of each rate from the `MEMORY_S` seconds before a second, all seconds at once."""
    from scipy import ndimage

    half = math.ceil(3 * RATE_CHANGE * BINS_PER_HZ / 60)
    steps = np.exp(-0.5 * np.square(60 * np.arange(-half, half + 1) / BINS_PER_HZ / RATE_CHANGE))
    message = np.ones_like(likelihood)
    for lag in range(MEMORY_S, 0, -1):
        message[lag:] *= likelihood[:-lag]
        # The least probability keeps a sudden jump possible.
        message = ndimage.convolve1d(message, steps / steps.sum(), axis=1, mode="constant") + 1e-12
        message /= message.sum(axis=1, keepdims=True)
    return message


def _spectra(one: Signal, seconds: int) -> Floats:
    """Variance (T, bins) of the sinusoid of k / `BINS_PER_HZ` Hz in the stretch around each second.

    Stretches are weighted by a Hann window, and are 0 beyond the ends of the recording. Frequencies that the
    sampling rate cannot show have variance 0.
    """
    step = max(1, int(one.rate_hz / SPECTRUM_HZ))
    rate_hz = one.rate_hz / step
    values = one.values[: len(one.values) // step * step].reshape(-1, step).mean(axis=1)
    half = round(STRETCH_S * rate_hz / 2)
    stretches = sliding_window_view(np.pad(values, half), 2 * half)
    starts = np.round((np.arange(seconds) + 0.5) * rate_hz).astype(int)
    taper = np.hanning(2 * half + 1)[:-1]
    taper /= taper.sum()
    sinusoids = np.zeros((seconds, 2 * _HIGHEST + 1))
    for start in range(0, seconds, _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        found = np.fft.rfft(stretches[starts[rows]] * taper, round(rate_hz * BINS_PER_HZ), axis=1)[
            :, : 2 * _HIGHEST + 1
        ]
        sinusoids[rows, : found.shape[1]] = 2 * np.square(np.abs(found))
    return sinusoids
