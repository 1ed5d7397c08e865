"""A training of DGAN from first parameters to last: random numbers, checkpoints; what a private one needs.

Imports TensorFlow, so `dgan` imports this module only where it trains.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.checkpoints import Checkpoint
from pulseveil.generators.dgan import DGANSettings
from pulseveil.generators.passes import shuffled_rows
from pulseveil.networks import dgan_training
from pulseveil.networks.adversaries import Players
from pulseveil.networks.dgan import GENERATOR_PARAMETERS, Shape
from pulseveil.networks.dgan_adversaries import DGANAdversaries
from pulseveil.networks.dgan_training import LOSSES, Draws, Objective, Rows
from pulseveil.networks.states import from_arrays, to_arrays
from pulseveil.randomness import Stream, child, generator

logger = logging.getLogger(__name__)

_BLOCK_PASSES = 50  # passes in one call of the compiled program, and in one draw of random numbers
_PROGRESS_LINES = 20


class Examples(NamedTuple):
    """What a training sees: signals (n, time, signals) in [0, 1] and codes (n, k) that networks are told."""

    signals: NDArray[np.float32]
    codes: NDArray[np.float32]


def train(
    settings: DGANSettings, examples: Examples, stream: Stream, checkpoint: Checkpoint | None
) -> dict[str, NDArray[np.float32]]:
    """The trained generator's parameters by name; continues from `checkpoint` where it holds a state.

    A step of `checkpoint` is a pass over the windows. All random numbers are keyed by the pass, so
    interruptions change nothing.
    """
    n, shape = len(examples.signals), shape_of(settings, examples)
    rows = Rows(tf.constant(examples.signals.reshape(n, -1)), tf.constant(examples.codes))
    done, state = _restored(dgan_training.start(generator(child(stream, "parameters")), shape), checkpoint)
    program = dgan_training.program(objective_of(settings), min(settings.batch_size, n))
    while done < settings.epochs:
        block, before = done // _BLOCK_PASSES, done
        draws = draw_passes(n, shape, block, stream)
        done = min((block + 1) * _BLOCK_PASSES, settings.epochs)
        first, last = (tf.constant(number - block * _BLOCK_PASSES) for number in (before, done))
        state, losses = program(state, rows, draws, first, last)
        _report(before, done, settings.epochs, losses)
        if checkpoint is not None:
            checkpoint.keep(before, done, partial(to_arrays, state))
    return dict(zip(GENERATOR_PARAMETERS, (value.numpy() for value in state.generator), strict=True))


def objective_of(settings: DGANSettings) -> Objective:
    """The part of the settings that is compiled into the program."""
    return Objective(**{name: getattr(settings, name) for name in Objective._fields})


def private_adversaries(settings: DGANSettings, examples: Examples) -> DGANAdversaries:
    """The networks and losses of a private training on such examples."""
    private, shape = settings.private, shape_of(settings, examples)
    return DGANAdversaries(
        objective_of(settings)._replace(learning_rate=private.learning_rate),
        shape._replace(discriminator_units=max(1, shape.discriminator_units // private.width_divisor)),
    )


def shape_of(settings: DGANSettings, examples: Examples) -> Shape:
    """The sizes of networks that learn these examples."""
    _, time, signals = examples.signals.shape
    length = settings.sample_length or time
    return Shape(
        steps=time // length,
        values=length * signals,
        codes=examples.codes.shape[1],
        noise=settings.noise,
        units=settings.units,
        discriminator_units=settings.discriminator_units,
        discriminator_layers=settings.discriminator_layers,
    )


def draw_passes(n: int, shape: Shape, block: int, stream: Stream) -> Draws:
    """Random numbers of a block of passes over n windows."""
    order = shuffled_rows(n, block * _BLOCK_PASSES * n, _BLOCK_PASSES * n, stream)
    size = (_BLOCK_PASSES, n)
    noise = generator(child(stream, "noise", block))
    place = generator(child(stream, "place", block))
    return Draws(
        tf.constant(order.reshape(size), tf.int32),
        tf.constant(noise.standard_normal((*size, shape.steps, shape.noise), dtype=np.float32)),
        tf.constant(place.random(size, dtype=np.float32)),
    )


def _restored(state: Players, checkpoint: Checkpoint | None) -> tuple[int, Players]:
    stored = checkpoint.load() if checkpoint is not None else None
    if stored is None:
        return 0, state
    logger.info("dgan: continue after pass %d", stored.step)
    return stored.step, from_arrays(state, stored.arrays)


def _report(before: int, done: int, epochs: int, losses: tf.Tensor) -> None:
    """Log a block's mean losses some twenty times a training."""
    if done * _PROGRESS_LINES // epochs > before * _PROGRESS_LINES // epochs:
        values = zip(LOSSES, losses.numpy(), strict=True)
        named = ", ".join(f"{name} {value:.3f}" for name, value in values)
        logger.info("dgan: pass %d of %d, losses: %s", done, epochs, named)
