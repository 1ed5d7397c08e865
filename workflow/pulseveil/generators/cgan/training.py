"""Training of the conditional GAN: steps in one compiled program, checkpoints and selection.

A step is one update of the discriminator, then one of the generator, on the same real windows (batch b):
non-saturating binary cross-entropy on logits, Adam for both. All random numbers come in as arguments.

Several models train in one program where they are set side by side: parameters, windows, conditions, noise,
bounds and losses then have an axis of models in front of the shapes below, and no model meets another's data.

Each model has its own windows and random numbers, which do not depend on the models beside it. This module
imports TensorFlow, so `cgan` imports it only where it trains.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.randomness import Stream, child, generator
from pulseveil.generators.cgan import CGANSettings
from pulseveil.generators.cgan.networks import (
    NOISE_SIZE,
    Output,
    Shape,
    discriminate,
    generate,
    sampler,
    start_discriminator,
    start_generator,
)
from pulseveil.generators.examples import shuffled_rows, typical_diversity
from pulseveil.networks import adam
from pulseveil.networks.adam import from_arrays, to_arrays
from pulseveil.networks.adversaries import (
    Adversaries,
    Made,
    Players,
    Real,
    Trained,
    side_by_side,
    start_players,
)
from pulseveil.networks.layers import Parameters
from pulseveil.networks.per_example import Note
from pulseveil.quality.classifiers import two_sample_score

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


logger = logging.getLogger(__name__)

Weights = list[NDArray[np.float32]]

_BLOCK_STEPS = 250  # steps in one call of the compiled program, and in one draw of random numbers
_SELECTION_ROWS = 512
_SELECTION_NEIGHBOURS = 2
_PROGRESS_LINES = 20


class Data(NamedTuple):
    """Training windows (n, time, channels), their codes (n), and the training's stream of random numbers."""

    windows: NDArray[np.float32]
    condition: NDArray[np.int32]
    stream: Stream


class Best(NamedTuple):
    """The generator kept so far and its two-sample score."""

    score: float
    parameters: Weights


def train(
    settings: CGANSettings, models: Sequence[Data], classes: int, checkpoint: Checkpoint | None
) -> list[Trained]:
    """The trained networks' parameters, a pair a model; continues from `checkpoint` where it holds a state.

    All random numbers are keyed by the step, so interruptions change nothing. A selection keeps generators
    alone: the discriminator is that of the last step.
    """
    objective = objective_of(settings)
    shape = Shape(classes, *models[0].windows.shape[1:])
    starts = [start(generator(child(m.stream, "parameters")), objective, shape) for m in models]
    done, state, best = _restored(side_by_side(starts), len(models), checkpoint)
    run = program(objective)
    bounds = [np.float32(settings.diversity_bound or typical_diversity(*data)) for data in models]
    bound = tf.constant(_joined(bounds))
    while done < settings.steps:
        block, before = done // _BLOCK_STEPS, done
        drawn = [draw_batches(data, block, settings.batch_size) for data in models]
        batches = batches_side_by_side(drawn)
        done = min((block + 1) * _BLOCK_STEPS, settings.steps)
        first, last = (tf.constant(step - block * _BLOCK_STEPS) for step in (before, done))
        state, losses = run(state, batches, bound, first, last)
        if settings.selection == "two_sample":
            parameters = _each(state.generator, len(models))
            best = [_better(*one, settings) for one in zip(best, parameters, models, strict=True)]
        _report(before, done, settings.steps, losses)
        if checkpoint is not None:
            arrays = partial(_arrays, state, best)
            checkpoint.keep(before, done, arrays)
    generators, discriminators = (
        [[value.numpy() for value in values] for values in _each(network, len(models))]
        for network in (state.generator, state.discriminator)
    )
    kept = [b.parameters if b is not None else last for b, last in zip(best, generators, strict=True)]
    return [Trained(*networks) for networks in zip(kept, discriminators, strict=True)]


def objective_of(settings: CGANSettings) -> Objective:
    """The part of the settings that is compiled into the program."""
    return Objective(**{name: getattr(settings, name) for name in Objective._fields})


def draw_batches(data: Data, block: int, batch_size: int) -> Batches:
    """Inputs of the steps of a block: windows in passes over freshly shuffled rows, and noise.

    A pass that ends within a batch is continued by the next, so every batch is full.
    """
    shape = (_BLOCK_STEPS, batch_size)
    first = block * _BLOCK_STEPS * batch_size
    rows = shuffled_rows(len(data.windows), first, _BLOCK_STEPS * batch_size, data.stream).reshape(shape)
    rng = generator(child(data.stream, "noise", block))
    noise = rng.standard_normal((_BLOCK_STEPS, 2, batch_size, NOISE_SIZE), dtype=np.float32)
    return Batches(*map(tf.constant, (data.windows[rows], data.condition[rows], noise)))


def _joined(values: Sequence[Any]) -> NDArray[Any]:
    """One array of all models' values, models first; a single model's has no such axis."""
    return np.asarray(values[0]) if len(values) == 1 else np.stack(values)


def _each(parameters: Sequence[Any], models: int) -> list[list[Any]]:
    """The parameters of each model out of those of all."""
    return [list(parameters)] if models == 1 else [[value[i] for value in parameters] for i in range(models)]


def _restored(
    state: Players, models: int, checkpoint: Checkpoint | None
) -> tuple[int, Players, Sequence[Best | None]]:
    stored = checkpoint.load() if checkpoint is not None else None
    if stored is None:
        return 0, state, [None] * models
    done, arrays, _ = stored
    best: Sequence[Best | None] = [None] * models
    if "best_score" in arrays:
        parameters = _each([arrays[f"best_{i:03d}"] for i in range(len(state.generator))], models)
        scores = np.atleast_1d(arrays["best_score"])
        best = [Best(float(score), values) for score, values in zip(scores, parameters, strict=True)]
    logger.info("cgan: continue after step %d", done)
    return done, from_arrays(state, arrays), best


def _arrays(state: Players, best: Sequence[Best | None]) -> dict[str, NDArray[Any]]:
    arrays, found = to_arrays(state), [one for one in best if one is not None]
    if not found:
        return arrays
    parameters = zip(*(one.parameters for one in found), strict=True)
    named = {f"best_{i:03d}": _joined(values) for i, values in enumerate(parameters)}
    return {**arrays, "best_score": _joined([one.score for one in found]), **named}


def _better(best: Best | None, parameters: Sequence[tf.Tensor], data: Data, settings: CGANSettings) -> Best:
    """The better of two generators: the one whose windows are the harder to tell from training windows.

    The published criterion (two nearest neighbours), with the same noise and rows each time.
    """
    rng = generator(child(data.stream, "selection"))
    noise = rng.standard_normal((_SELECTION_ROWS, NOISE_SIZE), dtype=np.float32)
    condition = rng.choice(data.condition, _SELECTION_ROWS)
    made = sampler(settings.leaky_slope, settings.output)(parameters, noise, condition).numpy()
    score = two_sample_score(data.windows, made, child(data.stream, "rows"), _SELECTION_NEIGHBOURS)
    if best is not None and abs(best.score - 0.5) <= abs(score - 0.5):
        return best
    return Best(score, [value.numpy() for value in parameters])


def _report(before: int, done: int, steps: int, losses: tf.Tensor) -> None:
    """Log each model's losses some twenty times a training."""
    if done * _PROGRESS_LINES // steps > before * _PROGRESS_LINES // steps:
        for values in losses.numpy().reshape(len(losses), -1).T:
            logger.info("cgan: step %d of %d, losses %.3f %.3f, diversity term %.3f", done, steps, *values)


@dataclass(frozen=True)
class ConditionalAdversaries(Adversaries):
    """width_divisor: of the published widths of the discriminator. bound: where effective diversity ends."""

    objective: Objective
    shape: Shape
    width_divisor: int
    bound: float

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Normal numbers of a window."""
        return (NOISE_SIZE,)

    def start(self, rng: np.random.Generator) -> Players:
        """The players before the first step."""
        return start(rng, self.objective, self.shape, self.width_divisor)

    def make(self, generator: Parameters, made_from: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Windows (m, time, channels) from normal numbers (m, size)."""
        return make_fakes(self.objective, generator, made_from, condition)

    def real_losses(self, discriminator: Parameters, real: Real, made: Made, note: Note) -> tf.Tensor:
        """Cross-entropy with the answer "real"; the made windows are not looked at."""
        return self._losses(discriminator, real, 1.0, note)

    def made_losses(self, discriminator: Parameters, made: Made, note: Note) -> tf.Tensor:
        """Cross-entropy with the answer "made"."""
        return self._losses(discriminator, Real(made.windows, made.condition), 0.0, note)

    def _losses(self, discriminator: Parameters, rows: Real, answer: float, note: Note) -> tf.Tensor:
        logits = discriminate(self.objective.discriminator, discriminator, *rows, note)
        return tf.nn.sigmoid_cross_entropy_with_logits(answer * tf.ones_like(logits), logits)

    def update_discriminator(self, players: Players, gradients: Sequence[tf.Tensor]) -> Players:
        """The players after a step of the discriminator along `gradients`."""
        discriminator, moments = descend(
            self.objective, players.discriminator, gradients, players.discriminator_adam
        )
        return players._replace(discriminator=discriminator, discriminator_adam=moments)

    def update_generator(self, players: Players, condition: tf.Tensor, made_from: tf.Tensor) -> Players:
        """The players after a step of the generator, diversity term included."""
        bound = tf.constant(self.bound)
        return update_generator(self.objective, players, bound, condition, made_from)[0]
