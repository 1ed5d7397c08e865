"""DP-SGD (Abadi et al. 2016, arXiv:1607.00133): all steps in one compiled program.

What a step sees of the data is the sum of its records' clipped gradients, plus Gaussian noise, divided by the
expected batch. Draws, noise and divisor come from the mechanism that is accounted. Data, draws, seeds and
scales come in as tensors, so that all folds and epsilons of a process share one compilation.
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

# Rows that pass through a network at once (see `clipping.in_passes`).
_ROWS_A_PASS = 32
_SECONDS_BETWEEN_MESSAGES = 10.0


@dataclass(frozen=True)
class Recipe:
    """All that is public of a private training.

    network: of a classifier, which learns by the classifiers' loss, or one that brings a loss of its own.
    released_records: how many records follow those of the mechanism that a private generator made. They are
    drawn and clipped alike, but need no noise: their sum is a function of what has been released.
    """

    network: Network | Learner
    mechanism: Mechanism
    learning_rate: float
    optimizer: Optimizer = "adam"
    released_records: int = 0

    @property
    def expected_batch(self) -> float:
        """The expected number of records in a step, released ones included: the divisor of its sum."""
        return self.mechanism.expected_batch + self.mechanism.q * self.released_records


class Scales(NamedTuple):
    """Scalars of a step: clip norm, the noise's standard deviation, divisor of the sum, learning rate."""

    clip_norm: tf.Tensor
    noise_deviation: tf.Tensor
    divisor: tf.Tensor
    learning_rate: tf.Tensor


class Chance(NamedTuple):
    """What chance decides in some steps: record numbers (steps, capacity), seeds of the noise (steps, 2)."""

    order: tf.Tensor
    noise_seeds: tf.Tensor


class State(NamedTuple):
    """A training between two steps; `noised` counts the steps whose sum got noise."""

    parameters: Sequence[tf.Tensor]
    moments: adam.AdamState
    noised: tf.Tensor


Program = Callable[[State, Examples, Chance, tf.Tensor, Scales], State]


def fit(
    recipe: Recipe, examples: Examples, noise: Noise, stream: Stream, checkpoint: Checkpoint | None = None
) -> tuple[Weights, int]:
    """Train from fresh weights; returns them, and how many steps were noised, lost ones included.

    examples: arrays of the mechanism's n records, and then of the released ones, with k rows each: x (n, k,
    *inputs), target (n, k, targets), weight (n, k); of classifiers, inputs are (signals, bins) and targets 2.
    A record's loss is the weighted sum over its rows. `stream` decides first weights and the training's own
    chance (dropout, latent values), which need no secret; draws and noise come from `noise`. Nothing of a
    step is logged. See `resume` for how an interrupted training goes on. Raises InputError for a network that
    mixes records.
    """
    require_separate_records(recipe.network)
    started = told = time.monotonic()
    first_weights = recipe.network.start(randomness.generator(randomness.child(stream, "initial")))
    secret = fingerprint(recipe, examples, first_weights)
    data = Examples(*map(tf.constant, examples))
    seed = tf.constant(randomness.stateless_seed(randomness.child(stream, "dropout")))
    run, steps = program(recipe.network, examples.x.shape[1], recipe.optimizer), recipe.mechanism.steps

    def begin(attempt: int) -> Advance[State]:
        chance = draw(recipe, noise, secret, attempt)

        def advance(state: State, first: int, last: int) -> State:
            nonlocal told
            block = Chance(*(tf.constant(values[first:last]) for values in chance))
            after = run(state, data, block, seed, scales(recipe))
            if time.monotonic() - told > _SECONDS_BETWEEN_MESSAGES:
                told = time.monotonic()
                logger.info("private step %d of %d", last, steps)
            return after

        return advance

    state = start(first_weights)
    course = Course(state, partial(from_arrays, state), to_arrays, begin)
    state, lost = Resumable(recipe.mechanism, secret, noise, checkpoint).train(course)
    logger.info("%d private steps, %.1f s", steps, time.monotonic() - started)
    return Weights(state.parameters, []), int(state.noised) + lost


def start(weights: Weights) -> State:
    """The state before the first step."""
    parameters = [tf.constant(value) for value in weights.parameters]
    return State(parameters, adam.start(parameters), tf.constant(0))


def scales(recipe: Recipe) -> Scales:
    """The scalars of a recipe's steps."""
    mechanism = recipe.mechanism
    deviation = mechanism.noise_multiplier * mechanism.clip_norm
    values = (mechanism.clip_norm, deviation, recipe.expected_batch, recipe.learning_rate)
    return Scales(*(tf.constant(value, tf.float32) for value in values))


def draw(recipe: Recipe, noise: Noise, fingerprint: str, attempt: int = 0) -> Chance:
    """Draws and noise seeds of all steps of an attempt, as arrays.

    They hang on the fingerprint of data and training: the same key never gives other data the same noise,
    which would lay their difference bare.
    """
    mechanism = recipe.mechanism
    path = (mechanism.name, fingerprint, attempt)
    order = records.draw(mechanism, noise.generator(*path, "draws"))
    if recipe.released_records:
        rng = noise.generator(*path, "released draws")
        order = records.with_released(order, mechanism, recipe.released_records, rng)
    seeds = noise.seeds(*path, "noise", shape=(mechanism.steps,))
    return Chance(order, seeds)


@lru_cache(maxsize=16)
def program(network: Network | Learner, rows: int, optimizer: Optimizer) -> Program:
    """`(state, examples, chance, dropout seed, scales) -> state` after the steps of `chance`.

    A record has `rows` rows. Noise of deviation 0 and an infinite clip norm make the training of a model
    without privacy.
    """
    learner = as_learner(network)
    at_once = max(1, _ROWS_A_PASS // rows)
    update = layers.fused(_update_by(optimizer))

    def step(
        state: State,
        examples: Examples,
        order: tf.Tensor,
        noise_seed: tf.Tensor,
        seed: tf.Tensor,
        scales: Scales,
    ) -> State:
        padded = tf.pad(order, ((0, at_once),), constant_values=records.ABSENT)

        def one_pass(i: tf.Tensor) -> list[tf.Tensor]:
            numbers = tf.slice(padded, [i * at_once], [at_once])
            batch = _rows(learner, examples, numbers, rows)
            seeds = seeds_of(seed, numbers, rows)

            def losses(note: Note) -> tf.Tensor:
                return learner.row_losses(Weights(state.parameters, []), batch, seeds, note)

            present = tf.cast(numbers != records.ABSENT, tf.float32)
            return clipped_sum(losses, state.parameters, present=present, clip_norm=scales.clip_norm)

        drawn = tf.math.count_nonzero(order != records.ABSENT, dtype=tf.int32)
        sums = in_passes(one_pass, state.parameters, (drawn + at_once - 1) // at_once)
        after: State = update(state, sums, noise_seed, scales)
        return after

    compiled_step = tf.function(step, jit_compile=True) if learner.compiles_step else step

    def run(state: State, examples: Examples, chance: Chance, seed: tf.Tensor, scales: Scales) -> State:
        def body(i: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
            own_seed = draws.child_seed(seed, state.moments.step)
            own_chance = (chance.order[i], chance.noise_seeds[i])
            return i + 1, compiled_step(state, examples, *own_chance, own_seed, scales)

        steps = tf.shape(chance.order)[0]
        after: State = tf.while_loop(lambda i, _: i < steps, body, (tf.constant(0), state))[1]
        return after

    return tf.function(run, input_signature=_signature(learner, rows), autograph=False)  # type: ignore[no-any-return]


def _update_by(optimizer: Optimizer) -> Callable[[State, list[tf.Tensor], tf.Tensor, Scales], State]:
    """The end of a step: noise on the sums, division, and a step of the optimizer."""

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


def require_separate_records(network: Network | Learner) -> None:
    """Raise InputError where a row of the batch, or a row's position in it, changes the loss of another one.

    Two batches share two rows: the second one holds them in other positions, beside another third row.
    """
    learner, rng = as_learner(network), np.random.default_rng(0)
    x = rng.normal(size=(4, *learner.inputs)).astype(np.float32)
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
            "position there, so no record's part can be bounded; use layer normalisation where it normalises "
            "by the batch, and key all chance of a row by the row's number"
        )


def _descend(
    parameters: Sequence[tf.Tensor],
    gradients: Sequence[tf.Tensor],
    state: adam.AdamState,
    *,
    learning_rate: float | tf.Tensor,
) -> tuple[list[tf.Tensor], adam.AdamState]:
    """A step of plain gradient descent; of the state it counts the steps only."""
    moved = [value - learning_rate * g for value, g in zip(parameters, gradients, strict=True)]
    return moved, state._replace(step=state.step + 1)


UPDATES: Mapping[Optimizer, Update] = {"adam": adam.update, "sgd": _descend}


def _signature(learner: Learner, rows: int) -> tuple[Any, ...]:
    """Tensor shapes of a program: any number of records, steps and slots in a step."""
    spec = tf.TensorSpec
    state = start(learner.start(np.random.default_rng(0)))
    chance = Chance(spec((None, None), tf.int32), spec((None, 2), tf.int32))
    examples = Examples(
        spec((None, rows, *learner.inputs)), spec((None, rows, learner.targets)), spec((None, rows))
    )
    state_specs = tf.nest.map_structure(lambda value: spec(value.shape, value.dtype), state)
    return state_specs, examples, chance, spec((2,), tf.int32), Scales(*(spec(()) for _ in Scales._fields))


def _rows(learner: Learner, examples: Examples, numbers: tf.Tensor, rows: int) -> Examples:
    """The rows of these records, one below the other; padding gets those of record 0."""
    x, target, weight = (tf.gather(values, tf.maximum(numbers, 0)) for values in examples)
    n = numbers.shape[0] * rows
    return Examples(
        tf.reshape(x, (n, *learner.inputs)),
        tf.reshape(target, (n, learner.targets)),
        tf.reshape(weight, (n,)),
    )


def fingerprint(recipe: Recipe, examples: Examples, weights: Weights) -> str:
    """A hash of all that a training's result depends on besides its noise; it is as secret as the data."""
    return digest((DPSGD, recipe, describe_device()), [*examples, *weights.parameters])
