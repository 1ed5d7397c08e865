"""What private trainings of GANs share: public settings and the discriminator's mechanism.

Only the discriminator sees real windows, by noised sums of clipped records; the generator learns from the
discriminator alone. Larger batches suit the noise and, where there are thousands of steps, so do several of
the discriminator for one of the generator (Bie, Kamath and Zhang 2023, arXiv:2302.02936). A thousand windows
buy hundreds of steps: then the generator needs each of them, and a narrow discriminator draws less noise
(tests/benchmarks/private_gans.py, where nothing was better than chance at epsilon 10).
"""

from __future__ import annotations

from pydantic import Field

from pulseveil.errors import InputError
from pulseveil.privacy import accounting
from pulseveil.privacy.budget import Budget, Unit
from pulseveil.privacy.mechanism import Mechanism
from pulseveil.settings import Settings


class PrivateGAN(Settings):
    """How a private GAN is trained."""

    steps: int = Field(300, gt=0, description="noised steps of the discriminator")
    batch_size: float = Field(
        256, ge=1, description="unit window: expected real windows of a step (unit subject: all people)"
    )
    windows_each: int = Field(8, gt=0, description="unit subject: windows drawn of each person in a step")
    fakes: int = Field(64, gt=0, multiple_of=2, description="synthetic windows of a step, a fixed number")
    discriminator_steps: int = Field(
        1, gt=0, description="steps of the discriminator for each of the generator"
    )
    learning_rate: float = Field(1e-3, gt=0, description="Adam's rate, both networks")
    width_divisor: int = Field(
        4, gt=0, description="the discriminator's layers have their published widths, divided by this"
    )
    clip_norm: float = Field(1.0, gt=0, description="largest norm of one record's gradient")


def discriminator_mechanism(model: str, private: PrivateGAN, budget: Budget) -> Mechanism:
    """The mechanism of a training within `budget`: Poisson draws of windows, or all people in each step.

    `model` names the generator in the InputError for a backend that cannot run it.
    """
    if budget.backend == "tensorflow_privacy":
        raise InputError(f"{model}: tensorflow-privacy has no such training; use dp_backend fast")
    n = budget.known_population().records(budget.unit)
    q = min(1.0, private.batch_size / n) if budget.unit == "window" else 1.0
    return accounting.calibrate(
        budget, name="discriminator", n=n, q=q, room=n, steps=private.steps, clip_norm=private.clip_norm
    )


def expected_examples(private: PrivateGAN, windows: int, unit: Unit) -> float:
    """How many windows, real and synthetic, a training on `windows` windows is expected to process."""
    real = windows if unit == "subject" else min(private.batch_size, windows)
    return private.steps * (real + private.fakes)
