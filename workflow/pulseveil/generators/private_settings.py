"""Public settings and mechanisms of private trainings of generators.

DGAN and TimeGAN scale windows by a public range, because the range of the data is private.

GANs: only the discriminator reads real windows, through noised sums of clipped gradients. The generator
learns from the discriminator alone. Larger batches lower the relative noise. With thousands of steps, several
steps of the discriminator per step of the generator help too (Bie, Kamath and Zhang 2023, arXiv:2302.02936).
A thousand windows allow only hundreds of steps: then the generator needs each of them, and a narrow
discriminator gets less noise, because it has fewer parameters (tests/benchmarks/private_gans.py, where
nothing was better than chance at epsilon 10).

TimeGAN has two mechanisms. The first trains embedder, recovery and supervisor. These networks are released,
and the embedder turns each real window into its hidden sequence, from that window alone. The second mechanism
trains the discriminator of hidden sequences; the generator learns from it and from the released supervisor.
Both mechanisms use the same people and share the budget.

On simulated people, no TimeGAN that was tried came near the literature rule `public_signs`
(tests/benchmarks/private_gans.py). Noise is not the only reason: with the default steps, synthetic windows of
both conditions are alike at epsilon 1000, too.
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

# Public quantities in the ledger of a private training that scales windows by a public range.
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
        description="public least value of the windows, one number or one per channel; lower values are "
        "clipped to it: -3 for scaling calibration, 0 for other scalings",
    )
    greatest: float | tuple[float, ...] = Field(
        5.0,
        description="public greatest value of the windows, likewise: 5 for scaling calibration, 1 for others",
    )

    @model_validator(mode="after")
    def _some_range(self) -> Self:
        numbers = {len(bounds) for bounds in (self.least, self.greatest) if isinstance(bounds, tuple)}
        if len(numbers) > 1:
            raise ValueError(
                f"least {self.least} and greatest {self.greatest} are for unlike numbers of channels; give "
                "one number, or one per channel"
            )
        if not np.all(np.less(self.least, self.greatest)):
            raise ValueError(
                f"greatest {self.greatest} is not above least {self.least}; give the bounds within which the "
                "windows' values lie"
            )
        return self

    def scale(self, channels: int) -> Scale:
        """The public scale of windows with `channels` channels.

        Raises:
            InputError: `least` or `greatest` holds another number of bounds.

        Examples:
            >>> PublicRange(least=0.0, greatest=(1.0, 4.0)).scale(2).span.tolist()
            [1.0, 4.0]
        """
        ends = []
        for name in ("least", "greatest"):
            bounds = np.atleast_1d(np.asarray(getattr(self, name), np.float32))
            if len(bounds) not in (1, channels):
                raise InputError(
                    f"private.{name}: expected one number, or one for each of {channels} channels, "
                    f"found {len(bounds)}; set as many as the windows have channels"
                )
            ends.append(np.broadcast_to(bounds, channels).copy())
        least, greatest = ends
        return Scale(least, greatest - least)


def in_range(scale: Scale, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Windows (n, time, channels) scaled to [0, 1]; values beyond the range of the scale are clipped."""
    return np.clip(scale.to_unit(windows), np.float32(0), np.float32(1))


class PrivateGAN(Settings):
    """Settings of the private training of a GAN."""

    steps: int = Field(300, gt=0, description="noised steps of the discriminator")
    # Not an integer: audits keep the sampling rate on another number of records (`privacy.budget.at_rate`).
    batch_size: float = Field(
        256, ge=1, description="unit window: expected real windows per step (unit subject: all people)"
    )
    windows_each: int = Field(8, gt=0, description="unit subject: windows sampled per person and step")
    # Fixed: the size of a Poisson sample of real records is private, and as many fakes would reveal it.
    fakes: int = Field(64, gt=0, multiple_of=2, description="synthetic windows per step, a fixed number")
    discriminator_steps: int = Field(
        1, gt=0, description="steps of the discriminator per step of the generator"
    )
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate, both networks")
    width_divisor: int = Field(
        4, gt=0, description="divisor of the published widths of the discriminator's layers"
    )
    clip_norm: float = Field(1.0, gt=0, description="largest L2 norm of one record's gradient")


def discriminator_mechanism(model: str, private: PrivateGAN, budget: Budget) -> Mechanism:
    """The mechanism of a GAN's training within `budget`: Poisson samples of windows, or all people per step.

    model: name of the generator in messages.

    Raises:
        InputError: the backend is tensorflow_privacy.
    """
    if budget.backend == "tensorflow_privacy":
        raise InputError(f"{model}: tensorflow-privacy cannot train this GAN; use dp_backend fast")
    n = budget.known_population().records(budget.unit)
    # All people in each step: for 14 people, Poisson sampling is never better (exact Gaussian accounting).
    q = min(1.0, private.batch_size / n) if budget.unit == "window" else 1.0
    return accounting.calibrate(
        budget, name="discriminator", n=n, q=q, capacity=n, steps=private.steps, clip_norm=private.clip_norm
    )


# Windows of a published person that start every 30 s.
_OF_PERSON = 72


def expected_examples(private: PrivateGAN, windows: int, unit: Unit, of_fake: float) -> float:
    """Expected number of real windows that take as long as a training on `windows` windows.

    of_fake: how many real windows take as long as a synthetic one, which is synthesized and trains both
    networks.

    Examples:
        >>> expected_examples(PrivateGAN(steps=10, windows_each=8, fakes=64), 14 * 72, "subject", of_fake=2)
        2400.0
    """
    each = private.windows_each / _OF_PERSON * windows
    real = each if unit == "subject" else min(private.batch_size, windows)
    return private.steps * (real + of_fake * private.fakes)


class PrivateDGAN(PublicRange, PrivateGAN):
    """Settings of the private training of DGAN; `width_divisor` divides `discriminator_units`.

    Nothing that was tried on simulated cohorts at epsilon 10 came near the literature rule `public_signs`
    (tests/benchmarks/private_gans.py): the defaults are a guess.
    """

    steps: int = Field(600, gt=0, description="noised steps of the discriminator")
    discriminator_steps: int = Field(
        3, gt=0, description="steps of the discriminator per step of the generator"
    )
    learning_rate: float = Field(3e-3, gt=0, description="Adam's learning rate, both networks")
    width_divisor: int = Field(
        10, gt=0, description="divisor of `discriminator_units` for the private discriminator"
    )


class PrivateTimeGAN(PublicRange):
    """Settings of the private training of TimeGAN: one model, which reads the condition."""

    embedder_steps: int = Field(200, gt=0, description="noised steps of embedder, recovery and supervisor")
    embedder_share: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="share of epsilon for embedder, recovery and supervisor; the discriminator gets the rest "
        "that composition leaves",
    )
    embedder_rate: float = Field(
        3e-3, gt=0, description="Adam's learning rate of embedder, recovery and supervisor"
    )
    embedder_clip_norm: float = Field(
        1.0,
        gt=0,
        description="embedder, recovery and supervisor: largest L2 norm of one record's gradient",
    )
    steps: int = Field(300, gt=0, description="noised steps of the discriminator")
    batch_size: float = Field(
        256,
        ge=1,
        description="unit window: expected real windows per step of either training (unit subject: all "
        "people)",
    )
    windows_each: int = Field(
        8, gt=0, description="unit subject: windows sampled per person and step of the discriminator"
    )
    fakes: int = Field(64, gt=0, multiple_of=2, description="synthetic windows per step, a fixed number")
    discriminator_steps: int = Field(
        1, gt=0, description="steps of the discriminator per step of the generator"
    )
    learning_rate: float = Field(
        1e-3, gt=0, description="Adam's learning rate of generator and discriminator"
    )
    clip_norm: float = Field(1.0, gt=0, description="discriminator: largest L2 norm of one record's gradient")
    supervised_weight: float = Field(
        1.0, ge=0, description="weight of the supervised loss of generated sequences"
    )

    @property
    def adversarial(self) -> PrivateGAN:
        """Settings of the training of generator and discriminator."""
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
    """The mechanisms of embedder and discriminator, which compose to `budget`.

    Both take Poisson samples of windows with the same sampling rate, or all people in each step.

    Raises:
        InputError: the backend is tensorflow_privacy.
    """
    if budget.backend == "tensorflow_privacy":
        raise InputError("timegan: tensorflow-privacy cannot train this GAN; use dp_backend fast")
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
    # Calibrated beside the first mechanism: composition is tighter than a sum of epsilons, so that a plain
    # split of epsilon would leave some of the budget unused.
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
    """Expected number of windows that the embedder's training on `windows` windows processes."""
    return private.embedder_steps * (windows if unit == "subject" else min(private.batch_size, windows))


# Public quantities in the ledger of a private autoencoder, whose values have a public unit and spectrum.
OF_SPECTRUM = (
    "number of people",
    "windows of a person",
    "shares of the conditions",
    "unit, range and spectrum of the channels",
)


class PrivateAutoencoder(Settings):
    """Settings of the private training of `autoencoder`."""

    steps: int = Field(50, gt=0, description="noised steps")
    batch_size: float = Field(
        500, ge=1, description="unit window: expected windows per step (unit subject: all people)"
    )
    learning_rate: float = Field(0.03, gt=0, description="learning rate")
    clip_norm: float = Field(0.1, gt=0, description="largest L2 norm of one record's gradient")
    optimizer: Literal["adam", "sgd"] = Field("adam", description="optimizer of the noised gradient")


def autoencoder_mechanism(private: PrivateAutoencoder, budget: Budget) -> Mechanism:
    """The mechanism of a training within `budget`: Poisson samples of windows, or all people in each step."""
    n = budget.known_population().records(budget.unit)
    q = min(1.0, private.batch_size / n) if budget.unit == "window" else 1.0
    return accounting.calibrate(
        budget, name="autoencoder", n=n, q=q, capacity=n, steps=private.steps, clip_norm=private.clip_norm
    )


def expected_rows(private: PrivateAutoencoder, windows: int, unit: Unit) -> float:
    """Expected number of windows that a training on `windows` windows processes."""
    return private.steps * (windows if unit == "subject" else min(private.batch_size, windows))
