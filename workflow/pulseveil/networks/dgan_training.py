"""Training of DGAN: many passes over the windows in one compiled program, as a pure function of the state.

A step is one update of the discriminator, then one of the generator by the same made windows. All random
numbers come in as arguments.

Several models train in one program where they are set side by side: parameters, rows, draws and losses then
have an axis of models in front of the shapes below, and no model meets another's data. All have equally many
rows, as the last batch of a pass has what they leave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pulseveil.networks import adam, dgan
from pulseveil.networks.adversaries import Players, start_players
from pulseveil.networks.dgan import Penalty, Shape
from pulseveil.networks.layers import Parameters

LOSSES = ("discriminator", "penalty", "generator")
_EPSILON = 1e-8  # Adam's, in the published program


class Objective(NamedTuple):
    """What a training minimises and how; each has its own compiled program."""

    learning_rate: float
    beta1: float
    penalty: Penalty
    penalty_weight: float


class Rows(NamedTuple):
    """All training windows: flat in [0, 1], windows (n, steps * values), and their codes (n, k), float32."""

    windows: tf.Tensor
    codes: tf.Tensor


class Draws(NamedTuple):
    """Random numbers of a number of passes over n windows.

    order (passes, n) int32: the rows in their order in each pass; noise (passes, n, steps, p): standard
    normal; place (passes, n): uniform on [0, 1), where between a made and a real window the penalty looks.
    Models come after the passes.
    """

    order: tf.Tensor
    noise: tf.Tensor
    place: tf.Tensor


Program = Callable[[Players, Rows, Draws, tf.Tensor, tf.Tensor], tuple[Players, tf.Tensor]]


def start(rng: np.random.Generator, shape: Shape) -> Players:
    """The state before the first step."""
    return start_players(dgan.start_generator(rng, shape), dgan.start_discriminator(rng, shape))


def rows_side_by_side(rows: Sequence[Rows]) -> Rows:
    """The rows of several models, equally many, as one; those of a single model as they are."""
    return rows[0] if len(rows) == 1 else Rows(*map(tf.stack, zip(*rows, strict=True)))


def draws_side_by_side(draws: Sequence[Draws]) -> Draws:
    """The draws of several models for equally many rows as one; those of a single model as they are."""
    if len(draws) == 1:
        return draws[0]
    return Draws(*(tf.stack(values, axis=1) for values in zip(*draws, strict=True)))


@lru_cache(maxsize=16)
def program(objective: Objective, batch_size: int) -> Program:
    """Compiled `(state, rows, draws, first, last) -> (state, mean LOSSES)`: the passes first..last - 1.

    A pass that does not end with a full batch ends with a smaller one: the program holds a step of each size
    and is compiled for each number of rows, rather than filling the last batch up. Losses of several models
    are (3, models).
    """

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def run(
        state: Players, rows: Rows, draws: Draws, first: tf.Tensor, last: tf.Tensor
    ) -> tuple[Players, tf.Tensor]:
        def body(i: tf.Tensor, state: Players, total: tf.Tensor) -> tuple[tf.Tensor, Players, tf.Tensor]:
            own = Draws(*(values[i] for values in draws))
            state, losses = one_pass(objective, batch_size, state, rows, own)
            return i + 1, state, total + losses

        _, *models, _ = draws.order.shape
        begin = (first, state, tf.zeros((len(LOSSES), *models)))
        _, state, total = tf.while_loop(lambda i, *_: i < last, body, begin)
        return state, total / tf.cast(last - first, tf.float32)

    return run  # type: ignore[no-any-return]


def one_pass(
    objective: Objective, batch_size: int, state: Players, rows: Rows, draws: Draws
) -> tuple[Players, tf.Tensor]:
    """The state after a pass over all rows in batches, by `draws` of one pass; mean LOSSES of its steps."""
    *models, n = draws.order.shape
    full, rest = divmod(n, batch_size)
    batches = Draws(*(_in_batches(values, models, full, batch_size) for values in draws))

    def body(i: tf.Tensor, state: Players, total: tf.Tensor) -> tuple[tf.Tensor, Players, tf.Tensor]:
        state, losses = _batch(objective, state, rows, Draws(*(values[i] for values in batches)))
        return i + 1, state, total + losses

    begin = (tf.constant(0), state, tf.zeros((len(LOSSES), *models)))
    _, state, total = tf.while_loop(lambda i, *_: i < full, body, begin)
    if rest:
        left = Draws(*(_taken(values, models, slice(-rest, None)) for values in draws))
        state, losses = _batch(objective, state, rows, left)
        total += losses
    return state, total / (full + (rest > 0))


def step(
    objective: Objective, state: Players, rows: Rows, noise: tf.Tensor, place: tf.Tensor
) -> tuple[Players, tf.Tensor]:
    """One update of each network by a batch of rows, noise (b, steps, p) and place (b); LOSSES (3)."""
    with tf.GradientTape() as tape:
        tape.watch(state.generator)
        made = dgan.generate(state.generator, noise, rows.codes)
        with tape.stop_recording():
            state, losses = update_discriminator(objective, state, rows, made, place)
        loss = _generator_loss(state.discriminator, made, rows.codes)
    after = _descend_generator(objective, state, tape.gradient(loss, state.generator))
    return after, tf.concat([losses, loss[tf.newaxis]], axis=0)


def update_generator(objective: Objective, state: Players, noise: tf.Tensor, codes: tf.Tensor) -> Players:
    """One update of the generator alone, by noise (b, steps, p) and codes (b, k)."""
    with tf.GradientTape() as tape:
        tape.watch(state.generator)
        made = dgan.generate(state.generator, noise, codes)
        loss = _generator_loss(state.discriminator, made, codes)
    return _descend_generator(objective, state, tape.gradient(loss, state.generator))


def update_discriminator(
    objective: Objective, state: Players, rows: Rows, made: tf.Tensor, place: tf.Tensor
) -> tuple[Players, tf.Tensor]:
    """One update of the discriminator by real and made windows (b, d); its loss and the penalty in it (2)."""
    between = points_between(rows.windows, made, place)
    real, fake, mixed = (tf.concat([x, rows.codes], axis=-1) for x in (rows.windows, made, between))
    with tf.GradientTape() as tape:
        tape.watch(state.discriminator)
        scores = dgan.criticise(tf.concat([real, fake], axis=-2), state.discriminator)
        # A code is told, not made: the penalty looks at the window's part of the gradient.
        gradients = dgan.input_gradients(mixed, state.discriminator)[..., : made.shape[-1]]
        penalty = objective.penalty_weight * dgan.gradient_penalty(objective.penalty, gradients)
        loss = dgan.discriminator_loss(*tf.split(scores, 2, axis=-1)) + penalty
    changes = tape.gradient(loss, state.discriminator, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return descend_discriminator(objective, state, changes), tf.stack([loss, penalty])


def points_between(real: tf.Tensor, made: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Where the penalty looks, (n, d): on the lines from made to real windows, at place (n)."""
    return made + place[..., tf.newaxis] * (real - made)


def descend_discriminator(objective: Objective, state: Players, gradients: Sequence[tf.Tensor]) -> Players:
    """The state after Adam's step of the discriminator along `gradients`."""
    discriminator, moments = _descend(objective, state.discriminator, gradients, state.discriminator_adam)
    return state._replace(discriminator=discriminator, discriminator_adam=moments)


def _descend_generator(objective: Objective, state: Players, gradients: Sequence[tf.Tensor]) -> Players:
    generator, moments = _descend(objective, state.generator, gradients, state.generator_adam)
    return state._replace(generator=generator, generator_adam=moments)


def _generator_loss(discriminator: Parameters, made: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    return dgan.generator_loss(dgan.criticise(tf.concat([made, codes], axis=-1), discriminator))


def _batch(objective: Objective, state: Players, rows: Rows, draws: Draws) -> tuple[Players, tf.Tensor]:
    """The step of one batch, whose draws these are."""
    models = len(draws.order.shape) - 1
    own = Rows(*(tf.gather(values, draws.order, batch_dims=models) for values in rows))
    return step(objective, state, own, draws.noise, draws.place)


def _in_batches(values: tf.Tensor, models: Sequence[int], batches: int, batch_size: int) -> tf.Tensor:
    """The first rows of values (n, ...) as (batches, batch_size, ...); models come after the batches."""
    first = _taken(values, models, slice(batches * batch_size))
    parted = tf.reshape(first, (*models, batches, batch_size, *values.shape[len(models) + 1 :]))
    return tf.transpose(parted, (1, 0, *range(2, len(parted.shape)))) if models else parted


def _taken(values: tf.Tensor, models: Sequence[int], rows: slice) -> tf.Tensor:
    """Some rows of values (n, ...)."""
    return values[:, rows] if models else values[rows]


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
