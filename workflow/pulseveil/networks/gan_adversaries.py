"""The conditional GAN's networks and losses, as its private training sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pulseveil.networks import gan_training
from pulseveil.networks.adversaries import Adversaries, Made, Players, Real
from pulseveil.networks.discriminators import discriminate
from pulseveil.networks.gan import NOISE_SIZE, Shape
from pulseveil.networks.gan_training import Objective
from pulseveil.networks.layers import Parameters
from pulseveil.networks.per_example import Note


@dataclass(frozen=True)
class ConditionalAdversaries(Adversaries):
    """width_divisor: of the published widths of the discriminator. bound: where effective diversity ends."""

    objective: Objective
    shape: Shape
    width_divisor: int
    bound: float

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Normal numbers of a window."""
        return (NOISE_SIZE,)

    def start(self, rng: np.random.Generator) -> Players:
        """The players before the first step."""
        return gan_training.start(rng, self.objective, self.shape, self.width_divisor)

    def make(self, generator: Parameters, made_from: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Windows (m, time, channels) from normal numbers (m, size)."""
        return gan_training.make_fakes(self.objective, generator, made_from, condition)

    def real_losses(self, discriminator: Parameters, real: Real, made: Made, note: Note) -> tf.Tensor:
        """Cross-entropy with the answer "real"; the made windows are not looked at."""
        return self._losses(discriminator, real, 1.0, note)

    def made_losses(self, discriminator: Parameters, made: Made, note: Note) -> tf.Tensor:
        """Cross-entropy with the answer "made"."""
        return self._losses(discriminator, Real(made.windows, made.condition), 0.0, note)

    def _losses(self, discriminator: Parameters, rows: Real, answer: float, note: Note) -> tf.Tensor:
        logits = discriminate(self.objective.discriminator, discriminator, *rows, note)
        return tf.nn.sigmoid_cross_entropy_with_logits(answer * tf.ones_like(logits), logits)

    def update_discriminator(self, players: Players, gradients: Sequence[tf.Tensor]) -> Players:
        """The players after a step of the discriminator along `gradients`."""
        discriminator, moments = gan_training.descend(
            self.objective, players.discriminator, gradients, players.discriminator_adam
        )
        return players._replace(discriminator=discriminator, discriminator_adam=moments)

    def update_generator(self, players: Players, condition: tf.Tensor, made_from: tf.Tensor) -> Players:
        """The players after a step of the generator, diversity term included."""
        bound = tf.constant(self.bound)
        return gan_training.update_generator(self.objective, players, bound, condition, made_from)[0]
