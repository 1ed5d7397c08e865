"""Reach of a raw sample, and the number of windows that 60 s of one person can change."""

from __future__ import annotations

import math

from pulseveil.core.contracts import CHANNEL_SETS, WindowSet
from pulseveil.windows import scaling
from pulseveil.windows.timeline import RESAMPLERS

# Length of the piece of a recording that privacy statements refer to.
PIECE_S = 60


def reach_s(protocol: str, channels: str, scaled_by: str) -> float:
    """Largest distance (s) beyond its own second at which a raw sample can change rows at 1 Hz, or infinity.

    Constants that a scaling computes per person are taken as fixed (`Scaling.constants`).

    Examples:
        >>> reach_s("sound", "published", "public"), reach_s("paper", "published", "min-max")
        (12.0, inf)
    """
    of_channels = RESAMPLERS[protocol, channels].reach_s.values()
    return max(of_channels) + scaling.scalings()[scaled_by].reach_s


def reach_of(windows: WindowSet) -> float:
    """Reach (s) of the recipe of a window set; infinity if the recipe is unknown."""
    names = [name for name, channels in CHANNEL_SETS.items() if channels == windows.channels]
    known = names and (windows.protocol, names[0]) in RESAMPLERS and windows.scaling in scaling.scalings()
    return reach_s(windows.protocol, names[0], windows.scaling) if known else math.inf


def piece_windows(window_s: int, stride_s: int, reach_s: float) -> float:
    """Largest number of windows that 60 s of one person can change; infinity for an infinite reach.

    A window changes if it starts in an open interval of the length 60 s + window + twice the reach.

    Examples:
        >>> piece_windows(window_s=60, stride_s=60, reach_s=0), piece_windows(60, 30, 12.0)
        (2, 5)
    """
    if math.isinf(reach_s):
        return math.inf
    # Windows on both sides of a border between labelled intervals can start less than a stride apart, but not
    # less than a window apart.
    return math.ceil((PIECE_S + window_s + 2 * reach_s) / min(stride_s, window_s))
