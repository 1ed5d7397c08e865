"""Training step of the conditional GAN: one update of the discriminator, then one of the generator.

The discriminator reads b real windows; the generator gets their condition codes only. Both minimise the
non-saturating binary cross-entropy of logits with Adam. All random numbers are arguments. Losses are per
window: a training without a budget takes their mean, a private one clips the gradient of each record's loss.

Models side by side (`loop.side_by_side`) train in one program: parameters, windows, conditions, noise, bounds
and losses then have an axis of models in front of the shapes below, and no model reads another model's data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from pulseveil.generators.cgan.networks import (
    NOISE_SIZE,
    Output,
    Shape,
    discriminate,
    generate,
    start_discriminator,
    start_generator,
)
from pulseveil.networks import adam
from pulseveil.networks.adversaries import Adversaries, Players, Real, Synthetic, start_players
from pulseveil.networks.layers import Parameters
from pulseveil.networks.per_example import Note, unnoted

Diversity = Literal["published", "effective"]


class Objective(NamedTuple):
    """Losses and optimizer of a training; each objective has its own compiled program."""

    discriminator: str
    learning_rate: float
    beta1: float
    diversity: Diversity
    diversity_weight: float
    output: Output
    leaky_slope: float


def start(rng: np.random.Generator, objective: Objective, shape: Shape, width_divisor: int = 1) -> Players:
    """The state before the first step; see `start_discriminator` for `width_divisor`."""
    generator = start_generator(rng, shape)
    discriminator = start_discriminator(objective.discriminator, rng, shape, width_divisor)
    return start_players(generator, discriminator)


def step(
    objective: Objective,
    discriminator_rate: float,
    bound: tf.Tensor,
    state: Players,
    windows: tf.Tensor,
    condition: tf.Tensor,
    discriminator_noise: tf.Tensor,
    generator_noise: tf.Tensor,
) -> tuple[Players, tf.Tensor]:
    """One update of the discriminator, then one of the generator.

    Args:
        discriminator_rate: learning rate of the discriminator; the generator's is that of `objective`.
        bound: (), largest value that the effective diversity term rewards.
        windows: (b, time, channels) real windows.
        condition: (b) codes of the real windows, which the synthetic windows have as well.
        discriminator_noise, generator_noise: (b, size) standard normal, one for each update.

    Returns:
        The state and the losses (3): discriminator, generator, diversity term.
    """
    # Synthesized outside the tape: no gradient reaches the generator here, and a tape would store its LSTMs.
    synthetic = synthesize(objective, state.generator, discriminator_noise, condition)
    with tf.GradientTape() as tape:
        tape.watch(state.discriminator)
        d_loss = discriminator_loss(objective, state.discriminator, windows, synthetic, condition)
    gradients = tape.gradient(d_loss, state.discriminator)
    # Unequal rates: Heusel et al. 2017, arXiv:1706.08500.
    of_discriminator = objective._replace(learning_rate=discriminator_rate)
    after = descend_discriminator(of_discriminator, state, gradients)
    after, losses = update_generator(objective, after, bound, condition, generator_noise)
    return after, tf.concat([d_loss[tf.newaxis], losses], axis=0)


def descend_discriminator(objective: Objective, state: Players, gradients: Sequence[tf.Tensor]) -> Players:
    """The state after one Adam step of the discriminator along `gradients`."""
    discriminator, moments = _descend(objective, state.discriminator, gradients, state.discriminator_adam)
    return state._replace(discriminator=discriminator, discriminator_adam=moments)


def update_generator(
    objective: Objective, state: Players, bound: tf.Tensor, condition: tf.Tensor, noise: tf.Tensor
) -> tuple[Players, tf.Tensor]:
    """One update of the generator, which reads no real windows; state, and loss and diversity term (2)."""
    with tf.GradientTape() as tape:
        tape.watch(state.generator)
        synthetic = synthesize(objective, state.generator, noise, condition)
        term = objective.diversity_weight * diversity(objective.diversity, bound, synthetic, condition, noise)
        loss = generator_loss(objective, state.discriminator, synthetic, condition) - term
    gradients = tape.gradient(loss, state.generator)
    generator, moments = _descend(objective, state.generator, gradients, state.generator_adam)
    return state._replace(generator=generator, generator_adam=moments), tf.stack([loss, term])


def synthesize(
    objective: Objective, generator: Parameters, noise: tf.Tensor, condition: tf.Tensor
) -> tf.Tensor:
    """Windows (b, time, channels) of the generator in training, from noise (b, size) and codes (b)."""
    return generate(generator, noise, condition, leaky_slope=objective.leaky_slope, output=objective.output)


def row_losses(
    objective: Objective,
    discriminator: Parameters,
    windows: tf.Tensor,
    condition: tf.Tensor,
    is_real: tf.Tensor,
    note: Note = unnoted,
) -> tf.Tensor:
    """Discriminator loss per window (n): cross-entropy of the logit with `is_real` (n), 1 or 0."""
    logits = discriminate(objective.discriminator, discriminator, windows, condition, note)
    return tf.nn.sigmoid_cross_entropy_with_logits(is_real, logits)


def discriminator_loss(
    objective: Objective, parameters: Parameters, real: tf.Tensor, synthetic: tf.Tensor, condition: tf.Tensor
) -> tf.Tensor:
    """Mean discriminator loss of equally many real and synthetic windows (b, time, channels), in one pass."""
    ones = tf.ones_like(condition, tf.float32)
    losses = row_losses(
        objective,
        parameters,
        tf.concat([real, synthetic], axis=-3),
        tf.concat([condition, condition], axis=-1),
        tf.concat([ones, tf.zeros_like(ones)], axis=-1),
    )
    return tf.reduce_mean(losses, axis=-1)


def generator_loss(
    objective: Objective, discriminator: Parameters, synthetic: tf.Tensor, condition: tf.Tensor
) -> tf.Tensor:
    """Non-saturating generator loss: mean cross-entropy of synthetic windows with the target "real"."""
    answers = tf.ones_like(condition, tf.float32)
    return tf.reduce_mean(row_losses(objective, discriminator, synthetic, condition, answers), axis=-1)


def diversity(
    kind: Diversity, bound: tf.Tensor, synthetic: tf.Tensor, condition: tf.Tensor, noise: tf.Tensor
) -> tf.Tensor:
    """Diversity term: distance of synthetic windows per distance of their noise (Yang et al. 2019).

    Source: arXiv:1901.09024. The first half of the batch is compared with the second half.

    `published` has no bound and also compares windows of different conditions. `effective` compares windows
    of one condition only, up to `bound`.
    """
    first, second = tf.split(synthetic, 2, axis=-3)
    between = tf.reduce_mean(tf.abs(first - second), axis=(-2, -1))
    first, second = tf.split(noise, 2, axis=-2)
    apart = tf.reduce_mean(tf.abs(first - second), axis=-1)
    if kind == "published":
        # The published program calls the generator outside the tape: its term is a constant without gradient.
        return tf.stop_gradient(tf.reduce_mean(between, axis=-1) / tf.reduce_mean(apart, axis=-1))
    first, second = tf.split(condition, 2, axis=-1)
    same = tf.cast(tf.equal(first, second), tf.float32)
    # Without a bound the term outweighs the discriminator's loss, and the windows grow without end.
    bounded = tf.minimum(between / apart, bound[..., tf.newaxis])
    # A batch may hold no pair of one condition: 0 and not NaN.
    return tf.math.divide_no_nan(tf.reduce_sum(same * bounded, axis=-1), tf.reduce_sum(same, axis=-1))


def _descend(
    objective: Objective,
    parameters: Sequence[tf.Tensor],
    gradients: Sequence[tf.Tensor],
    moments: adam.AdamState,
) -> tuple[list[tf.Tensor], adam.AdamState]:
    """Parameters and Adam state after one step along `gradients`."""
    rate, beta1 = objective.learning_rate, objective.beta1
    return adam.update(parameters, gradients, moments, learning_rate=rate, beta1=beta1)


@dataclass(frozen=True)
class ConditionalAdversaries(Adversaries):
    """Networks and losses of a private training.

    width_divisor: divides the published widths of the discriminator. bound: largest value that the effective
    diversity term rewards.
    """

    objective: Objective
    shape: Shape
    width_divisor: int
    bound: float

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the normal numbers from which one window is synthesized."""
        return (NOISE_SIZE,)

    def start(self, rng: np.random.Generator) -> Players:
        """The players before the first step."""
        return start(rng, self.objective, self.shape, self.width_divisor)

    def synthesize(self, generator: Parameters, noise: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Windows (m, time, channels) from normal numbers (m, size) and codes (m)."""
        return synthesize(self.objective, generator, noise, condition)

    def real_losses(
        self, discriminator: Parameters, real: Real, synthetic: Synthetic, note: Note
    ) -> tf.Tensor:
        """Cross-entropy with the target "real" (m), which does not depend on the synthetic windows."""
        answers = tf.ones_like(real.condition, tf.float32)
        return row_losses(self.objective, discriminator, *real, answers, note)

    def synthetic_losses(self, discriminator: Parameters, synthetic: Synthetic, note: Note) -> tf.Tensor:
        """Cross-entropy with the target "synthetic" (m)."""
        windows, condition, _ = synthetic
        answers = tf.zeros_like(condition, tf.float32)
        return row_losses(self.objective, discriminator, windows, condition, answers, note)

    def update_discriminator(self, players: Players, gradients: Sequence[tf.Tensor]) -> Players:
        """The players after one step of the discriminator along `gradients`."""
        return descend_discriminator(self.objective, players, gradients)

    def update_generator(self, players: Players, condition: tf.Tensor, noise: tf.Tensor) -> Players:
        """The players after one step of the generator, diversity term included."""
        return update_generator(self.objective, players, tf.constant(self.bound), condition, noise)[0]
