"""Heart rate from a chest ECG: the reference for the heart rate of the wrist."""

from __future__ import annotations

import numpy as np

from pulseveil.core.arrays import Floats

# Band of the QRS complex, and the span over which its energy is summed (Pan, Tompkins, IEEE Trans. Biomed.
# Eng. 32 (1985) 230).
QRS_BAND_HZ = (5.0, 15.0)
QRS_SPAN_S = 0.15
# Shortest and longest interval: 180 and 40 beats/min.
INTERVAL_RANGE_S = (60 / 180, 60 / 40)
# Least height of a beat, as a share of the usual height of the largest peaks of `HEIGHT_SPAN_S` each.
HEIGHT_SHARE = 0.3
HEIGHT_SPAN_S = 2.0
# An interval that differs from the median of 9 neighbours by a larger share is a missed or false beat.
INTERVAL_TOLERANCE = 0.3


def rate_of_ecg(ecg: Floats, rate_hz: float, seconds: int) -> Floats:
    """Heart rate (seconds,) in beats/min of the interval around the middle of each second, NaN without one.

    ecg: (n,) at `rate_hz`, in any unit.
    """
    from scipy import ndimage, signal

    sections = signal.butter(2, QRS_BAND_HZ, btype="bandpass", fs=rate_hz, output="sos")
    energy = ndimage.uniform_filter1d(
        np.square(signal.sosfiltfilt(sections, ecg)), round(QRS_SPAN_S * rate_hz), mode="nearest"
    )
    pieces = energy[: len(energy) // round(HEIGHT_SPAN_S * rate_hz) * round(HEIGHT_SPAN_S * rate_hz)]
    usual = np.median(pieces.reshape(-1, round(HEIGHT_SPAN_S * rate_hz)).max(axis=1))
    peaks, _ = signal.find_peaks(
        energy, height=HEIGHT_SHARE * usual, distance=round(INTERVAL_RANGE_S[0] * rate_hz)
    )
    beats = peaks / rate_hz
    intervals = np.diff(beats)
    if not len(intervals):
        return np.full(seconds, np.nan)
    near = np.abs(intervals / ndimage.median_filter(intervals, 9, mode="nearest") - 1) <= INTERVAL_TOLERANCE
    known = near & (intervals >= INTERVAL_RANGE_S[0]) & (intervals <= INTERVAL_RANGE_S[1])
    rates = np.r_[np.nan, np.where(known, 60 / intervals, np.nan), np.nan]
    # The number of beats before the middle of a second is the index of its interval.
    return np.asarray(rates[np.searchsorted(beats, np.arange(seconds) + 0.5)])
