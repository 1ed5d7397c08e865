"""Windows in [0, 1] by the least and largest value of each channel that a model learns from."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray


class Scale(NamedTuple):
    """Least value and range of each channel (channels) of the windows that a model learns from."""

    least: NDArray[np.float32]
    span: NDArray[np.float32]

    @classmethod
    def of(cls, windows: NDArray[np.float32]) -> Self:
        """The scale of windows (n, time, channels)."""
        least, largest = windows.min(axis=(0, 1)), windows.max(axis=(0, 1))
        return cls(least, np.where(largest > least, largest - least, np.float32(1)))

    def to_unit(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows in [0, 1]."""
        return (windows - self.least) / self.span

    def undo(self, unit: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows whose `to_unit` these are."""
        return unit * self.span + self.least
