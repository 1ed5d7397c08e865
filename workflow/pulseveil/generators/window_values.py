"""Windows as few values, and windows from such values: what a small private network learns.

A channel's values are its slow cosine coefficients and the logarithm of the deviation that they leave, all in
public units around a public centre. How that rest is spread over faster cosines is public: see
`private_moments`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulseveil.generators.private_moments import (
    COSINES,
    LEAST_REST,
    LOG_REST,
    RANGE,
    cosines,
    rest_shares,
    slow_and_rest,
)

Values = NDArray[np.float32]


@dataclass(frozen=True)
class WindowValues:
    """How windows (n, time, channels) and values (n, channels * (coefficients + 1)) are exchanged."""

    time: int
    channels: int
    coefficients: int
    centre: float
    unit: float

    @property
    def size(self) -> int:
        """Values of a window."""
        return self.channels * (self.coefficients + 1)

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that the rest of a window is made from."""
        return self.channels * (min(COSINES, self.time) - self.coefficients + self.time)

    def of(self, windows: NDArray[np.floating]) -> Values:
        """Values of windows: coefficients channel by channel, then log rests less the public one."""
        slow, log_rest = slow_and_rest(windows, self.coefficients, self.centre, self.unit)
        return np.hstack([slow.reshape(len(slow), -1), log_rest - LOG_REST]).astype(np.float32)

    def windows(self, values: NDArray[np.floating], noise: NDArray[np.floating]) -> Values:
        """Windows of these values; noise (n, noise_size) is spread over the faster cosines as is public.

        Values beyond the public range are cut to it.
        """
        n, many = len(values), self.channels * self.coefficients
        slow = np.clip(values[:, :many], -RANGE, RANGE).reshape(n, self.channels, -1)
        deviation = np.exp(np.clip(values[:, many:] + LOG_REST, np.log(LEAST_REST), np.log(RANGE)))
        drawn = min(COSINES, self.time)
        share, white_share = rest_shares(self.time, self.coefficients)
        fast, white = np.split(noise, [self.channels * (drawn - self.coefficients)], axis=1)
        fast = fast.reshape(n, self.channels, -1) * np.sqrt(share) * deviation[:, :, np.newaxis]
        smooth = np.einsum("nkc,ct->ntk", np.concatenate([slow, fast], axis=2), cosines(self.time, drawn))
        rough = white.reshape(n, self.time, self.channels) * np.sqrt(white_share) * deviation[:, np.newaxis]
        made: Values = (self.centre + self.unit * (smooth + rough)).astype(np.float32)
        return made
