"""DP-SGD of a GAN's discriminator; the generator learns from the discriminator alone.

A step noises the sum of the clipped gradients of real records, and divides it by the expected batch. To that
it adds the mean clipped gradient of synthetic windows. Synthetic windows need no noise: with their condition
codes from public shares, they are functions of what was released. `Adversaries` that pair each real window
with a synthetic one have both in the record's clip, and the noised sum is the whole gradient.

Sources: Abadi et al. 2016, arXiv:1607.00133 (DP-SGD); Xie et al. 2018, arXiv:1802.06739 (noise on the
discriminator alone).
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

# Windows of one pass through the discriminator (see `clipping.in_passes`): fewer than in a detector, whose
# records have fewer positions (tests/benchmarks/private.py).
ROWS_A_PASS = 16


@dataclass(frozen=True)
class Recipe:
    """Public settings of a private training.

    Args:
        windows_each: number of windows drawn from each record per step.
        fakes: number of synthetic windows per step. It is fixed: the number of drawn records is private.
        discriminator_steps: number of steps of the discriminator per step of the generator.
        shares: public shares of the condition codes among the synthetic windows.
    """

    adversaries: Adversaries
    mechanism: Mechanism
    windows_each: int
    fakes: int
    discriminator_steps: int
    shares: tuple[float, ...]


class State(NamedTuple):
    """State of a training between two steps; `noised` counts the steps whose sum got noise."""

    players: Players
    noised: tf.Tensor


class Batches(NamedTuple):
    """Inputs of a number of steps.

    Attributes:
        rows: (steps, capacity, windows_each) int32, real windows of each record, NOBODY in free slots.
        noise_seeds: (steps, 2) int32.
        codes: (steps, 2, fakes) int32, conditions of the synthetic windows of discriminator and generator.
        latent: (steps, 2, fakes, *noise_shape) float32, normal numbers of the same synthetic windows.
        interpolation: (steps, fakes) float32 on [0, 1), for the discriminator (see `Synthetic`).
    """

    rows: tf.Tensor
    noise_seeds: tf.Tensor
    codes: tf.Tensor
    latent: tf.Tensor
    interpolation: tf.Tensor


class Scales(NamedTuple):
    """Scalars of a step: clip norm, standard deviation of the noise, divisor of the sum."""

    clip_norm: tf.Tensor
    noise_deviation: tf.Tensor
    divisor: tf.Tensor


Program = Callable[[State, Real, Batches, Scales, tf.Tensor, tf.Tensor], State]


def fit(
    recipe: Recipe, records: Records, noise: Noise, stream: Stream, checkpoint: Checkpoint | None
) -> tuple[Trained, int]:
    """Train a GAN privately; an interrupted training goes on as `resume` says.

    Args:
        noise: source of the draws of real windows, and of the noise.
        stream: decides first parameters and synthetic windows, which need no secret.

    Returns:
        The parameters of both networks, and the number of noised steps, lost ones included.

    Raises:
        InputError: a layer of the discriminator mixes records.
        Interrupted: a stop was requested; `checkpoint` holds the state.

    Guarantee:
        The parameters of both networks after all steps, and every state before, are the output of
        `recipe.mechanism`, at its unit and for zero-out neighbours: epsilon is that of `privacy.accounting`
        for it. The generator is post-processing. Assumed are secret noise, one key for one training, a
        `recipe` without values of the data, `records` whose windows depend on no other record, and a
        discriminator whose loss of a window depends on no other window. Not covered are the number of
        records, which is public, raw seconds that several windows share at unit window, the time that the
        training takes, and float32 rounding.
    """
    first = recipe.adversaries.start(generator(child(stream, "parameters")))
    # As secret as the data, of which it is a hash without noise: it must never be logged or stored.
    own_fingerprint = fingerprint(recipe, records, first)
    data = Real(tf.constant(records.windows), tf.constant(records.condition))
    run, steps = program(recipe.adversaries, recipe.discriminator_steps), recipe.mechanism.steps

    def begin(attempt: int) -> Advance[State]:
        draws = _draws(recipe, records, noise, own_fingerprint, attempt)

        def advance(state: State, first: int, last: int) -> State:
            # Inputs of the whole block, whatever its steps: a shorter last block shares the compilation, and
            # a resumed one gets the synthetic windows of an unbroken training.
            block = first // BLOCK_STEPS
            bounds = (tf.constant(step - block * BLOCK_STEPS) for step in (first, last))
            after = run(state, data, _batches(recipe, draws, stream, block), scales(recipe), *bounds)
            # The message names the step alone: losses, gradients and drawn windows are not noised.
            logger.info("private step %d of %d", last, steps)
            return after

        return advance

    start = State(first, tf.constant(0))
    course = Course(start, partial(from_arrays, start), to_arrays, begin)
    state, lost = Resumable(recipe.mechanism, own_fingerprint, noise, checkpoint).train(course)
    networks = (state.players.generator, state.players.discriminator)
    trained = Trained(*([value.numpy() for value in network] for network in networks))
    return trained, int(state.noised) + lost


@lru_cache(maxsize=16)
def program(adversaries: Adversaries, discriminator_steps: int) -> Program:
    """Compiled program `(state, data, batches, scales, first, last) -> state`.

    It runs the steps first .. last - 1 of `batches`. Folds, seeds and epsilons of equal sizes share one
    compilation.
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
    """State after one step of the discriminator and, every `discriminator_steps` steps, one of the generator.

    batch: inputs of this step alone, without the axis of steps.

    Guarantee:
        Real windows enter the state through `add_noise` alone: given the state before, the step is one
        Gaussian mechanism on the sum of `clipped_gradients`, at the unit of the records in `batch.rows` and
        for zero-out neighbours. Assumed are a secret noise seed that serves this step alone, draws of
        `batch.rows` as the mechanism says, `scales` of the recipe, and a loss of a window that depends on no
        other window. With a deviation of 0 nothing is protected, and the step is not counted in `noised`.
    """
    players = state.players
    windows = adversaries.synthesize(players.generator, batch.latent[0], batch.codes[0])
    synthetic = Synthetic(windows, batch.codes[0], batch.interpolation)
    count = windows.shape[0]

    def of_real(numbers: tf.Tensor, note: Note) -> tf.Tensor:
        real = Real(*(tf.gather(values, numbers) for values in data))
        # A window is paired by its own number, whoever else is drawn. Paired by its position in the draw, one
        # record would change the losses of others, and the sum would have no bounded sensitivity.
        beside = Synthetic(*(tf.gather(values, numbers % count) for values in synthetic))
        return adversaries.real_losses(players.discriminator, real, beside, note)

    def of_synthetic(numbers: tf.Tensor, note: Note) -> tf.Tensor:
        own = Synthetic(*(tf.gather(values, numbers) for values in synthetic))
        return adversaries.synthetic_losses(players.discriminator, own, note)

    sums = clipped_gradients(of_real, players.discriminator, batch.rows, scales.clip_norm)
    noised, noised_steps = add_noise(sums, batch.noise_seeds, scales.noise_deviation)
    # By the expected batch: the drawn number of records is private.
    gradients = [value / scales.divisor for value in noised]
    if not adversaries.pairs:
        each = tf.range(count)[:, tf.newaxis]
        # Privacy does not need this clip. Without it, synthetic windows would outweigh the clipped real ones.
        of_fakes = clipped_gradients(of_synthetic, players.discriminator, each, scales.clip_norm)
        # Half and half, as in the mean over a batch of as many real as synthetic windows.
        gradients = [(r + f / count) / 2 for r, f in zip(gradients, of_fakes, strict=True)]
    players = adversaries.update_discriminator(players, gradients)
    # Adam's count is in the state: the turns of the generator stay in step over blocks and resumptions.
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
    """Sum over records of the gradient of a record's mean loss, each clipped to L2 norm `clip_norm`.

    Args:
        losses: from numbers (m) int32 of windows and a note to the losses (m) of these windows.
        rows: (capacity, windows_each) int32, windows of each record. Records of NOBODY add nothing.

    Returns:
        One tensor per parameter, with its shape.

    Raises:
        InputError: a layer of the network mixes records.

    Guarantee:
        Replacing one record by NOBODY changes the sum by less than `clip_norm` in L2 norm, over all
        parameters together. Assumed are a window in the rows of one record alone, and a loss of a window that
        depends on no other window. Rounding of float32 sums is not covered. The sum has no noise: it must not
        leave the step.

    Examples:
        >>> from pulseveil.networks import layers
        >>> x, kernel, bias = (tf.constant(v) for v in ([[3.0], [4.0], [0.1]], [[1.0]], [0.0]))
        >>> def losses(numbers, note):
        ...     return layers.dense(tf.gather(x, numbers), [kernel, bias], note)[:, 0]
        >>> rows = tf.constant([[0, 1], [NOBODY, NOBODY]])
        >>> sums = clipped_gradients(losses, [kernel, bias], rows, clip_norm=1.0)
        >>> round(float(tf.linalg.global_norm(sums)), 3)
        1.0
    """
    windows_each = rows.shape[1]
    # All windows of a record are in one pass: they are summed before the clip.
    at_once = max(1, ROWS_A_PASS // windows_each)
    # XLA needs passes of one shape: the last one may read beyond the capacity.
    padded = tf.pad(rows, ((0, at_once), (0, 0)), constant_values=NOBODY)
    # The last slot in use and not the number of records: a drawn person without windows leaves a gap.
    positions = tf.range(1, rows.shape[0] + 1)
    used = tf.reduce_max(tf.where(rows[:, 0] != NOBODY, positions, 0))

    def one_pass(i: tf.Tensor) -> list[tf.Tensor]:
        own = tf.slice(padded, [i * at_once, 0], [at_once, windows_each])
        # Free slots read window 0, and count with weight 0. One window shows whether a slot is free: windows
        # are drawn with replacement, so that a record has all of them or none.
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
    """Scalars of a recipe's steps."""
    mechanism = recipe.mechanism
    # The deviation on the sum, before the division: the divisor takes no part in the accounting.
    deviation = mechanism.noise_multiplier * mechanism.clip_norm
    values = (mechanism.clip_norm, deviation, mechanism.expected_batch)
    return Scales(*(tf.constant(value, tf.float32) for value in values))


def fingerprint(recipe: Recipe, records: Records, first: Players) -> str:
    """Hash of all that the result of a training depends on besides its noise; it is as secret as the data."""
    arrays = (records.windows, records.condition, records.rows)
    return digest(
        (DPGAN, recipe, describe_device()), [*arrays, *(value.numpy() for value in tf.nest.flatten(first))]
    )


def _draws(
    recipe: Recipe, records: Records, noise: Noise, own_fingerprint: str, attempt: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Windows (steps, capacity, windows_each) and noise seeds (steps, 2) of all steps of an attempt."""
    # The path holds the fingerprint of data and training: under equal noise, two unequal sums would show
    # their exact difference.
    mechanism, path = recipe.mechanism, (recipe.mechanism.name, own_fingerprint, attempt)
    order = draw(mechanism, noise.generator(*path, "draws"))
    rows = drawn_rows(records, order, recipe.windows_each, noise.generator(*path, "windows"))
    # Whole blocks, so that all blocks share one compilation. Steps beyond the last never run.
    beyond = -mechanism.steps % BLOCK_STEPS
    rows = np.pad(rows, ((0, beyond), (0, 0), (0, 0)), constant_values=NOBODY)
    return rows, noise.seeds(*path, "noise", shape=(mechanism.steps + beyond,))


def _batches(
    recipe: Recipe, draws: tuple[NDArray[np.int32], NDArray[np.int32]], stream: Stream, block: int
) -> Batches:
    """Inputs of the steps of a block.

    Synthetic windows and their codes come from a seed that need not be secret, and never from the data.
    """
    # A generator per block: a resumed training gets the numbers of an unbroken one.
    rng = generator(child(stream, "fakes", block))
    shape = (BLOCK_STEPS, 2, recipe.fakes)
    codes = rng.choice(len(recipe.shares), size=shape, p=recipe.shares).astype(np.int32)
    latent = rng.standard_normal((*shape, *recipe.adversaries.noise_shape), dtype=np.float32)
    interpolation = rng.random((BLOCK_STEPS, recipe.fakes), dtype=np.float32)
    rows, seeds = (values[block * BLOCK_STEPS : (block + 1) * BLOCK_STEPS] for values in draws)
    return Batches(*map(tf.constant, (rows, seeds, codes, latent, interpolation)))
