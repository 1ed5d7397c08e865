"""Private training of TimeGAN: public settings and its two mechanisms.

The first trains embedder, recovery and supervisor; they are released, and give each window of the data its
hidden sequence, from that window alone. The second trains the discriminator of those sequences; the generator
learns from it and from the released supervisor. Both meet the same people and share the budget.

On simulated people no setting that was tried comes near the public signs (tests/benchmarks/private_gans.py).
Noise is not the only reason: with the default steps both conditions come out alike at epsilon 1000, too.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from pulseveil.errors import InputError
from pulseveil.generators.private_gan import PrivateGAN
from pulseveil.generators.public_range import PublicRange
from pulseveil.privacy import accounting
from pulseveil.privacy.budget import Budget, Unit
from pulseveil.privacy.mechanism import Mechanism


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
        room=n,
        steps=private.embedder_steps,
        clip_norm=private.embedder_clip_norm,
    )
    discriminator = accounting.calibrate(
        budget,
        name="discriminator",
        n=n,
        q=q,
        room=n,
        steps=private.steps,
        clip_norm=private.clip_norm,
        beside=(embedder,),
    )
    return embedder, discriminator


def expected_embedded(private: PrivateTimeGAN, windows: int, unit: Unit) -> float:
    """How many windows the embedder's training on `windows` windows is expected to process."""
    return private.embedder_steps * (windows if unit == "subject" else min(private.batch_size, windows))
