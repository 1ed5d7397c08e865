"""Training and sampling of a conditional velocity field by flow matching. Imports TensorFlow.

Paths are straight lines from noise x0 at time 0 to a row x1 at time 1: x = (1 - t) x0 + t x1, whose velocity
x1 - x0 the field learns by least squares (Lipman et al. 2023, arXiv:2210.02747, section 4.1, with sigma_min
0). The ordinary differential equation dx/dt = velocity then carries noise to rows like those learnt from.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.randomness import Stream, child, generator
from pulseveil.generators.examples import shuffled_rows
from pulseveil.generators.flow import FlowSettings
from pulseveil.networks import adam, initial, layers, loop
from pulseveil.networks import average as averages
from pulseveil.networks.layers import Parameters
from pulseveil.networks.loop import Block

logger = logging.getLogger(__name__)

Arrays = list[NDArray[np.float32]]
_BLOCK_STEPS = 100
_FREQUENCIES = 4
_TIMES = 1 + 2 * _FREQUENCIES


class Sizes(NamedTuple):
    """Values per row, conditions, and hidden layers with their units."""

    values: int
    classes: int
    width: int
    depth: int


class Batches(NamedTuple):
    """Inputs of several steps.

    rows, noise (steps, b, values) float32, condition (steps, b, classes) one-hot, time (steps, b) on [0, 1).
    """

    rows: tf.Tensor
    condition: tf.Tensor
    noise: tf.Tensor
    time: tf.Tensor


class State(NamedTuple):
    """Parameters of the network, Adam's state, and the average of parameters, which is kept."""

    parameters: list[tf.Tensor]
    moments: adam.AdamState
    average: list[tf.Tensor]


Program = Callable[[State, Batches, tf.Tensor, tf.Tensor], tuple[State, tf.Tensor]]
Sampler = Callable[[Sequence[NDArray[np.float32]], NDArray[np.float32], NDArray[np.float32]], tf.Tensor]


def start(rng: np.random.Generator, sizes: Sizes) -> Arrays:
    """Initial parameters: the field is then `gaussian_velocity`, for all conditions."""
    hidden = [initial.dense(rng, sizes.values + _TIMES + sizes.classes, sizes.width)]
    hidden += [initial.dense(rng, sizes.width, sizes.width) for _ in range(sizes.depth - 1)]
    output = [np.zeros((sizes.width, sizes.values), np.float32), np.zeros(sizes.values, np.float32)]
    return [*(value for layer in hidden for value in layer), *output]


def gaussian_velocity(x: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
    """Velocity (n, values) at x (n, values) and t (n, 1) if rows were standard normal like the noise.

    The mean of x1 - x0 given x: (2 t - 1) x / (t^2 + (1 - t)^2).
    """
    return (2 * t - 1) / (tf.square(t) + tf.square(1 - t)) * x


def velocity(parameters: Parameters, x: tf.Tensor, t: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
    """Velocity (n, values) at x (n, values) and t (n) of rows of these conditions (n, classes), one-hot.

    The network learns what differs from `gaussian_velocity`: coordinates are normal scores, so that only
    their dependence and the conditions are left to learn.
    """
    t = t[:, tf.newaxis]
    angles = math.pi * t * tf.range(1, _FREQUENCIES + 1, dtype=tf.float32)
    inputs = tf.concat([x, 2 * t - 1, tf.sin(angles), tf.cos(angles), condition], axis=1)
    hidden = tf.nn.silu(layers.dense(inputs, parameters[:2]))
    for i in range(2, len(parameters) - 2, 2):
        hidden += tf.nn.silu(layers.dense(hidden, parameters[i : i + 2]))
    return gaussian_velocity(x, t) + layers.dense(hidden, parameters[-2:])


def matching_loss(
    parameters: Parameters, rows: tf.Tensor, condition: tf.Tensor, noise: tf.Tensor, t: tf.Tensor
) -> tf.Tensor:
    """Mean squared error of the velocity on the line from noise to row, at the times t (n)."""
    along = t[:, tf.newaxis]
    x = (1 - along) * noise + along * rows
    return tf.reduce_mean(tf.square(velocity(parameters, x, t, condition) - (rows - noise)))


@lru_cache(maxsize=16)
def program(learning_rate: float, average: float) -> Program:
    """Compiled `(state, batches, count, steps) -> (state, mean loss)` of the first `count` steps of a block.

    The learning rate falls as half a cosine, to 0 after `steps` steps.
    """

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def run(state: State, batches: Batches, count: tf.Tensor, steps: tf.Tensor) -> tuple[State, tf.Tensor]:
        def step(
            state: State, rows: tf.Tensor, condition: tf.Tensor, noise: tf.Tensor, t: tf.Tensor
        ) -> tuple[State, tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(state.parameters)
                loss = matching_loss(state.parameters, rows, condition, noise, t)
            gradients = tape.gradient(loss, state.parameters)
            done = tf.cast(state.moments.step, tf.float32)
            rate = learning_rate * 0.5 * (1 + tf.cos(math.pi * done / steps))
            parameters, moments = adam.update(state.parameters, gradients, state.moments, learning_rate=rate)
            averaged = averages.update(state.average, parameters, average, state.moments.step)
            return State(parameters, moments, averaged), loss

        return loop.repeat(step, state, batches, count, tf.constant(0.0))

    return run  # type: ignore[no-any-return]


def train(
    settings: FlowSettings,
    sizes: Sizes,
    rows: NDArray[np.float32],
    condition: NDArray[np.int8],
    stream: Stream,
    checkpoint: Checkpoint | None,
) -> Arrays:
    """The averaged parameters of a field that carries noise to rows (n, values) of their `condition` (n).

    Continues from the state in `checkpoint`, if any, to the same bits as an unbroken training.
    """
    started = time.monotonic()
    run, steps = program(settings.learning_rate, settings.average), settings.steps

    def advance(block: Block, state: State) -> tuple[State, loop.Losses]:
        batches = draw_batches(rows, condition, sizes.classes, block.number, settings.batch_size, stream)
        count = tf.constant(block.last - block.first)
        state, loss = run(state, batches, count, tf.constant(steps, tf.float32))
        return state, {"loss": loss}

    first = [tf.constant(value) for value in start(generator(child(stream, "parameters")), sizes)]
    states = {"": State(first, adam.start(first), first)}
    blocks = loop.blocks([""], {"step": steps}, _BLOCK_STEPS)
    trained = loop.train("flow", states, blocks, advance, checkpoint)
    logger.info("flow: %d windows, %.1f s", len(rows), time.monotonic() - started)
    return [np.asarray(value) for value in trained[""].average]


def draw_batches(
    rows: NDArray[np.float32],
    condition: NDArray[np.int8],
    classes: int,
    block: int,
    batch_size: int,
    stream: Stream,
) -> Batches:
    """Inputs of the steps of a block: rows in passes over freshly shuffled rows, noise and times."""
    shape, count = (_BLOCK_STEPS, batch_size), _BLOCK_STEPS * batch_size
    chosen = shuffled_rows(len(rows), block * count, count, stream).reshape(shape)
    rng = generator(child(stream, "noise", block))
    noise = rng.standard_normal((*shape, rows.shape[1]), dtype=np.float32)
    one_hot = np.eye(classes, dtype=np.float32)[condition[chosen]]
    values = (rows[chosen], one_hot, noise, rng.random(shape, dtype=np.float32))
    return Batches(*map(tf.constant, values))


@lru_cache(maxsize=16)
def sampler(steps: int) -> Sampler:
    """Compiled `(parameters, noise (n, values), condition (n, classes)) -> rows` by Heun's method.

    `steps` equal steps of order two from time 0 to time 1.
    """

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def run(parameters: Parameters, noise: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        def body(i: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            before, after = (tf.fill(x.shape[:1], tf.cast(j, tf.float32) / steps) for j in (i, i + 1))
            slope = velocity(parameters, x, before, condition)
            end = velocity(parameters, x + slope / steps, after, condition)
            return i + 1, x + (slope + end) / (2 * steps)

        return tf.while_loop(lambda i, _: i < steps, body, (tf.constant(0), noise))[1]

    return run  # type: ignore[no-any-return]
