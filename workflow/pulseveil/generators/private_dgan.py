"""Private training of DGAN: public settings, among them the range that windows are scaled by."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pulseveil.errors import InputError
from pulseveil.generators.private_gan import PrivateGAN
from pulseveil.generators.private_moments import RANGE
from pulseveil.generators.unit_scale import Scale

PUBLIC_QUANTITIES = (
    "number of people",
    "windows of a person",
    "shares of the conditions",
    "range of the channels",
)


class PrivateDGAN(PrivateGAN):
    """How a private DGAN is trained; `width_divisor` divides `discriminator_units`.

    Nothing that was tried on simulated cohorts at epsilon 10 came near the public signs
    (tests/benchmarks/private_cgan.py): the defaults are a guess.
    """

    steps: int = Field(600, gt=0, description="noised steps of the discriminator")
    discriminator_steps: int = Field(
        3, gt=0, description="steps of the discriminator for each of the generator"
    )
    learning_rate: float = Field(3e-3, gt=0, description="Adam's rate, both networks")
    width_divisor: int = Field(
        10, gt=0, description="`discriminator_units` of the private discriminator, divided by this"
    )
    least: float | tuple[float, ...] = Field(
        -RANGE,
        description="public least value of all channels, or of each: -4 for calibration, 0 for others",
    )
    greatest: float | tuple[float, ...] = Field(
        RANGE,
        description="public greatest value of all channels, or of each: 4 for calibration, 1 for others",
    )

    @model_validator(mode="after")
    def _require_a_range(self) -> Self:
        least, greatest = np.atleast_1d(self.least), np.atleast_1d(self.greatest)
        if 1 not in (len(least), len(greatest)) and len(least) != len(greatest):
            raise ValueError(
                f"least has {len(least)} values and greatest {len(greatest)}: give one of each channel"
            )
        if np.any(least >= greatest):
            raise ValueError("least must be below greatest in each channel")
        return self


def public_scale(private: PrivateDGAN, channels: int) -> Scale:
    """The scale of windows of so many channels by the public range; InputError for another number of them."""
    ends = []
    for name in ("least", "greatest"):
        values = np.atleast_1d(np.asarray(getattr(private, name), np.float32))
        if len(values) not in (1, channels):
            raise InputError(
                f"dgan: private.{name} has {len(values)} values, but windows have {channels} channels; "
                "give one number, or one of each channel"
            )
        ends.append(np.broadcast_to(values, channels).copy())
    least, greatest = ends
    return Scale(least, greatest - least)


def in_public_range(scale: Scale, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Windows (n, time, channels) in [0, 1], where values beyond the public range are cut to it."""
    return np.clip(scale.to_unit(windows), np.float32(0), np.float32(1))
