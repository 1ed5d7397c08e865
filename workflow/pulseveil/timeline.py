"""One subject at 1 Hz: channel values, and for each second its condition and interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulseveil.contracts import Interval

UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class Timeline:
    """Row k is second k of the recording.

    values (T, c) float64 in the channels' units; condition (T) int8 and interval (T) int16 (index in order of
    time), both `UNLABELLED` outside all intervals.
    """

    subject: str
    values: NDArray[np.float64]
    condition: NDArray[np.int8]
    interval: NDArray[np.int16]

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which seconds (T) carry a condition."""
        return np.asarray(self.interval != UNLABELLED)


def make_timeline(subject: str, values: NDArray[np.float64], intervals: Sequence[Interval]) -> Timeline:
    """Label the rows of `values (T, c)`; a second belongs to an interval when its start lies in it."""
    condition = np.full(len(values), UNLABELLED, np.int8)
    index = np.full(len(values), UNLABELLED, np.int16)
    for i, interval in enumerate(sorted(intervals, key=lambda item: item.start_s)):
        rows = slice(max(0, math.ceil(interval.start_s)), max(0, math.ceil(interval.end_s)))
        condition[rows] = interval.condition
        index[rows] = i
    return Timeline(subject, values, condition, index)
