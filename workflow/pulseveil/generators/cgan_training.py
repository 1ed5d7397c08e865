"""A training of the conditional GAN from first parameters to last: random numbers, checkpoints, selection.

Imports TensorFlow, so `cgan` imports this module only where it trains.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.checkpoints import Checkpoint
from pulseveil.generators.cgan import CGANSettings
from pulseveil.generators.diversity import typical_diversity
from pulseveil.generators.passes import shuffled_rows
from pulseveil.networks import gan_training
from pulseveil.networks.gan import NOISE_SIZE, Shape, sampler
from pulseveil.networks.gan_training import Batches, Objective, State
from pulseveil.networks.states import from_arrays, to_arrays
from pulseveil.quality import two_sample_score
from pulseveil.randomness import Stream, child, generator

logger = logging.getLogger(__name__)

Parameters = list[NDArray[np.float32]]

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
    parameters: Parameters


def train(
    settings: CGANSettings,
    windows: NDArray[np.float32],
    condition: NDArray[np.int8],
    classes: int,
    stream: Stream,
    checkpoint: Checkpoint | None,
) -> Parameters:
    """The trained generator's parameters; continues from `checkpoint` where it holds a state.

    All random numbers are keyed by the step, so interruptions change nothing.
    """
    data = Data(windows, condition.astype(np.int32), stream)
    objective = objective_of(settings)
    shape = Shape(classes, *windows.shape[1:])
    state = gan_training.start(generator(child(stream, "parameters")), objective, shape)
    done, state, best = _restored(state, checkpoint)
    program = gan_training.program(objective)
    bound = tf.constant(settings.diversity_bound or typical_diversity(*data), tf.float32)
    while done < settings.steps:
        block, before = done // _BLOCK_STEPS, done
        batches = draw_batches(data, block, settings.batch_size)
        done = min((block + 1) * _BLOCK_STEPS, settings.steps)
        first, last = (tf.constant(step - block * _BLOCK_STEPS) for step in (before, done))
        state, losses = program(state, batches, bound, first, last)
        if settings.selection == "two_sample":
            best = _better(best, state, settings, data)
        _report(before, done, settings.steps, losses)
        if checkpoint is not None:
            arrays = partial(_arrays, state, best)
            checkpoint.keep(before, done, arrays)
    return best.parameters if best is not None else [value.numpy() for value in state.generator]


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


def _restored(state: State, checkpoint: Checkpoint | None) -> tuple[int, State, Best | None]:
    stored = checkpoint.load() if checkpoint is not None else None
    if stored is None:
        return 0, state, None
    done, arrays, _ = stored
    best = None
    if "best_score" in arrays:
        parameters = [arrays[f"best_{i:03d}"] for i in range(len(state.generator))]
        best = Best(float(arrays["best_score"]), parameters)
    logger.info("cgan: continue after step %d", done)
    return done, from_arrays(state, arrays), best


def _arrays(state: State, best: Best | None) -> dict[str, NDArray[Any]]:
    arrays = to_arrays(state)
    if best is None:
        return arrays
    named = {f"best_{i:03d}": value for i, value in enumerate(best.parameters)}
    return {**arrays, "best_score": np.array(best.score), **named}


def _better(best: Best | None, state: State, settings: CGANSettings, data: Data) -> Best:
    """The better of two generators: the one whose windows are the harder to tell from training windows.

    The published criterion (two nearest neighbours), with the same noise and rows each time.
    """
    rng = generator(child(data.stream, "selection"))
    noise = rng.standard_normal((_SELECTION_ROWS, NOISE_SIZE), dtype=np.float32)
    condition = rng.choice(data.condition, _SELECTION_ROWS)
    made = sampler(settings.leaky_slope, settings.output)(state.generator, noise, condition).numpy()
    score = two_sample_score(data.windows, made, child(data.stream, "rows"), _SELECTION_NEIGHBOURS)
    if best is not None and abs(best.score - 0.5) <= abs(score - 0.5):
        return best
    return Best(score, [value.numpy() for value in state.generator])


def _report(before: int, done: int, steps: int, losses: tf.Tensor) -> None:
    """Log the losses some twenty times a training."""
    if done * _PROGRESS_LINES // steps > before * _PROGRESS_LINES // steps:
        values = [float(value) for value in losses]
        logger.info("cgan: step %d of %d, losses %.3f %.3f, diversity term %.3f", done, steps, *values)
