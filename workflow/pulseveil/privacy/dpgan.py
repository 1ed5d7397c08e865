"""DP-SGD of a conditional GAN's discriminator; its generator sees nothing but that discriminator.

A step adds the noised sum of clipped gradients of real records, divided by the expected batch, to the mean
clipped gradient of synthetic windows. Those need no noise: they, and their labels from public shares, are
functions of what has been released. Programs, networks and losses are those of `networks.gan_training`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.checkpoints import Checkpoint
from pulseveil.generators.private_cgan import NOBODY, Records, drawn_rows
from pulseveil.networks import gan_training
from pulseveil.networks.discriminators import discriminate
from pulseveil.networks.gan import NOISE_SIZE, Shape
from pulseveil.networks.gan_training import Objective
from pulseveil.networks.per_example import Note
from pulseveil.networks.states import from_arrays, to_arrays
from pulseveil.privacy import sampling
from pulseveil.privacy.clipping import add_noise, clipped_sum, in_passes
from pulseveil.privacy.device import describe_device
from pulseveil.privacy.mechanism import Mechanism
from pulseveil.privacy.noise import Noise
from pulseveil.privacy.resume import BLOCK_STEPS, Advance, Course, Resumable, digest
from pulseveil.randomness import Stream, child, generator

logger = logging.getLogger(__name__)

# Rows that pass through the discriminator at once (see `clipping.in_passes`).
_ROWS_A_PASS = 32


@dataclass(frozen=True)
class Recipe:
    """All that is public of a private training.

    width_divisor: of the published widths of the discriminator. windows_each: windows drawn of each record
    in a step. fakes: synthetic windows of a step, labelled by public `shares` of the conditions.
    discriminator_steps: for each step of the generator. bound: where the effective diversity term ends.
    """

    objective: Objective
    shape: Shape
    mechanism: Mechanism
    width_divisor: int
    windows_each: int
    fakes: int
    discriminator_steps: int
    bound: float
    shares: tuple[float, ...]


class State(NamedTuple):
    """A training between two steps; `noised` counts the steps whose sum got noise."""

    networks: gan_training.State
    noised: tf.Tensor


class Data(NamedTuple):
    """Real windows (m, time, channels) and their condition codes (m)."""

    windows: tf.Tensor
    condition: tf.Tensor


class Batches(NamedTuple):
    """Inputs of a number of steps.

    rows (steps, room, windows_each) int32: real windows of each record, NOBODY where there is none;
    noise_seeds (steps, 2) int32; codes (steps, 2, fakes) int32 and made_from (steps, 2, fakes, size) float32
    of synthetic windows, first for the discriminator and then for the generator.
    """

    rows: tf.Tensor
    noise_seeds: tf.Tensor
    codes: tf.Tensor
    made_from: tf.Tensor


class Scales(NamedTuple):
    """Scalars of a step: clip norm, the noise's standard deviation, divisor of the sum, diversity bound."""

    clip_norm: tf.Tensor
    noise_deviation: tf.Tensor
    divisor: tf.Tensor
    bound: tf.Tensor


Program = Callable[[State, Data, Batches, Scales, tf.Tensor, tf.Tensor], State]


def fit(
    recipe: Recipe, records: Records, noise: Noise, stream: Stream, checkpoint: Checkpoint | None
) -> tuple[list[NDArray[np.float32]], int]:
    """The generator's parameters, and how many steps were noised, lost ones included.

    `stream` decides first parameters and synthetic windows, which need no secret; which real windows take
    part, and the noise, come from `noise`. Nothing of a step is logged. See
    `resume` for how an interrupted training goes on.
    """
    rng = generator(child(stream, "parameters"))
    first = gan_training.start(rng, recipe.objective, recipe.shape, recipe.width_divisor)
    secret = fingerprint(recipe, records, first)
    data = Data(tf.constant(records.windows), tf.constant(records.condition))
    run, steps = program(recipe.objective, recipe.discriminator_steps), recipe.mechanism.steps

    def begin(attempt: int) -> Advance[State]:
        draws = _draws(recipe, records, noise, secret, attempt)

        def advance(state: State, first: int, last: int) -> State:
            block = first // BLOCK_STEPS
            bounds = (tf.constant(step - block * BLOCK_STEPS) for step in (first, last))
            after = run(state, data, _batches(recipe, draws, stream, block), scales(recipe), *bounds)
            logger.info("cgan: private step %d of %d", last, steps)
            return after

        return advance

    start = State(first, tf.constant(0))
    course = Course(start, partial(from_arrays, start), to_arrays, begin)
    state, lost = Resumable(recipe.mechanism, secret, noise, checkpoint).train(course)
    return [value.numpy() for value in state.networks.generator], int(state.noised) + lost


@lru_cache(maxsize=16)
def program(objective: Objective, discriminator_steps: int) -> Program:
    """Compiled `(state, data, batches, scales, first, last) -> state` after steps first..last-1 of `batches`.

    Folds, seeds and epsilons of equal sizes share one compilation.
    """

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def run(
        state: State, data: Data, batches: Batches, scales: Scales, first: tf.Tensor, last: tf.Tensor
    ) -> State:
        def body(i: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
            batch = Batches(*(values[i] for values in batches))
            return i + 1, step(objective, discriminator_steps, state, data, batch, scales)

        after: State = tf.while_loop(lambda i, _: i < last, body, (first, state))[1]
        return after

    return run  # type: ignore[no-any-return]


def step(
    objective: Objective, discriminator_steps: int, state: State, data: Data, batch: Batches, scales: Scales
) -> State:
    """One step of the discriminator and, after each `discriminator_steps` of them, one of the generator.

    `batch` holds the inputs of this step alone.
    """
    networks = state.networks
    name, parameters = objective.discriminator, networks.discriminator
    sums = clipped_gradients(name, parameters, data, batch.rows, scales.clip_norm, answer=1.0)
    noised, count = add_noise(sums, batch.noise_seeds, scales.noise_deviation)
    fake = gan_training.make_fakes(objective, networks.generator, batch.made_from[0], batch.codes[0])
    each = tf.range(fake.shape[0])[:, tf.newaxis]
    # Clipped as well, though nothing asks for it: else the real windows would count for less.
    of_fakes = clipped_gradients(
        name, parameters, Data(fake, batch.codes[0]), each, scales.clip_norm, answer=0.0
    )
    # Half each, as in the mean over a batch of as many real as synthetic windows.
    gradients = [(r / scales.divisor + f / fake.shape[0]) / 2 for r, f in zip(noised, of_fakes, strict=True)]
    discriminator, moments = gan_training.descend(
        objective, networks.discriminator, gradients, networks.discriminator_adam
    )
    networks = networks._replace(discriminator=discriminator, discriminator_adam=moments)

    def of_generator() -> gan_training.State:
        inputs = (scales.bound, batch.codes[1], batch.made_from[1])
        after, _ = gan_training.update_generator(objective, networks, *inputs)
        return after

    turn = tf.equal(moments.step % discriminator_steps, 0)
    return State(tf.cond(turn, of_generator, lambda: networks), state.noised + count)


def clipped_gradients(
    name: str,
    parameters: list[tf.Tensor],
    data: Data,
    rows: tf.Tensor,
    clip_norm: tf.Tensor | float,
    *,
    answer: float,
) -> list[tf.Tensor]:
    """Sum over records of the clipped gradient of a record's mean loss; `answer` is 1 for real, 0 for fake.

    rows (room, windows_each): the windows of each record; records of NOBODY add nothing.
    """
    windows_each = rows.shape[1]
    at_once = max(1, _ROWS_A_PASS // windows_each)
    padded = tf.pad(rows, ((0, at_once), (0, 0)), constant_values=NOBODY)
    positions = tf.range(1, rows.shape[0] + 1)
    used = tf.reduce_max(tf.where(rows[:, 0] != NOBODY, positions, 0))

    def one_pass(i: tf.Tensor) -> list[tf.Tensor]:
        own = tf.slice(padded, [i * at_once, 0], [at_once, windows_each])
        numbers = tf.reshape(tf.maximum(own, 0), (at_once * windows_each,))
        x, codes = tf.gather(data.windows, numbers), tf.gather(data.condition, numbers)

        def losses(note: Note) -> tf.Tensor:
            logits = discriminate(name, parameters, x, codes, note)
            answers = answer * tf.ones_like(logits)
            return tf.nn.sigmoid_cross_entropy_with_logits(answers, logits) / windows_each

        present = tf.cast(own[:, 0] != NOBODY, tf.float32)
        return clipped_sum(losses, parameters, present=present, clip_norm=clip_norm)

    return in_passes(one_pass, parameters, (used + at_once - 1) // at_once)


def scales(recipe: Recipe) -> Scales:
    """The scalars of a recipe's steps."""
    mechanism = recipe.mechanism
    deviation = mechanism.noise_multiplier * mechanism.clip_norm
    values = (mechanism.clip_norm, deviation, mechanism.expected_batch, recipe.bound)
    return Scales(*(tf.constant(value, tf.float32) for value in values))


def fingerprint(recipe: Recipe, records: Records, first: gan_training.State) -> str:
    """A hash of all that a training's result depends on besides its noise; it is as secret as the data."""
    arrays = (records.windows, records.condition, records.rows)
    return digest(
        (recipe, describe_device()), [*arrays, *(value.numpy() for value in tf.nest.flatten(first))]
    )


def _draws(
    recipe: Recipe, records: Records, noise: Noise, secret: str, attempt: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Windows (steps, room, windows_each) and noise seeds (steps, 2) of all steps of an attempt."""
    mechanism, path = recipe.mechanism, (recipe.mechanism.name, secret, attempt)
    order = sampling.draw(mechanism, noise.generator(*path, "draws"))
    rows = drawn_rows(records, order, recipe.windows_each, noise.generator(*path, "windows"))
    # Whole blocks, so that all of them share a compilation; the steps beyond the last never run.
    beyond = -mechanism.steps % BLOCK_STEPS
    rows = np.pad(rows, ((0, beyond), (0, 0), (0, 0)), constant_values=NOBODY)
    return rows, noise.seeds(*path, "noise", shape=(mechanism.steps + beyond,))


def _batches(
    recipe: Recipe, draws: tuple[NDArray[np.int32], NDArray[np.int32]], stream: Stream, block: int
) -> Batches:
    """The inputs of the steps of a block."""
    rng = generator(child(stream, "fakes", block))
    shape = (BLOCK_STEPS, 2, recipe.fakes)
    codes = rng.choice(len(recipe.shares), size=shape, p=recipe.shares).astype(np.int32)
    made_from = rng.standard_normal((*shape, NOISE_SIZE), dtype=np.float32)
    rows, seeds = (values[block * BLOCK_STEPS : (block + 1) * BLOCK_STEPS] for values in draws)
    return Batches(*map(tf.constant, (rows, seeds, codes, made_from)))
