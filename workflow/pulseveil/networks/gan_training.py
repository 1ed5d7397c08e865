"""Training of the conditional GAN: many steps in one compiled program, as a pure function of the state.

A step is one update of the discriminator, then one of the generator, on the same real windows (batch b):
non-saturating binary cross-entropy on logits, Adam for both. All random numbers come in as arguments.

Several models train in one program where they are set side by side: parameters, windows, conditions, noise,
bounds and losses then have an axis of models in front of the shapes below, and no model meets another's data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from pulseveil.networks import adam
from pulseveil.networks.adversaries import Players, start_players
from pulseveil.networks.discriminators import discriminate, start_discriminator
from pulseveil.networks.gan import Output, Shape, generate, start_generator
from pulseveil.networks.layers import Parameters

Diversity = Literal["published", "effective"]


class Objective(NamedTuple):
    """What a training minimises and how; each has its own compiled program."""

    discriminator: str
    learning_rate: float
    beta1: float
    diversity: Diversity
    diversity_weight: float
    output: Output
    leaky_slope: float


class Batches(NamedTuple):
    """Inputs of a number of steps.

    windows (steps, b, time, channels) float32, condition (steps, b) int32, noise (steps, 2, b, size) float32:
    standard normals, first for the discriminator's and then for the generator's update. Models come after the
    steps (and the 2).
    """

    windows: tf.Tensor
    condition: tf.Tensor
    noise: tf.Tensor


Program = Callable[[Players, Batches, tf.Tensor, tf.Tensor, tf.Tensor], tuple[Players, tf.Tensor]]


def start(rng: np.random.Generator, objective: Objective, shape: Shape, width_divisor: int = 1) -> Players:
    """The state before the first step; see `start_discriminator` for `width_divisor`."""
    generator = start_generator(rng, shape)
    discriminator = start_discriminator(objective.discriminator, rng, shape, width_divisor)
    return start_players(generator, discriminator)


def batches_side_by_side(batches: Sequence[Batches]) -> Batches:
    """The batches of several models, equally many and large, as one; those of a single model as they are."""
    if len(batches) == 1:
        return batches[0]
    windows, condition, noise = zip(*batches, strict=True)
    return Batches(tf.stack(windows, axis=1), tf.stack(condition, axis=1), tf.stack(noise, axis=2))


@lru_cache(maxsize=16)
def program(objective: Objective) -> Program:
    """Compiled `(state, batches, bound, first, last) -> (state, mean losses (3))`.

    Runs the steps first..last-1 of `batches`; `bound` is where the effective diversity term ends, one number
    a model. Losses of several models are (3, models). Folds and seeds whose batches have equal shapes share
    one compilation.
    """

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def run(
        state: Players, batches: Batches, bound: tf.Tensor, first: tf.Tensor, last: tf.Tensor
    ) -> tuple[Players, tf.Tensor]:
        def body(i: tf.Tensor, state: Players, total: tf.Tensor) -> tuple[tf.Tensor, Players, tf.Tensor]:
            state, losses = step(objective, state, bound, *(values[i] for values in batches))
            return i + 1, state, total + losses

        losses = tf.zeros((3, *bound.shape))
        _, state, total = tf.while_loop(lambda i, *_: i < last, body, (first, state, losses))
        return state, total / tf.cast(last - first, tf.float32)

    return run  # type: ignore[no-any-return]


def step(
    objective: Objective,
    state: Players,
    bound: tf.Tensor,
    windows: tf.Tensor,
    condition: tf.Tensor,
    noise: tf.Tensor,
) -> tuple[Players, tf.Tensor]:
    """One update of each network; losses (3): discriminator, generator, diversity term."""

    fake = make_fakes(objective, state.generator, noise[0], condition)
    with tf.GradientTape() as tape:
        tape.watch(state.discriminator)
        d_loss = discriminator_loss(objective, state.discriminator, windows, fake, condition)
    gradients = tape.gradient(d_loss, state.discriminator)
    discriminator, discriminator_adam = descend(
        objective, state.discriminator, gradients, state.discriminator_adam
    )
    after = state._replace(discriminator=discriminator, discriminator_adam=discriminator_adam)
    after, losses = update_generator(objective, after, bound, condition, noise[1])
    return after, tf.concat([d_loss[tf.newaxis], losses], axis=0)


def update_generator(
    objective: Objective, state: Players, bound: tf.Tensor, condition: tf.Tensor, noise: tf.Tensor
) -> tuple[Players, tf.Tensor]:
    """One update of the generator by the discriminator alone; its loss and diversity term (2)."""
    with tf.GradientTape() as tape:
        tape.watch(state.generator)
        fake = make_fakes(objective, state.generator, noise, condition)
        term = objective.diversity_weight * diversity(objective.diversity, bound, fake, condition, noise)
        loss = generator_loss(objective, state.discriminator, fake, condition) - term
    gradients = tape.gradient(loss, state.generator)
    generator, moments = descend(objective, state.generator, gradients, state.generator_adam)
    return state._replace(generator=generator, generator_adam=moments), tf.stack([loss, term])


def make_fakes(
    objective: Objective, generator: Parameters, noise: tf.Tensor, condition: tf.Tensor
) -> tf.Tensor:
    """Windows (b, time, channels) of the generator in training."""
    return generate(generator, noise, condition, leaky_slope=objective.leaky_slope, output=objective.output)


def descend(
    objective: Objective,
    parameters: Sequence[tf.Tensor],
    gradients: Sequence[tf.Tensor],
    moments: adam.AdamState,
) -> tuple[list[tf.Tensor], adam.AdamState]:
    """Parameters and Adam state after one step along `gradients`."""
    rate, beta1 = objective.learning_rate, objective.beta1
    return adam.update(parameters, gradients, moments, learning_rate=rate, beta1=beta1)


def discriminator_loss(
    objective: Objective, parameters: Parameters, real: tf.Tensor, fake: tf.Tensor, condition: tf.Tensor
) -> tf.Tensor:
    """Mean cross-entropy of real (b, time, channels) against fake windows, all in one pass."""
    both = tf.concat([real, fake], axis=-3)
    logits = discriminate(
        objective.discriminator, parameters, both, tf.concat([condition, condition], axis=-1)
    )
    is_real = tf.concat([tf.ones_like(condition), tf.zeros_like(condition)], axis=-1)
    return cross_entropy(logits, tf.cast(is_real, tf.float32))


def generator_loss(
    objective: Objective, discriminator: Parameters, fake: tf.Tensor, condition: tf.Tensor
) -> tf.Tensor:
    """Non-saturating loss: mean cross-entropy of fake windows with the answer "real"."""
    logits = discriminate(objective.discriminator, discriminator, fake, condition)
    return cross_entropy(logits, tf.ones_like(logits))


def diversity(
    kind: Diversity, bound: tf.Tensor, fake: tf.Tensor, condition: tf.Tensor, noise: tf.Tensor
) -> tf.Tensor:
    """How far apart windows lie for noise that lies apart (Yang et al. 2019, arXiv:1901.09024).

    The first half of the batch is compared with the second. The published code calls the generator outside
    the tape, so `published` has no gradient; it has no bound and also compares windows of different
    conditions. `effective` has its gradient, between windows of one condition and up to the bound: without
    one, the term wins over the discriminator and the windows grow without end.
    """
    first, second = tf.split(fake, 2, axis=-3)
    between = tf.reduce_mean(tf.abs(first - second), axis=(-2, -1))
    first, second = tf.split(noise, 2, axis=-2)
    apart = tf.reduce_mean(tf.abs(first - second), axis=-1)
    if kind == "published":
        return tf.stop_gradient(tf.reduce_mean(between, axis=-1) / tf.reduce_mean(apart, axis=-1))
    first, second = tf.split(condition, 2, axis=-1)
    same = tf.cast(tf.equal(first, second), tf.float32)
    bounded = tf.minimum(between / apart, bound[..., tf.newaxis])
    return tf.math.divide_no_nan(tf.reduce_sum(same * bounded, axis=-1), tf.reduce_sum(same, axis=-1))


def cross_entropy(logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy of logits (n) with answers (n), for each model: 1 for real, 0 for fake."""
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(target, logits), axis=-1)
