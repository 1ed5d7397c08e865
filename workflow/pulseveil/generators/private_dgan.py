"""Private training of DGAN: public settings."""

from __future__ import annotations

from pydantic import Field

from pulseveil.generators.private_gan import PrivateGAN
from pulseveil.generators.public_range import PublicRange


class PrivateDGAN(PublicRange, PrivateGAN):
    """How a private DGAN is trained; `width_divisor` divides `discriminator_units`.

    Nothing that was tried on simulated cohorts at epsilon 10 came near the public signs
    (tests/benchmarks/private_gans.py): the defaults are a guess.
    """

    steps: int = Field(600, gt=0, description="noised steps of the discriminator")
    discriminator_steps: int = Field(
        3, gt=0, description="steps of the discriminator for each of the generator"
    )
    learning_rate: float = Field(3e-3, gt=0, description="Adam's rate, both networks")
    width_divisor: int = Field(
        10, gt=0, description="`discriminator_units` of the private discriminator, divided by this"
    )
