"""Training step of DGAN: one update of the discriminator, then one of the generator.

Both updates use the same synthetic windows. All random numbers are arguments. The discriminator loss is per
pair of a real and a synthetic window: a training without a budget takes the mean over a batch, a private one
clips the gradient of each record's loss.

Models side by side (`loop.side_by_side`) train in one program: parameters, rows, draws and losses then have
an axis of models in front of the shapes below, and no model reads another model's data.

In a private training, the loss of a record is the score of a synthetic window minus the score of the record's
window, plus the gradient penalty between the two windows, at the condition of the record. The clip covers all
three terms, which protects the window and its code. Each record is paired with a synthetic window because
only the difference of scores has a meaning. With a clip for either half, the penalty would shrink the real
half; the surplus of the synthetic half would move all scores, and then all synthetic values, in one way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pulseveil.generators.dgan import networks
from pulseveil.generators.dgan.networks import Penalty, Shape
from pulseveil.networks import adam
from pulseveil.networks.adversaries import Adversaries, Players, Real, Synthetic, start_players
from pulseveil.networks.layers import Parameters
from pulseveil.networks.per_example import Note

LOSSES = ("discriminator", "penalty", "generator")
_EPSILON = 1e-8  # Adam's, in the published program


class Objective(NamedTuple):
    """Losses and optimizer of a training; each objective has its own compiled program."""

    learning_rate: float
    beta1: float
    penalty: Penalty
    penalty_weight: float


class Rows(NamedTuple):
    """Training windows, flat (n, steps * values) in [0, 1], and their codes (n, k), both float32."""

    windows: tf.Tensor
    codes: tf.Tensor


def start(rng: np.random.Generator, shape: Shape) -> Players:
    """The state before the first step."""
    return start_players(networks.start_generator(rng, shape), networks.start_discriminator(rng, shape))


def step(
    objective: Objective, state: Players, rows: Rows, noise: tf.Tensor, interpolation: tf.Tensor
) -> tuple[Players, tf.Tensor]:
    """One update of each network by b rows, noise (b, steps, p), interpolation (b); state and LOSSES (3)."""
    # One forward pass serves both updates. The tape is paused for the update of the discriminator, which is
    # no part of the generator's gradient.
    with tf.GradientTape() as tape:
        tape.watch(state.generator)
        synthetic = networks.generate(state.generator, noise, rows.codes)
        with tape.stop_recording():
            state, losses = update_discriminator(objective, state, rows, synthetic, interpolation)
        loss = _generator_loss(state.discriminator, synthetic, rows.codes)
    after = _descend_generator(objective, state, tape.gradient(loss, state.generator))
    return after, tf.concat([losses, loss[tf.newaxis]], axis=0)


def update_generator(objective: Objective, state: Players, noise: tf.Tensor, codes: tf.Tensor) -> Players:
    """One update of the generator alone, by noise (b, steps, p) and codes (b, k)."""
    with tf.GradientTape() as tape:
        tape.watch(state.generator)
        synthetic = networks.generate(state.generator, noise, codes)
        loss = _generator_loss(state.discriminator, synthetic, codes)
    return _descend_generator(objective, state, tape.gradient(loss, state.generator))


def update_discriminator(
    objective: Objective, state: Players, rows: Rows, synthetic: tf.Tensor, interpolation: tf.Tensor
) -> tuple[Players, tf.Tensor]:
    """One update of the discriminator by real and synthetic windows (b, d); state, loss and penalty (2)."""
    between = interpolated(rows.windows, synthetic, interpolation)
    real, fake, mixed = (tf.concat([x, rows.codes], axis=-1) for x in (rows.windows, synthetic, between))
    with tf.GradientTape() as tape:
        tape.watch(state.discriminator)
        scores = networks.criticise(tf.concat([real, fake], axis=-2), state.discriminator)
        # A code is given, not synthesized: the penalty is on the window's part of the gradient.
        gradients = networks.input_gradients(mixed, state.discriminator)[..., : synthetic.shape[-1]]
        penalties = objective.penalty_weight * networks.penalties(objective.penalty, gradients)
        of_real, of_synthetic = tf.split(scores, 2, axis=-1)
        loss = tf.reduce_mean(networks.row_losses(of_real, of_synthetic, penalties), axis=-1)
    changes = tape.gradient(loss, state.discriminator, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    after = descend_discriminator(objective, state, changes)
    return after, tf.stack([loss, tf.reduce_mean(penalties, axis=-1)])


def interpolated(real: tf.Tensor, synthetic: tf.Tensor, interpolation: tf.Tensor) -> tf.Tensor:
    """Weighted means (n, d) of synthetic and real windows (n, d); `interpolation` (n) is the real weight."""
    return synthetic + interpolation[..., tf.newaxis] * (real - synthetic)


def descend_discriminator(objective: Objective, state: Players, gradients: Sequence[tf.Tensor]) -> Players:
    """The state after one Adam step of the discriminator along `gradients`."""
    discriminator, moments = _descend(objective, state.discriminator, gradients, state.discriminator_adam)
    return state._replace(discriminator=discriminator, discriminator_adam=moments)


def _descend_generator(objective: Objective, state: Players, gradients: Sequence[tf.Tensor]) -> Players:
    generator, moments = _descend(objective, state.generator, gradients, state.generator_adam)
    return state._replace(generator=generator, generator_adam=moments)


def _generator_loss(discriminator: Parameters, synthetic: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    return networks.generator_loss(networks.criticise(tf.concat([synthetic, codes], axis=-1), discriminator))


def _descend(
    objective: Objective, parameters: Parameters, gradients: Sequence[tf.Tensor], moments: adam.AdamState
) -> tuple[list[tf.Tensor], adam.AdamState]:
    return adam.update(
        parameters,
        gradients,
        moments,
        learning_rate=objective.learning_rate,
        beta1=objective.beta1,
        epsilon=_EPSILON,
    )


@dataclass(frozen=True)
class DGANAdversaries(Adversaries):
    """Networks and losses of a private training; windows are flat, (m, steps * values) in [0, 1].

    The penalty is always that of each window: the published penalty mixes records.
    """

    objective: Objective
    shape: Shape

    @property
    def pairs(self) -> bool:
        """True: the loss of a real window contains the score of its synthetic window."""
        return True

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape (steps, noise) of the normal numbers from which one window is synthesized."""
        return (self.shape.steps, self.shape.noise)

    def start(self, rng: np.random.Generator) -> Players:
        """The players before the first step."""
        return start(rng, self.shape)

    def synthesize(self, generator: Parameters, noise: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Flat windows (m, steps * values) from normal numbers (m, steps, p) and codes (m)."""
        return networks.generate(generator, noise, self._codes(condition))

    def real_losses(
        self, discriminator: Parameters, real: Real, synthetic: Synthetic, note: Note
    ) -> tf.Tensor:
        """Score of the synthetic minus that of the real window, plus the weighted penalty (m)."""
        between = interpolated(real.windows, synthetic.windows, synthetic.interpolation)
        codes = self._codes(real.condition)
        own, mixed = (tf.concat([x, codes], axis=1) for x in (real.windows, between))
        other = tf.concat([synthetic.windows, self._codes(synthetic.condition)], axis=1)
        # Both windows in one product: `record_gradients` takes one product per kernel, and transposed ones.
        scores = networks.criticise(tf.stack([own, other], axis=1), discriminator, note)
        # A code is given, not synthesized: the penalty is on the window's part of the gradient.
        gradients = networks.input_gradients(mixed, discriminator, note)[:, : real.windows.shape[1]]
        penalties = self.objective.penalty_weight * networks.penalties("each_window", gradients)
        return networks.row_losses(scores[:, 0], scores[:, 1], penalties)

    def update_discriminator(self, players: Players, gradients: Sequence[tf.Tensor]) -> Players:
        """The players after one step of the discriminator along `gradients`."""
        return descend_discriminator(self.objective, players, gradients)

    def update_generator(self, players: Players, condition: tf.Tensor, noise: tf.Tensor) -> Players:
        """The players after one step of the generator by the scores of its windows."""
        return update_generator(self.objective, players, noise, self._codes(condition))

    def _codes(self, condition: tf.Tensor) -> tf.Tensor:
        """One-hot codes (m, k) of the condition (m); k is 0 if the condition is one of the signals."""
        return tf.one_hot(condition, self.shape.codes)
