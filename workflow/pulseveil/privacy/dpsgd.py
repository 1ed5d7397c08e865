"""DP-SGD (Abadi et al. 2016, arXiv:1607.00133): all steps in one compiled program.

A step uses the data only through the sum of its records' clipped gradients, plus Gaussian noise, divided by
the expected batch. Draws, noise and divisor come from the mechanism that is accounted. Data, draws, seeds and
scales are tensors, so that all folds and epsilons of a process share one compilation.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from pulseveil.core import randomness
from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import Stream
from pulseveil.networks import adam, draws, layers
from pulseveil.networks.adam import from_arrays, to_arrays
from pulseveil.networks.learner import Learner, as_learner, seeds_of
from pulseveil.networks.per_example import Note
from pulseveil.networks.training import Examples, Network, Weights
from pulseveil.privacy import records
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.clipping import add_noise, clipped_sum, in_passes
from pulseveil.privacy.noise import Noise
from pulseveil.privacy.programs import DPSGD
from pulseveil.privacy.resume import Advance, Course, Resumable, describe_device, digest

logger = logging.getLogger(__name__)

Optimizer = Literal["adam", "sgd"]
Update = Callable[..., tuple[list[tf.Tensor], adam.AdamState]]

# Rows of one pass (see `clipping.in_passes`). A compiled pass takes the time of some ten rows more, to read
# all weights and add to all sums: most draws of the published 50 windows fit into one. In a plain graph a
# pass takes that of two rows more: short passes have less padding.
_ROWS_COMPILED, _ROWS_PLAIN = 64, 16
_SECONDS_BETWEEN_MESSAGES = 10.0


@dataclass(frozen=True)
class Recipe:
    """Public settings of a private training.

    network: a classifier's network, which learns by the classifiers' loss, or a learner with its own loss.
    released_records: number of synthetic records of a private generator, which follow those of the mechanism.
    They are drawn and clipped alike, but cost nothing: their sum is a function of what was released.
    """

    network: Network | Learner
    mechanism: Mechanism
    learning_rate: float
    optimizer: Optimizer = "adam"
    released_records: int = 0

    @property
    def expected_batch(self) -> float:
        """Expected number of records per step, released ones included, by which its sum is divided."""
        return self.mechanism.expected_batch + self.mechanism.q * self.released_records


class Scales(NamedTuple):
    """Scalars of a step: clip norm, standard deviation of the noise, divisor of the sum, learning rate."""

    clip_norm: tf.Tensor
    noise_deviation: tf.Tensor
    divisor: tf.Tensor
    learning_rate: tf.Tensor


class Chance(NamedTuple):
    """Random choices of some steps, int32: record numbers (steps, capacity), noise seeds (steps, 2)."""

    order: tf.Tensor
    noise_seeds: tf.Tensor


class State(NamedTuple):
    """State of a training between two steps; `noised` counts the steps whose sum got noise."""

    parameters: Sequence[tf.Tensor]
    moments: adam.AdamState
    noised: tf.Tensor


Program = Callable[[State, Examples, Chance, tf.Tensor, Scales], State]


def fit(
    recipe: Recipe,
    examples: Examples,
    noise: Noise,
    stream: Stream,
    checkpoint: Checkpoint | None = None,
    initial_weights: Weights | None = None,
) -> tuple[Weights, int]:
    """Train a network by DP-SGD; an interrupted training goes on as `resume` says.

    Args:
        examples: arrays of the mechanism's n records and then of the released ones, with k rows each: x (n,
            k, *inputs), target (n, k, targets), weight (n, k). Inputs of classifiers are (signals, bins),
            targets 2. A record's loss is the weighted sum over its rows.
        noise: source of draws and noise.
        stream: decides first weights, dropout and latent values, which need no secret.
        initial_weights: the first weights, which no protected record may have shaped; None for fresh ones.

    Returns:
        The trained weights, and the number of noised steps, lost ones included.

    Raises:
        InputError: the network mixes records.

    Guarantee:
        The weights after all steps, and every state before, are the output of `recipe.mechanism`, at its unit
        and for zero-out neighbours: epsilon is that of `privacy.accounting` for it. It assumes secret noise,
        one key for one training, `examples` whose rows of a record depend on no other record, and released
        records of a generator that is private itself. Time, memory and float32 rounding are not covered.
    """
    require_separate_records(recipe.network)
    started = reported = time.monotonic()
    fresh = recipe.network.start(randomness.generator(randomness.child(stream, "initial")))
    given = None if initial_weights is None else [value.numpy() for value in initial_weights.parameters]
    first_weights = fresh if given is None else Weights(given, [])
    # As secret as the data, of which it is a hash without noise: it must never be logged or stored.
    own_fingerprint = fingerprint(recipe, examples, first_weights)
    data = Examples(*map(tf.constant, examples))
    seed = tf.constant(randomness.stateless_seed(randomness.child(stream, "dropout")))
    run, steps = program(recipe.network, examples.x.shape[1], recipe.optimizer), recipe.mechanism.steps

    def begin(attempt: int) -> Advance[State]:
        chance = draw(recipe, noise, own_fingerprint, attempt)

        def advance(state: State, first: int, last: int) -> State:
            nonlocal reported
            block = Chance(*(tf.constant(values[first:last]) for values in chance))
            after = run(state, data, block, seed, scales(recipe))
            # The message names the step alone: loss, gradients and drawn records are not noised.
            if time.monotonic() - reported > _SECONDS_BETWEEN_MESSAGES:
                reported = time.monotonic()
                logger.info("private step %d of %d", last, steps)
            return after

        return advance

    state = start(first_weights)
    course = Course(state, partial(from_arrays, state), to_arrays, begin)
    state, lost = Resumable(recipe.mechanism, own_fingerprint, noise, checkpoint).train(course)
    logger.info("%d private steps, %.1f s", steps, time.monotonic() - started)
    return Weights(state.parameters, []), int(state.noised) + lost


def start(weights: Weights) -> State:
    """State before the first step."""
    parameters = [tf.constant(value) for value in weights.parameters]
    return State(parameters, adam.start(parameters), tf.constant(0))


def scales(recipe: Recipe) -> Scales:
    """Scalars of a recipe's steps."""
    mechanism = recipe.mechanism
    # The deviation on the sum, before the division: the divisor takes no part in the accounting.
    deviation = mechanism.noise_multiplier * mechanism.clip_norm
    values = (mechanism.clip_norm, deviation, recipe.expected_batch, recipe.learning_rate)
    return Scales(*(tf.constant(value, tf.float32) for value in values))


def draw(recipe: Recipe, noise: Noise, fingerprint: str, attempt: int = 0) -> Chance:
    """Draws and noise seeds of all steps of an attempt, as arrays."""
    mechanism = recipe.mechanism
    # The path holds the fingerprint of data and training: other data never get the same noise of a key, under
    # which the difference of two sums would have none.
    path = (mechanism.name, fingerprint, attempt)
    order = records.draw(mechanism, noise.generator(*path, "draws"))
    if recipe.released_records:
        rng = noise.generator(*path, "released draws")
        order = records.with_released(order, mechanism, recipe.released_records, rng)
    seeds = noise.seeds(*path, "noise", shape=(mechanism.steps,))
    return Chance(order, seeds)


@lru_cache(maxsize=16)
def program(network: Network | Learner, rows: int, optimizer: Optimizer) -> Program:
    """Compiled program `(state, examples, chance, dropout seed, scales) -> state` over the steps of `chance`.

    A record has `rows` rows. With noise of deviation 0 and an infinite clip norm, the same program trains a
    model without privacy.
    """
    learner = as_learner(network)
    at_once = max(1, (_ROWS_COMPILED if learner.compiles_step else _ROWS_PLAIN) // rows)
    update = layers.fused(_update_by(optimizer))

    def sums_of(
        parameters: Sequence[tf.Tensor],
        batch: Examples,
        numbers: tf.Tensor,
        seed: tf.Tensor,
        clip_norm: tf.Tensor,
    ) -> list[tf.Tensor]:
        # Keyed by record number: keyed by position, drawing one record would change the dropout of the
        # records behind it, and amplification by sampling would not hold.
        seeds = seeds_of(seed, numbers, rows)

        def losses(note: Note) -> tf.Tensor:
            return learner.row_losses(Weights(parameters, []), batch, seeds, note)

        present = tf.cast(numbers != records.ABSENT, tf.float32)
        return clipped_sum(losses, parameters, present=present, clip_norm=clip_norm)

    # A pass, and not the step: XLA compiles again for each number of records and of slots that it sees.
    # Without AutoGraph, which reads source files when it traces: these may have changed since the import.
    # Noise would then meet a program that no version tells apart.
    of_pass = tf.function(sums_of, jit_compile=True, autograph=False) if learner.compiles_step else sums_of

    def step(
        state: State,
        examples: Examples,
        order: tf.Tensor,
        noise_seed: tf.Tensor,
        seed: tf.Tensor,
        scales: Scales,
    ) -> State:
        # Passes have one shape: the last one may read beyond the capacity.
        padded = tf.pad(order, ((0, at_once),), constant_values=records.ABSENT)

        def one_pass(i: tf.Tensor) -> list[tf.Tensor]:
            numbers = tf.ensure_shape(tf.slice(padded, [i * at_once], [at_once]), (at_once,))
            batch = _rows(learner, examples, numbers, rows)
            sums: list[tf.Tensor] = of_pass(state.parameters, batch, numbers, seed, scales.clip_norm)
            return sums

        # Passes by the records that were drawn, and not by the capacity: free slots take no time.
        drawn = tf.math.count_nonzero(order != records.ABSENT, dtype=tf.int32)
        sums = in_passes(one_pass, state.parameters, (drawn + at_once - 1) // at_once)
        after: State = update(state, sums, noise_seed, scales)
        return after

    def run(state: State, examples: Examples, chance: Chance, seed: tf.Tensor, scales: Scales) -> State:
        def body(i: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
            # The state's step counts over blocks and resumptions; i starts at 0 in each block.
            own_seed = draws.child_seed(seed, state.moments.step)
            own_chance = (chance.order[i], chance.noise_seeds[i])
            return i + 1, step(state, examples, *own_chance, own_seed, scales)

        steps = tf.shape(chance.order)[0]
        after: State = tf.while_loop(lambda i, _: i < steps, body, (tf.constant(0), state))[1]
        return after

    return tf.function(run, input_signature=_signature(learner, rows), autograph=False)  # type: ignore[no-any-return]


def _update_by(optimizer: Optimizer) -> Callable[[State, list[tf.Tensor], tf.Tensor, Scales], State]:
    """End of a step: noise on the sums, division, and an update by the optimizer.

    All after `add_noise` is post-processing of the noised sums and of public numbers.
    """

    def update(state: State, sums: list[tf.Tensor], noise_seed: tf.Tensor, scales: Scales) -> State:
        noised, count = add_noise(sums, noise_seed, scales.noise_deviation)
        parameters, moments = UPDATES[optimizer](
            state.parameters,
            [value / scales.divisor for value in noised],
            state.moments,
            learning_rate=scales.learning_rate,
        )
        return State(parameters, moments, state.noised + count)

    return update


# Once per network: the test compiles it for its own few rows.
@lru_cache(maxsize=16)
def require_separate_records(network: Network | Learner) -> None:
    """Refuse a network in which a row's loss depends on other rows of the batch or on its position there.

    Raises:
        InputError: the losses of two rows change beside another third row and in other positions.

    Guarantee:
        A test with random weights and inputs, which finds batch normalisation and randomness that is keyed by
        position. It is no proof for weights and inputs that training reaches.
    """
    learner, rng = as_learner(network), np.random.default_rng(0)
    x = rng.normal(size=(4, *learner.inputs)).astype(np.float32)
    # The row that only the second batch holds has another scale, which moves the batch's mean and variance.
    x[3] *= 3
    target = tf.one_hot([0, 1, 0, 0], learner.targets)
    weights = tf.nest.map_structure(tf.constant, learner.start(rng))
    shared = []
    for numbers in ([0, 1, 2], [3, 1, 0]):
        seeds = seeds_of(tf.constant([0, 0]), tf.constant(numbers), 1)
        batch = Examples(tf.constant(x[numbers]), tf.gather(target, numbers), tf.ones(3))
        losses = learner.row_losses(weights, batch, seeds).numpy()
        shared.append([losses[numbers.index(row)] for row in (0, 1)])
    if not np.allclose(shared[0], shared[1], rtol=1e-3, atol=1e-5):
        raise InputError(
            f"{type(network).__name__} mixes records: an output depends on other rows of the batch or on its "
            "position there, so that no record's contribution is bounded; use layer normalisation instead of "
            "batch normalisation, and key dropout and latent values by the row's number"
        )


def _descend(
    parameters: Sequence[tf.Tensor],
    gradients: Sequence[tf.Tensor],
    state: adam.AdamState,
    *,
    learning_rate: float | tf.Tensor,
) -> tuple[list[tf.Tensor], adam.AdamState]:
    """Step of plain gradient descent; of the state, only the number of steps changes."""
    moved = [value - learning_rate * g for value, g in zip(parameters, gradients, strict=True)]
    return moved, state._replace(step=state.step + 1)


UPDATES: Mapping[Optimizer, Update] = {"adam": adam.update, "sgd": _descend}


def _signature(learner: Learner, rows: int) -> tuple[Any, ...]:
    """Tensor shapes of a program, open in the number of records, steps and slots per step."""
    # Open sizes: blocks, folds and budgets of other lengths share one compilation.
    spec = tf.TensorSpec
    state = start(learner.start(np.random.default_rng(0)))
    chance = Chance(spec((None, None), tf.int32), spec((None, 2), tf.int32))
    examples = Examples(
        spec((None, rows, *learner.inputs)), spec((None, rows, learner.targets)), spec((None, rows))
    )
    state_specs = tf.nest.map_structure(lambda value: spec(value.shape, value.dtype), state)
    return state_specs, examples, chance, spec((2,), tf.int32), Scales(*(spec(()) for _ in Scales._fields))


def _rows(learner: Learner, examples: Examples, numbers: tf.Tensor, rows: int) -> Examples:
    """Rows of the records `numbers`, one below the other; padding gets the rows of record 0.

    They have weight 0 in the clipped sum, by `present`.
    """
    x, target, weight = (tf.gather(values, tf.maximum(numbers, 0)) for values in examples)
    n = numbers.shape[0] * rows
    return Examples(
        tf.reshape(x, (n, *learner.inputs)),
        tf.reshape(target, (n, learner.targets)),
        tf.reshape(weight, (n,)),
    )


def fingerprint(recipe: Recipe, examples: Examples, weights: Weights) -> str:
    """Hash of everything that a training's result depends on besides its noise.

    Guarantee:
        Two trainings that differ in program, recipe, device, data or first weights have different
        fingerprints, up to collisions of SHA-256. It is a function of data without noise, and as secret as
        the data.
    """
    return digest((DPSGD, recipe, describe_device()), [*examples, *weights.parameters])
