"""Training of the conditional GAN without a budget: random numbers of each block, and selection.

Each model has its own windows and random numbers, which do not depend on other models in the same program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.randomness import Stream, child, generator
from pulseveil.generators.cgan import CGANSettings, steps
from pulseveil.generators.cgan.networks import NOISE_SIZE, Shape, sampler
from pulseveil.generators.cgan.steps import Objective
from pulseveil.generators.examples import shuffled_rows, typical_diversity
from pulseveil.networks import average as averages
from pulseveil.networks import loop
from pulseveil.networks.adversaries import Players, Trained
from pulseveil.networks.loop import Block
from pulseveil.quality.classifiers import two_sample_score

LOSSES = ("discriminator", "generator", "diversity term")

_BLOCK_STEPS = 250
_SELECTION_ROWS = 512
_SELECTION_NEIGHBOURS = 2


class Data(NamedTuple):
    """Training windows (n, time, channels), their codes (n), and the random stream of the training."""

    windows: NDArray[np.float32]
    condition: NDArray[np.int32]
    stream: Stream


class Batches(NamedTuple):
    """Inputs of several steps.

    windows (steps, b, time, channels) float32, condition (steps, b) int32; standard normal noise (steps, b,
    size) float32 for the discriminator's and for the generator's update. Models side by side have an axis of
    models after the steps.
    """

    windows: tf.Tensor
    condition: tf.Tensor
    discriminator_noise: tf.Tensor
    generator_noise: tf.Tensor


class Best(NamedTuple):
    """The best generator of a model so far, with its two-sample score."""

    score: NDArray[np.float64]
    parameters: list[NDArray[np.float32]]


class Averaged(NamedTuple):
    """The networks of all models and the average of the generators' parameters, empty without one."""

    players: Players
    average: list[tf.Tensor]

    @property
    def generator(self) -> list[tf.Tensor]:
        """The parameters that are kept: the average, if there is one, otherwise those of the last step."""
        return self.average or self.players.generator


class State(NamedTuple):
    """The networks of all models and, with selection two_sample, the best generator of each model."""

    trained: Averaged
    best: list[Best]


Program = Callable[[Averaged, Batches, tf.Tensor, tf.Tensor], tuple[Averaged, tf.Tensor]]


def train(
    settings: CGANSettings, models: Sequence[Data], classes: int, checkpoint: Checkpoint | None
) -> list[Trained]:
    """Train one model per item of `models`; continues from the state in `checkpoint`, if any.

    Selection applies to the generator only: the discriminator is that of the last step.
    """
    objective = objective_of(settings)
    shape = Shape(classes, *models[0].windows.shape[1:])
    starts = [steps.start(generator(child(data.stream, "parameters")), objective, shape) for data in models]
    # By default, synthetic windows are not rewarded for more diversity than the training windows have.
    bounds = [
        tf.constant(settings.diversity_bound or typical_diversity(*data), tf.float32) for data in models
    ]
    bound, selects = loop.side_by_side(bounds), settings.selection == "two_sample"
    rate = settings.discriminator_learning_rate or settings.learning_rate
    run = program(objective, rate, settings.average)

    def advance(block: Block, state: State) -> tuple[State, loop.Losses]:
        drawn = [draw_batches(data, block.number, settings.batch_size) for data in models]
        # Models after the steps: the compiled loop takes one step after the other along the first axis.
        batches = loop.side_by_side(drawn, axis=1)
        trained, losses = run(state.trained, batches, bound, tf.constant(block.last - block.first))
        best = state.best
        if selects:
            generators = loop.each(trained.generator, len(models))
            best = [_better(*one, settings) for one in zip(best, generators, models, strict=True)]
        return State(trained, best), dict(zip(LOSSES, losses, strict=True))

    # An infinite score: any trained generator replaces the initial one, which has learnt nothing.
    first = [Best(np.array(np.inf), [value.numpy() for value in start.generator]) for start in starts]
    players = loop.side_by_side(starts)
    averaged = Averaged(players, players.generator if settings.average else [])
    state = State(averaged, first if selects else [])
    blocks = loop.blocks([""], {"step": settings.steps}, _BLOCK_STEPS)
    state = loop.train("cgan", {"": state}, blocks, advance, checkpoint)[""]
    kept = state.trained.players._replace(generator=state.trained.generator)
    trained = [_numbers(players) for players in loop.each(kept, len(models))]
    if not selects:
        return trained
    return [
        one._replace(generator=[np.asarray(value) for value in best.parameters])
        for one, best in zip(trained, state.best, strict=True)
    ]


def objective_of(settings: CGANSettings) -> Objective:
    """The part of the settings that is compiled into the program.

    The number of steps is not part of it: trainings of any length share one compilation.
    """
    return Objective(**{name: getattr(settings, name) for name in Objective._fields})


@lru_cache(maxsize=16)
def program(objective: Objective, discriminator_rate: float, average: float) -> Program:
    """Compiled `(state, batches, bound, count) -> (state, mean LOSSES)` of the first `count` steps.

    `bound` is the largest value that the effective diversity term rewards, one number per model. Losses of
    several models are (3, models). `average` is the weight of the past in the average of the generator's
    parameters; without an average in the state it is not read. Folds and seeds whose batches have equal
    shapes share one compilation.
    """

    # XLA is faster than a plain graph at batch 8 on a CPU (LSTM discriminator alone: 1136 against 648
    # examples per second), not at batch 64.
    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def run(
        state: Averaged, batches: Batches, bound: tf.Tensor, count: tf.Tensor
    ) -> tuple[Averaged, tf.Tensor]:
        def step(state: Averaged, *inputs: tf.Tensor) -> tuple[Averaged, tf.Tensor]:
            done = state.players.generator_adam.step
            players, losses = steps.step(objective, discriminator_rate, bound, state.players, *inputs)
            generator = players.generator if state.average else []
            return Averaged(players, averages.update(state.average, generator, average, done)), losses

        return loop.repeat(step, state, batches, count, tf.zeros((len(LOSSES), *bound.shape)))

    return run  # type: ignore[no-any-return]


def draw_batches(data: Data, block: int, batch_size: int) -> Batches:
    """Inputs of the steps of a block: windows in passes over freshly shuffled rows, and noise.

    A batch in which a pass ends is filled from the next pass, so every batch is full.
    """
    # The published program shuffles once and repeats the same batches in every epoch. Here each pass has an
    # order of its own.
    shape = (_BLOCK_STEPS, batch_size)
    first = block * _BLOCK_STEPS * batch_size
    rows = shuffled_rows(len(data.windows), first, _BLOCK_STEPS * batch_size, data.stream).reshape(shape)
    rng = generator(child(data.stream, "noise", block))
    noise = rng.standard_normal((_BLOCK_STEPS, 2, batch_size, NOISE_SIZE), dtype=np.float32)
    values = (data.windows[rows], data.condition[rows], noise[:, 0], noise[:, 1])
    return Batches(*map(tf.constant, values))


def _numbers(players: Players) -> Trained:
    return Trained(*([value.numpy() for value in network] for network in players[:2]))


def _better(best: Best, parameters: Sequence[tf.Tensor], data: Data, settings: CGANSettings) -> Best:
    """The better of two generators: its two-sample score by 2-nearest neighbours is nearer to 0.5.

    The published criterion, on training windows.
    """
    # The same noise and rows for each comparison: otherwise a lucky choice of rows would decide.
    rng = generator(child(data.stream, "selection"))
    noise = rng.standard_normal((_SELECTION_ROWS, NOISE_SIZE), dtype=np.float32)
    condition = rng.choice(data.condition, _SELECTION_ROWS)
    synthetic = sampler(settings.leaky_slope, settings.output)(parameters, noise, condition).numpy()
    score = two_sample_score(data.windows, synthetic, child(data.stream, "rows"), _SELECTION_NEIGHBOURS)
    if abs(float(best.score) - 0.5) <= abs(score - 0.5):
        return best
    return Best(np.array(score), [value.numpy() for value in parameters])
