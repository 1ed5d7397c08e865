"""Power spectra of the signals: whether synthetic windows move as fast, and as much, as real ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulseveil.quality.intervals import Array, Estimate, by_subject, over_subjects
from pulseveil.randomness import Stream

# Power below this share of the real signal's mean power counts as this much: silence is 60 dB down.
_SILENCE = 1e-6


def power_spectra(windows: NDArray[np.float32], rate_hz: float) -> tuple[Array, Array]:
    """Frequencies (f) in Hz, without 0, and the power of each window and channel (n, f, channels).

    Periodogram of the window less its mean, Hann window: squared units of the signal per Hz.
    """
    from scipy.signal import periodogram

    frequency, power = periodogram(
        windows.astype(np.float64), rate_hz, window="hann", detrend="constant", axis=1
    )
    return frequency[1:], power[:, 1:]


def spectral_distance(real: Array, other: Array, subject: NDArray[np.str_], stream: Stream) -> Estimate:
    """Mean absolute difference over frequencies of the mean spectra of real (n, f) and other (m, f), in dB.

    `subject` (n): whose real window each is. 0 is ideal; falls with more windows.
    """
    floor = _SILENCE * max(float(real.mean()), float(np.finfo(np.float64).tiny))
    reference = _decibel(other.mean(axis=0), floor)

    def apart(totals: Array) -> Array:
        mean = totals[..., :-1] / totals[..., -1:]
        return np.asarray(np.abs(_decibel(mean, floor) - reference).mean(axis=-1))

    sums = by_subject(np.hstack([real, np.ones((len(real), 1))]), subject)
    return over_subjects(sums, apart, stream)


def _decibel(power: Array, floor: float) -> Array:
    return np.asarray(10 * np.log10(np.maximum(power, floor)))
