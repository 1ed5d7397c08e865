"""How far a raw sample reaches, and how many windows 60 s of one person can change."""

from __future__ import annotations

import math

from pulseveil.core.contracts import CHANNEL_SETS, WindowSet
from pulseveil.windows import scaling
from pulseveil.windows.timeline import RESAMPLERS

# The piece of a person's time that statements speak of.
PIECE_S = 60


def reach_s(protocol: str, channels: str, scaled_by: str) -> float:
    """How far (s) beyond its own second a raw sample can change rows at 1 Hz; infinite without an end.

    The constants of a scaling by person are taken as fixed (`Scaling.constants`).
    """
    of_channels = RESAMPLERS[protocol, channels].reach_s.values()
    return max(of_channels) + scaling.scalings()[scaled_by].reach_s


def reach_of(windows: WindowSet) -> float:
    """The reach (s) of the recipe that made these windows; infinite where it is not known."""
    names = [name for name, channels in CHANNEL_SETS.items() if channels == windows.channels]
    known = names and (windows.protocol, names[0]) in RESAMPLERS and windows.scaling in scaling.scalings()
    return reach_s(windows.protocol, names[0], windows.scaling) if known else math.inf


def piece_windows(window_s: int, stride_s: int, reach_s: float) -> float:
    """How many windows any 60 s of one person can change; infinite where reach has no end.

    Windows that start in an open interval of 60 s, a window and twice the reach change. Those of two
    neighbouring intervals may lie a window apart, where the stride is longer.
    """
    if math.isinf(reach_s):
        return math.inf
    return math.ceil((PIECE_S + window_s + 2 * reach_s) / min(stride_s, window_s))
