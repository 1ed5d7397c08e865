"""Windows in [0, 1] by the least and largest value of each channel: of what a model learns, or public."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pulseveil.errors import InputError


class Scale(NamedTuple):
    """Least value and range of each channel (channels)."""

    least: NDArray[np.float32]
    span: NDArray[np.float32]

    @classmethod
    def of(cls, windows: NDArray[np.float32]) -> Self:
        """The scale of windows (n, time, channels)."""
        least, largest = windows.min(axis=(0, 1)), windows.max(axis=(0, 1))
        return cls(least, np.where(largest > least, largest - least, np.float32(1)))

    @classmethod
    def public(cls, least: float | Sequence[float], greatest: float | Sequence[float], channels: int) -> Self:
        """The scale of public bounds, one number for all channels or one for each; no window is looked at.

        Raises InputError for another number of bounds, and where `greatest` is not above `least`.
        """
        for name, bounds in (("least", least), ("greatest", greatest)):
            if np.ndim(bounds) and np.shape(bounds) != (channels,):
                raise InputError(
                    f"{name}: expected one number, or one for each of {channels} channels, "
                    f"found {np.size(bounds)}"
                )
        low, high = (
            np.broadcast_to(np.asarray(bounds, np.float32), channels) for bounds in (least, greatest)
        )
        empty = np.flatnonzero(high <= low)
        if len(empty):
            raise InputError(
                f"greatest: {high[empty[0]]:g} is not above least {low[empty[0]]:g}; "
                "give the bounds within which the windows' values lie"
            )
        return cls(low.copy(), high - low)

    def to_unit(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows in [0, 1]."""
        return (windows - self.least) / self.span

    def undo(self, unit: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows whose `to_unit` these are."""
        return unit * self.span + self.least
