"""The range that a private generator scales windows by: public, as that of the data is private."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pulseveil.errors import InputError
from pulseveil.generators.unit_scale import Scale
from pulseveil.settings import Settings

# What a private training that is scaled by a public range takes as known.
PUBLIC_QUANTITIES = (
    "number of people",
    "windows of a person",
    "shares of the conditions",
    "range of the channels",
)


class PublicRange(Settings):
    """Settings of a private training that maps windows to [0, 1]."""

    least: float | tuple[float, ...] = Field(
        -3.0,
        description="public least value of the windows, for all channels or one each; what lies below counts "
        "as this: -3 for calibration, 0 for others",
    )
    greatest: float | tuple[float, ...] = Field(
        5.0, description="public greatest value: 5 for calibration, 1 for others"
    )

    @model_validator(mode="after")
    def _some_range(self) -> Self:
        numbers = {len(bounds) for bounds in (self.least, self.greatest) if isinstance(bounds, tuple)}
        if len(numbers) > 1:
            raise ValueError(
                f"least {self.least} and greatest {self.greatest} are for unlike numbers of channels; give "
                "one number, or one for each channel"
            )
        if not np.all(np.less(self.least, self.greatest)):
            raise ValueError(
                f"greatest {self.greatest} is not above least {self.least}; give the bounds within which the "
                "windows' values lie"
            )
        return self

    def scale(self, channels: int) -> Scale:
        """The scale of windows of so many channels; raises InputError where there are bounds of others."""
        ends = []
        for name in ("least", "greatest"):
            bounds = np.atleast_1d(np.asarray(getattr(self, name), np.float32))
            if len(bounds) not in (1, channels):
                raise InputError(
                    f"private.{name}: expected one number, or one for each of {channels} channels, "
                    f"found {len(bounds)}"
                )
            ends.append(np.broadcast_to(bounds, channels).copy())
        least, greatest = ends
        return Scale(least, greatest - least)


def in_range(scale: Scale, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Windows (n, time, channels) in [0, 1], where values beyond the scale's range are cut to it."""
    return np.clip(scale.to_unit(windows), np.float32(0), np.float32(1))
