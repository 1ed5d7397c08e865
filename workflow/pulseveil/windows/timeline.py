"""Timelines: one subject at 1 Hz, with channel values, condition and interval of each second.

Channels are resampled to 1 Hz by a Fourier transform as published or by an anti-aliasing filter, or computed
by `physiology`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pulseveil.cohorts.gaps import MENDED_S
from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import PHYSIOLOGICAL_CHANNELS, PUBLISHED_CHANNELS, Interval, Recording, Signal
from pulseveil.windows import physiology
from pulseveil.windows.heart_rate import Pulse

# The functions below import scipy.signal themselves, because it takes half a second and plans import this
# module too.

RATE_HZ = 1.0


class Resampled(NamedTuple):
    """Channels (T, 6) of a recording at 1 Hz, notes for the cohort summary, and the pulse if tracked."""

    values: Floats
    notes: tuple[str, ...] = ()
    pulse: Pulse | None = None


# Half the length of SciPy's anti-aliasing filter: ten samples of the lower rate.
ANTI_ALIASING_S = 10


@dataclass(frozen=True)
class Resampler:
    """A way to resample a recording to 1 Hz, with its reach.

    reach_s: per channel, the largest distance (s) beyond its own second at which a raw sample can change a
    value; infinity if a sample changes the whole recording.
    """

    resample: Callable[[Recording], Resampled]
    reach_s: Mapping[str, float]


def fourier(recording: Recording) -> Resampled:
    """Published channels (T, 6), each Fourier-resampled as a whole to one sample per second.

    As in the published study: `scipy.signal.resample` to floor(T) samples, which is not causal, treats the
    ends as periodic and removes everything above 0.5 Hz.
    """
    from scipy.signal import resample

    seconds = recording.whole_seconds
    return Resampled(_columns(recording, lambda signal: np.asarray(resample(signal.values, seconds))))


def anti_aliased(recording: Recording) -> Resampled:
    """Published channels (T, 6) through a zero-phase FIR low-pass at 0.5 Hz; row k is the value at second k.

    The signal is continued at both ends by its point reflection. Zeros, SciPy's default, would mix values
    that were never recorded into the first and last rows. No row uses a sample more than `ANTI_ALIASING_S`
    away.
    """
    from scipy.signal import resample_poly

    seconds = recording.whole_seconds

    def one_hz(signal: Signal) -> Floats:
        rate = Fraction(signal.rate_hz).limit_denominator(1000)
        whole = signal.values[: int(seconds * signal.rate_hz)]
        found = resample_poly(whole, rate.denominator, rate.numerator, padtype="antireflect")
        return np.asarray(found)[:seconds]

    return Resampled(_columns(recording, one_hz))


def physiological(recording: Recording) -> Resampled:
    """Physiological channels (T, 6); what is interpolated is counted in the notes."""
    found = physiology.physiological_channels(recording)
    counts = {
        "heart rate: {} s without a clear pulse, interpolated": int(found.pulse.unclear.sum()),
        "skin conductance: {} s without contact, interpolated": found.contact_loss_seconds,
    }
    notes = tuple(sentence.format(count) for sentence, count in counts.items() if count)
    values = np.stack([found.channels[name] for name in PHYSIOLOGICAL_CHANNELS], axis=1)
    return Resampled(values, notes, found.pulse)


# Channels from signals in which impossible samples are interpolated first, which extends the reach.
_MENDED = frozenset({"EDA", "TEMP", "eda_level", "eda_phasic", "temperature"})


def _with_mending(reach_s: Mapping[str, float]) -> Mapping[str, float]:
    return {name: reach + (MENDED_S if name in _MENDED else 0) for name, reach in reach_s.items()}


_PHYSIOLOGICAL = Resampler(physiological, _with_mending(physiology.REACH_S))
# Resamplers by protocol and channels.
RESAMPLERS: Mapping[tuple[str, str], Resampler] = {
    ("paper", "published"): Resampler(fourier, dict.fromkeys(PUBLISHED_CHANNELS, math.inf)),
    ("paper", "physiological"): _PHYSIOLOGICAL,
    ("sound", "published"): Resampler(
        anti_aliased, _with_mending(dict.fromkeys(PUBLISHED_CHANNELS, ANTI_ALIASING_S))
    ),
    ("sound", "physiological"): _PHYSIOLOGICAL,
}


def _columns(recording: Recording, one_hz: Callable[[Signal], Floats]) -> Floats:
    return np.stack([one_hz(recording.signals[channel]) for channel in PUBLISHED_CHANNELS], axis=1)


UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class Timeline:
    """One subject at 1 Hz, one row per second of the recordings, in order of time.

    values (T, c) float64 in the channels' units; condition (T) int8 and interval (T) int16 (index in order of
    time), both `UNLABELLED` outside all intervals; second (T) float64, seconds since the first start.
    """

    subject: str
    values: NDArray[np.float64]
    condition: NDArray[np.int8]
    interval: NDArray[np.int16]
    second: NDArray[np.float64]

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Mask (T) of the seconds that lie in an interval."""
        return np.asarray(self.interval != UNLABELLED)


def make_timeline(
    subject: str, values: NDArray[np.float64], intervals: Sequence[Interval], start_s: float = 0.0
) -> Timeline:
    """Label the rows of values (T, c); a second belongs to the interval that contains its start.

    start_s: seconds between the starts of the person's first recording and of this one.
    """
    condition = np.full(len(values), UNLABELLED, np.int8)
    index = np.full(len(values), UNLABELLED, np.int16)
    for i, interval in enumerate(sorted(intervals, key=lambda item: item.start_s)):
        rows = slice(max(0, math.ceil(interval.start_s)), max(0, math.ceil(interval.end_s)))
        condition[rows] = interval.condition
        index[rows] = i
    return Timeline(subject, values, condition, index, start_s + np.arange(len(values), dtype=np.float64))


def joined(timelines: Sequence[Timeline]) -> Timeline:
    """The timelines of one subject's recordings, in order of time, as one; no interval spans two of them."""
    after = 0
    indices = []
    for timeline in timelines:
        indices.append(np.where(timeline.labelled, timeline.interval + after, UNLABELLED).astype(np.int16))
        after = max(after, int(indices[-1].max(initial=UNLABELLED)) + 1)
    return Timeline(
        timelines[0].subject,
        np.concatenate([timeline.values for timeline in timelines]),
        np.concatenate([timeline.condition for timeline in timelines]),
        np.concatenate(indices),
        np.concatenate([timeline.second for timeline in timelines]),
    )
