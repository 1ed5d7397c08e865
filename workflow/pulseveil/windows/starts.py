"""Where windows start: in the published study's concatenated seconds, or inside single intervals."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.settings import Audience
from pulseveil.windows.timeline import UNLABELLED


def published_starts(kept: int, window_s: int, stride_s: int, audience: Audience) -> NDArray[np.intp]:
    """Window starts (n,) of the published study among `kept` concatenated seconds of one subject.

    Its generators trained on every whole window. Its detectors lost the last window twice: by a strict
    comparison and by the loop that computed the features.

    Examples:
        >>> published_starts(300, 60, 60, "generator"), published_starts(300, 60, 60, "detector")
        (array([  0,  60, 120, 180, 240]), array([  0,  60, 120]))
    """
    if audience == "generator":
        return np.arange(0, kept - window_s + 1, stride_s)
    return np.arange(0, kept - window_s, stride_s)[:-1]


def interval_starts(interval: NDArray[np.int16], window_s: int, stride_s: int) -> NDArray[np.intp]:
    """Starts (n,) of all whole windows that lie in one interval each, the first at the interval's start.

    interval: (T,) index of the interval of each second, `UNLABELLED` outside all intervals.

    Examples:
        >>> interval_starts(np.array([-1, 0, 0, 0, 0, 0, 1, 1], np.int16), 2, 2)
        array([1, 3, 6])
    """
    runs = interval_runs(interval)
    starts = [np.arange(start, end - window_s + 1, stride_s) for start, end in runs]
    return np.concatenate([np.zeros(0, np.intp), *starts])


def interval_runs(interval: NDArray[np.int16]) -> list[tuple[int, int]]:
    """First row, and row after the last, of each interval; `interval` (T,) as in `interval_starts`."""
    borders = np.flatnonzero(np.diff(interval, prepend=UNLABELLED, append=UNLABELLED))
    return [(int(start), int(end)) for start, end in pairwise(borders) if interval[start] != UNLABELLED]
