"""DP-SGD of a GAN's discriminator; its generator sees nothing but that discriminator.

A step adds the noised sum of clipped gradients of real records, divided by the expected batch, to the mean
clipped gradient of synthetic windows. Those need no noise: they, and their labels from public shares, are
functions of what has been released. `Adversaries` that pair each real window with a synthetic one have both
in the record, and the noised sum alone. Networks and losses are theirs.
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

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.randomness import Stream, child, generator
from pulseveil.networks.adam import from_arrays, to_arrays
from pulseveil.networks.adversaries import Adversaries, Players, Real, Synthetic, Trained
from pulseveil.networks.per_example import Note
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.clipping import add_noise, clipped_sum, in_passes
from pulseveil.privacy.noise import Noise
from pulseveil.privacy.programs import DPGAN
from pulseveil.privacy.records import NOBODY, Records, draw, drawn_rows
from pulseveil.privacy.resume import BLOCK_STEPS, Advance, Course, Resumable, describe_device, digest

logger = logging.getLogger(__name__)

# Rows that pass through the discriminator at once (see `clipping.in_passes`): fewer than in a detector, where
# records have fewer positions (tests/benchmarks/private.py).
ROWS_A_PASS = 16


@dataclass(frozen=True)
class Recipe:
    """All that is public of a private training.

    windows_each: windows drawn of each record in a step. fakes: synthetic windows of a step, labelled by
    public `shares` of the conditions. discriminator_steps: for each step of the generator.
    """

    adversaries: Adversaries
    mechanism: Mechanism
    windows_each: int
    fakes: int
    discriminator_steps: int
    shares: tuple[float, ...]


class State(NamedTuple):
    """A training between two steps; `noised` counts the steps whose sum got noise."""

    players: Players
    noised: tf.Tensor


class Batches(NamedTuple):
    """Inputs of a number of steps.

    rows (steps, capacity, windows_each) int32: real windows of each record, NOBODY where there is none;
    noise_seeds (steps, 2) int32; codes (steps, 2, fakes) int32 and latent (steps, 2, fakes, ...) float32
    of synthetic windows, first for the discriminator and then for the generator; interpolation (steps, fakes)
    on [0, 1) of the former (see `Synthetic`).
    """

    rows: tf.Tensor
    noise_seeds: tf.Tensor
    codes: tf.Tensor
    latent: tf.Tensor
    interpolation: tf.Tensor


class Scales(NamedTuple):
    """Scalars of a step: clip norm, the noise's standard deviation, divisor of the sum."""

    clip_norm: tf.Tensor
    noise_deviation: tf.Tensor
    divisor: tf.Tensor


Program = Callable[[State, Real, Batches, Scales, tf.Tensor, tf.Tensor], State]


def fit(
    recipe: Recipe, records: Records, noise: Noise, stream: Stream, checkpoint: Checkpoint | None
) -> tuple[Trained, int]:
    """Both networks' parameters, and how many steps were noised, lost ones included.

    `stream` decides first parameters and synthetic windows, which need no secret; which real windows take
    part, and the noise, come from `noise`. Nothing of a step is logged. See
    `resume` for how an interrupted training goes on.
    """
    first = recipe.adversaries.start(generator(child(stream, "parameters")))
    secret = fingerprint(recipe, records, first)
    data = Real(tf.constant(records.windows), tf.constant(records.condition))
    run, steps = program(recipe.adversaries, recipe.discriminator_steps), recipe.mechanism.steps

    def begin(attempt: int) -> Advance[State]:
        draws = _draws(recipe, records, noise, secret, attempt)

        def advance(state: State, first: int, last: int) -> State:
            block = first // BLOCK_STEPS
            bounds = (tf.constant(step - block * BLOCK_STEPS) for step in (first, last))
            after = run(state, data, _batches(recipe, draws, stream, block), scales(recipe), *bounds)
            logger.info("private step %d of %d", last, steps)
            return after

        return advance

    start = State(first, tf.constant(0))
    course = Course(start, partial(from_arrays, start), to_arrays, begin)
    state, lost = Resumable(recipe.mechanism, secret, noise, checkpoint).train(course)
    networks = (state.players.generator, state.players.discriminator)
    trained = Trained(*([value.numpy() for value in network] for network in networks))
    return trained, int(state.noised) + lost


@lru_cache(maxsize=16)
def program(adversaries: Adversaries, discriminator_steps: int) -> Program:
    """Compiled `(state, data, batches, scales, first, last) -> state` after steps first..last-1 of `batches`.

    Folds, seeds and epsilons of equal sizes share one compilation.
    """

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def run(
        state: State, data: Real, batches: Batches, scales: Scales, first: tf.Tensor, last: tf.Tensor
    ) -> State:
        def body(i: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
            batch = Batches(*(values[i] for values in batches))
            return i + 1, step(adversaries, discriminator_steps, state, data, batch, scales)

        after: State = tf.while_loop(lambda i, _: i < last, body, (first, state))[1]
        return after

    return run  # type: ignore[no-any-return]


def step(
    adversaries: Adversaries,
    discriminator_steps: int,
    state: State,
    data: Real,
    batch: Batches,
    scales: Scales,
) -> State:
    """One step of the discriminator and, after each `discriminator_steps` of them, one of the generator.

    `batch` holds the inputs of this step alone.
    """
    players = state.players
    windows = adversaries.synthesize(players.generator, batch.latent[0], batch.codes[0])
    synthetic = Synthetic(windows, batch.codes[0], batch.interpolation)
    count = windows.shape[0]

    def of_real(numbers: tf.Tensor, note: Note) -> tf.Tensor:
        real = Real(*(tf.gather(values, numbers) for values in data))
        # A window is paired by its own number, whoever else is drawn: paired by its position in the draw,
        # one record would change the losses of others, and the sum would have no bounded sensitivity.
        beside = Synthetic(*(tf.gather(values, numbers % count) for values in synthetic))
        return adversaries.real_losses(players.discriminator, real, beside, note)

    def of_synthetic(numbers: tf.Tensor, note: Note) -> tf.Tensor:
        own = Synthetic(*(tf.gather(values, numbers) for values in synthetic))
        return adversaries.synthetic_losses(players.discriminator, own, note)

    sums = clipped_gradients(of_real, players.discriminator, batch.rows, scales.clip_norm)
    noised, noised_steps = add_noise(sums, batch.noise_seeds, scales.noise_deviation)
    gradients = [value / scales.divisor for value in noised]
    if not adversaries.pairs:
        each = tf.range(count)[:, tf.newaxis]
        # Clipped as well, though nothing asks for it: else the real windows would count for less.
        of_fakes = clipped_gradients(of_synthetic, players.discriminator, each, scales.clip_norm)
        # Half each, as in the mean over a batch of as many real as synthetic windows.
        gradients = [(r + f / count) / 2 for r, f in zip(gradients, of_fakes, strict=True)]
    players = adversaries.update_discriminator(players, gradients)
    turn = tf.equal(players.discriminator_adam.step % discriminator_steps, 0)
    players = tf.cond(
        turn,
        lambda: adversaries.update_generator(players, batch.codes[1], batch.latent[1]),
        lambda: players,
    )
    return State(players, state.noised + noised_steps)


def clipped_gradients(
    losses: Callable[[tf.Tensor, Note], tf.Tensor],
    parameters: list[tf.Tensor],
    rows: tf.Tensor,
    clip_norm: tf.Tensor | float,
) -> list[tf.Tensor]:
    """Sum over records of the clipped gradient of a record's mean loss.

    losses(numbers, note): of the windows of these numbers (m). rows (capacity, windows_each): the windows of
    each record; records of NOBODY add nothing.
    """
    windows_each = rows.shape[1]
    at_once = max(1, ROWS_A_PASS // windows_each)
    padded = tf.pad(rows, ((0, at_once), (0, 0)), constant_values=NOBODY)
    positions = tf.range(1, rows.shape[0] + 1)
    used = tf.reduce_max(tf.where(rows[:, 0] != NOBODY, positions, 0))

    def one_pass(i: tf.Tensor) -> list[tf.Tensor]:
        own = tf.slice(padded, [i * at_once, 0], [at_once, windows_each])
        numbers = tf.reshape(tf.maximum(own, 0), (at_once * windows_each,))
        present = tf.cast(own[:, 0] != NOBODY, tf.float32)
        return clipped_sum(
            lambda note: losses(numbers, note) / windows_each,
            parameters,
            present=present,
            clip_norm=clip_norm,
        )

    return in_passes(one_pass, parameters, (used + at_once - 1) // at_once)


def scales(recipe: Recipe) -> Scales:
    """The scalars of a recipe's steps."""
    mechanism = recipe.mechanism
    deviation = mechanism.noise_multiplier * mechanism.clip_norm
    values = (mechanism.clip_norm, deviation, mechanism.expected_batch)
    return Scales(*(tf.constant(value, tf.float32) for value in values))


def fingerprint(recipe: Recipe, records: Records, first: Players) -> str:
    """A hash of all that a training's result depends on besides its noise; it is as secret as the data."""
    arrays = (records.windows, records.condition, records.rows)
    return digest(
        (DPGAN, recipe, describe_device()), [*arrays, *(value.numpy() for value in tf.nest.flatten(first))]
    )


def _draws(
    recipe: Recipe, records: Records, noise: Noise, secret: str, attempt: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Windows (steps, capacity, windows_each) and noise seeds (steps, 2) of all steps of an attempt."""
    mechanism, path = recipe.mechanism, (recipe.mechanism.name, secret, attempt)
    order = draw(mechanism, noise.generator(*path, "draws"))
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
    latent = rng.standard_normal((*shape, *recipe.adversaries.noise_shape), dtype=np.float32)
    interpolation = rng.random((BLOCK_STEPS, recipe.fakes), dtype=np.float32)
    rows, seeds = (values[block * BLOCK_STEPS : (block + 1) * BLOCK_STEPS] for values in draws)
    return Batches(*map(tf.constant, (rows, seeds, codes, latent, interpolation)))
