"""Public settings and mechanisms of private trainings of generators.

All scale windows by a public range, because the range of the data is private.

GANs: only the discriminator sees real windows, by noised sums of clipped records; the generator learns from
the discriminator alone. Larger batches suit the noise and, where there are thousands of steps, so do several
of the discriminator for one of the generator (Bie, Kamath and Zhang 2023, arXiv:2302.02936). A thousand
windows buy hundreds of steps: then the generator needs each of them, and a narrow discriminator draws less
noise (tests/benchmarks/private_gans.py, where nothing was better than chance at epsilon 10).

TimeGAN has two mechanisms. The first trains embedder, recovery and supervisor; they are released, and give
each window of the data its hidden sequence, from that window alone. The second trains the discriminator of
those sequences; the generator learns from it and from the released supervisor. Both meet the same people and
share the budget.

On simulated people no setting that was tried comes near the public signs (tests/benchmarks/private_gans.py).
Noise is not the only reason: with the default steps both conditions come out alike at epsilon 1000, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pulseveil.core.errors import InputError
from pulseveil.core.settings import Settings
from pulseveil.generators.examples import Scale
from pulseveil.privacy import accounting
from pulseveil.privacy.budget import Budget, Mechanism, Unit

# What a private training that is scaled by a public range takes as known.
OF_RANGE = (
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
        budget, name="discriminator", n=n, q=q, capacity=n, steps=private.steps, clip_norm=private.clip_norm
    )


def expected_examples(private: PrivateGAN, windows: int, unit: Unit) -> float:
    """How many windows, real and synthetic, a training on `windows` windows is expected to process."""
    real = windows if unit == "subject" else min(private.batch_size, windows)
    return private.steps * (real + private.fakes)


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


class PrivateTimeGAN(PublicRange):
    """How a private TimeGAN is trained: one model, told the condition."""

    embedder_steps: int = Field(200, gt=0, description="noised steps of embedder, recovery and supervisor")
    embedder_share: float = Field(
        0.5, gt=0, lt=1, description="their part of epsilon; the discriminator gets what composition leaves"
    )
    embedder_rate: float = Field(3e-3, gt=0, description="their Adam's rate")
    embedder_clip_norm: float = Field(1.0, gt=0, description="largest norm of one record's gradient there")
    steps: int = Field(300, gt=0, description="noised steps of the discriminator")
    batch_size: float = Field(
        256, ge=1, description="unit window: expected real windows of all steps (unit subject: all people)"
    )
    windows_each: int = Field(
        8, gt=0, description="unit subject: windows drawn of each person in a step of the discriminator"
    )
    fakes: int = Field(64, gt=0, multiple_of=2, description="synthetic windows of a step, a fixed number")
    discriminator_steps: int = Field(
        1, gt=0, description="steps of the discriminator for each of the generator"
    )
    learning_rate: float = Field(1e-3, gt=0, description="Adam's rate, generator and discriminator")
    clip_norm: float = Field(1.0, gt=0, description="discriminator: largest norm of one record's gradient")
    supervised_weight: float = Field(
        1.0, ge=0, description="weight of the supervised loss of generated sequences"
    )

    @property
    def adversarial(self) -> PrivateGAN:
        """What the training of generator and discriminator shares with other GANs'."""
        return PrivateGAN(
            steps=self.steps,
            batch_size=self.batch_size,
            windows_each=self.windows_each,
            fakes=self.fakes,
            discriminator_steps=self.discriminator_steps,
            learning_rate=self.learning_rate,
            clip_norm=self.clip_norm,
        )


def timegan_mechanisms(private: PrivateTimeGAN, budget: Budget) -> tuple[Mechanism, Mechanism]:
    """The embedder's and the discriminator's mechanism, which compose to the budget.

    Poisson draws of windows with one probability for both, or all people in each step. Raises InputError for
    a backend that cannot run them.
    """
    if budget.backend == "tensorflow_privacy":
        raise InputError("timegan: tensorflow-privacy has no such training; use dp_backend fast")
    n = budget.known_population().records(budget.unit)
    q = min(1.0, private.batch_size / n) if budget.unit == "window" else 1.0
    embedder = accounting.calibrate(
        replace(budget, epsilon=private.embedder_share * budget.epsilon),
        name="embedder",
        n=n,
        q=q,
        capacity=n,
        steps=private.embedder_steps,
        clip_norm=private.embedder_clip_norm,
    )
    discriminator = accounting.calibrate(
        budget,
        name="discriminator",
        n=n,
        q=q,
        capacity=n,
        steps=private.steps,
        clip_norm=private.clip_norm,
        beside=(embedder,),
    )
    return embedder, discriminator


def expected_embedded(private: PrivateTimeGAN, windows: int, unit: Unit) -> float:
    """How many windows the embedder's training on `windows` windows is expected to process."""
    return private.embedder_steps * (windows if unit == "subject" else min(private.batch_size, windows))


OF_SPECTRUM = (
    "number of people",
    "windows of a person",
    "shares of the conditions",
    "unit, range and spectrum of the channels",
)


class PrivateAutoencoder(Settings):
    """How a private autoencoder is trained."""

    steps: int = Field(50, gt=0, description="noised steps")
    batch_size: float = Field(
        500, ge=1, description="unit window: expected windows of a step (unit subject: always all people)"
    )
    learning_rate: float = Field(0.03, gt=0, description="step size")
    clip_norm: float = Field(0.1, gt=0, description="largest norm of one record's gradient")
    optimizer: Literal["adam", "sgd"] = Field("adam", description="what follows the noised gradient")


def autoencoder_mechanism(private: PrivateAutoencoder, budget: Budget) -> Mechanism:
    """The mechanism of a training within `budget`: Poisson draws of windows, or all people in each step."""
    n = budget.known_population().records(budget.unit)
    q = min(1.0, private.batch_size / n) if budget.unit == "window" else 1.0
    return accounting.calibrate(
        budget, name="autoencoder", n=n, q=q, capacity=n, steps=private.steps, clip_norm=private.clip_norm
    )


def expected_rows(private: PrivateAutoencoder, windows: int, unit: Unit) -> float:
    """How many windows a training on `windows` windows is expected to process."""
    return private.steps * (windows if unit == "subject" else min(private.batch_size, windows))
