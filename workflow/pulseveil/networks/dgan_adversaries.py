"""DGAN's networks and losses, as its private training sees them.

A record's loss is the score of a made window less that of its own, plus the gradient penalty on the line
between the two, which is told the record's own code. All of it is inside the record's clip: the window is
protected there, and the code with it. The made window is paired with the record because only the difference
of scores says anything: clipped apart, the real half shrinks by its penalty, and what is left of the other
one moves all scores, and then all made values, the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pulseveil.networks import dgan, dgan_training
from pulseveil.networks.adversaries import Adversaries, Made, Players, Real
from pulseveil.networks.dgan import Shape
from pulseveil.networks.dgan_training import Objective
from pulseveil.networks.layers import Parameters
from pulseveil.networks.per_example import Note


@dataclass(frozen=True)
class DGANAdversaries(Adversaries):
    """Windows are flat, (m, steps * values) in [0, 1]; the penalty is that of each window."""

    objective: Objective
    shape: Shape

    @property
    def pairs(self) -> bool:
        """The made window's loss is in that of the real one."""
        return True

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Normal numbers of a window: those of each step of the LSTM."""
        return (self.shape.steps, self.shape.noise)

    def start(self, rng: np.random.Generator) -> Players:
        """The players before the first step."""
        return dgan_training.start(rng, self.shape)

    def make(self, generator: Parameters, made_from: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Flat windows (m, steps * values) from normal numbers (m, steps, p)."""
        return dgan.generate(generator, made_from, self._told(condition))

    def real_losses(self, discriminator: Parameters, real: Real, made: Made, note: Note) -> tf.Tensor:
        """Score of the made window less that of the real one, plus the weighted penalty between the two."""
        between = dgan_training.points_between(real.windows, made.windows, made.place)
        codes = self._told(real.condition)
        own, mixed = (tf.concat([x, codes], axis=1) for x in (real.windows, between))
        # In one product: a kernel meets the data once.
        both = tf.stack([own, tf.concat([made.windows, self._told(made.condition)], axis=1)], axis=1)
        scores = dgan.criticise(both, discriminator, note)
        # A code is told, not made: the penalty looks at the window's part of the gradient.
        gradients = dgan.input_gradients(mixed, discriminator, note)[:, : real.windows.shape[1]]
        penalties = self.objective.penalty_weight * dgan.window_penalties(gradients)
        return scores[:, 1] - scores[:, 0] + penalties

    def update_discriminator(self, players: Players, gradients: Sequence[tf.Tensor]) -> Players:
        """The players after a step of the discriminator along `gradients`."""
        return dgan_training.descend_discriminator(self.objective, players, gradients)

    def update_generator(self, players: Players, condition: tf.Tensor, made_from: tf.Tensor) -> Players:
        """The players after a step of the generator by the scores of its windows."""
        return dgan_training.update_generator(self.objective, players, made_from, self._told(condition))

    def _told(self, condition: tf.Tensor) -> tf.Tensor:
        """Numbers (m, k) that tell both networks the condition (m); none where it is one of the signals."""
        return tf.one_hot(condition, self.shape.codes)
