"""Trainings of conditional GANs from first parameters to last: random numbers, checkpoints, selection.

Models of one kind train alone or side by side; each has its own windows and random numbers, which do not
depend on its company. Imports TensorFlow, so `cgan` imports this module only where it trains.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
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
from pulseveil.networks.adversaries import Players, Trained, side_by_side
from pulseveil.networks.gan import NOISE_SIZE, Shape, sampler
from pulseveil.networks.gan_training import Batches, Objective
from pulseveil.networks.states import from_arrays, to_arrays
from pulseveil.quality.two_sample import two_sample_score
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
    settings: CGANSettings, models: Sequence[Data], classes: int, checkpoint: Checkpoint | None
) -> list[Trained]:
    """The trained networks' parameters, a pair a model; continues from `checkpoint` where it holds a state.

    All random numbers are keyed by the step, so interruptions change nothing. A selection keeps generators
    alone: the discriminator is that of the last step.
    """
    objective = objective_of(settings)
    shape = Shape(classes, *models[0].windows.shape[1:])
    starts = [gan_training.start(generator(child(m.stream, "parameters")), objective, shape) for m in models]
    done, state, best = _restored(side_by_side(starts), len(models), checkpoint)
    run = gan_training.program(objective)
    bounds = [np.float32(settings.diversity_bound or typical_diversity(*data)) for data in models]
    bound = tf.constant(_joined(bounds))
    while done < settings.steps:
        block, before = done // _BLOCK_STEPS, done
        drawn = [draw_batches(data, block, settings.batch_size) for data in models]
        batches = gan_training.batches_side_by_side(drawn)
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
