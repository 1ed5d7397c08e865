"""Trainings of DGAN from first parameters to last: random numbers, checkpoints; what a private one needs.

Models train alone or side by side; each has its own windows and random numbers, which do not depend on its
company. Imports TensorFlow, so `dgan` imports this module only where it trains.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.checkpoints import Checkpoint
from pulseveil.generators.dgan import DGANSettings
from pulseveil.generators.passes import shuffled_rows
from pulseveil.networks import dgan_training
from pulseveil.networks.adversaries import Players, side_by_side
from pulseveil.networks.dgan import GENERATOR_PARAMETERS, Shape
from pulseveil.networks.dgan_adversaries import DGANAdversaries
from pulseveil.networks.dgan_training import (
    LOSSES,
    Draws,
    Objective,
    Rows,
    draws_side_by_side,
    rows_side_by_side,
)
from pulseveil.networks.states import from_arrays, to_arrays
from pulseveil.randomness import Stream, child, generator

logger = logging.getLogger(__name__)

Parameters = dict[str, NDArray[np.float32]]

_BLOCK_PASSES = 50  # passes in one call of the compiled program, and in one draw of random numbers
_PROGRESS_LINES = 20


class Examples(NamedTuple):
    """What a training sees: signals (n, time, signals) in [0, 1] and codes (n, k) that networks are told."""

    signals: NDArray[np.float32]
    codes: NDArray[np.float32]


class Data(NamedTuple):
    """What a model learns, and its training's stream of random numbers."""

    examples: Examples
    stream: Stream


class _Group(NamedTuple):
    """Models with equally many windows, which train side by side: their places among all, and all rows."""

    places: list[int]
    models: list[Data]
    rows: Rows


def train(settings: DGANSettings, models: Sequence[Data], checkpoint: Checkpoint | None) -> list[Parameters]:
    """The trained generators' parameters by name, one a model; continues from `checkpoint` where it can.

    Models with equally many windows train side by side, and one such group after the other. A step of
    `checkpoint` is a pass of a group over its windows. All random numbers are keyed by the pass of the
    model's own training, so interruptions change nothing.
    """
    groups = _groups(models)
    starts = [_start(settings, group.models) for group in groups]
    done, states = _restored(starts, settings.epochs, checkpoint)
    while done < len(groups) * settings.epochs:
        number, first = divmod(done, settings.epochs)
        states[number], last = _train_block(settings, groups[number], states[number], first)
        before, done = done, number * settings.epochs + last
        if checkpoint is not None:
            checkpoint.keep(before, done, partial(to_arrays, _kept(states, number)))
    trained = {
        place: parameters
        for group, state in zip(groups, states, strict=True)
        for place, parameters in zip(group.places, _each(state, len(group.places)), strict=True)
    }
    return [trained[place] for place in range(len(models))]


def _groups(models: Sequence[Data]) -> list[_Group]:
    sizes = [len(model.examples.signals) for model in models]
    groups = []
    for size in dict.fromkeys(sizes):
        places = [place for place, other in enumerate(sizes) if other == size]
        own = [models[place] for place in places]
        groups.append(_Group(places, own, rows_side_by_side([_rows(model.examples) for model in own])))
    return groups


def _rows(examples: Examples) -> Rows:
    n = len(examples.signals)
    return Rows(tf.constant(examples.signals.reshape(n, -1)), tf.constant(examples.codes))


def _start(settings: DGANSettings, models: Sequence[Data]) -> Players:
    """The state of models side by side before their first step."""
    return side_by_side(
        [
            dgan_training.start(generator(child(stream, "parameters")), shape_of(settings, examples))
            for examples, stream in models
        ]
    )


def _train_block(settings: DGANSettings, group: _Group, state: Players, first: int) -> tuple[Players, int]:
    """The state after the passes from `first` to the end of its block, and how many passes are then done."""
    n, shape = len(group.models[0].examples.signals), shape_of(settings, group.models[0].examples)
    run = dgan_training.program(objective_of(settings), min(settings.batch_size, n))
    block = first // _BLOCK_PASSES
    draws = draws_side_by_side([draw_passes(n, shape, block, model.stream) for model in group.models])
    last = min((block + 1) * _BLOCK_PASSES, settings.epochs)
    begin, end = (tf.constant(number - block * _BLOCK_PASSES) for number in (first, last))
    state, losses = run(state, group.rows, draws, begin, end)
    _report(first, last, settings.epochs, losses)
    return state, last


def _each(state: Players, models: int) -> list[Parameters]:
    """The generator's parameters of each model by name."""
    values = [value.numpy() for value in state.generator]
    each = [values] if models == 1 else zip(*values, strict=True)
    return [dict(zip(GENERATOR_PARAMETERS, own, strict=True)) for own in each]


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


def _kept(states: Sequence[Players], number: int) -> tuple[list[list[tf.Tensor]], Players]:
    """What a checkpoint keeps while group `number` trains: its state, and earlier groups' generators."""
    return [state.generator for state in states[:number]], states[number]


def _restored(states: list[Players], epochs: int, checkpoint: Checkpoint | None) -> tuple[int, list[Players]]:
    """Passes done by all groups together, and their states."""
    stored = checkpoint.load() if checkpoint is not None else None
    if stored is None:
        return 0, states
    logger.info("dgan: continue after pass %d", stored.step)
    number = min((stored.step - 1) // epochs, len(states) - 1)
    generators, state = from_arrays(_kept(states, number), stored.arrays)
    finished = [own._replace(generator=values) for own, values in zip(states, generators, strict=False)]
    return stored.step, [*finished, state, *states[number + 1 :]]


def _report(before: int, done: int, epochs: int, losses: tf.Tensor) -> None:
    """Log each model's mean losses in a block some twenty times a training."""
    if done * _PROGRESS_LINES // epochs > before * _PROGRESS_LINES // epochs:
        for values in losses.numpy().reshape(len(LOSSES), -1).T:
            named = ", ".join(f"{name} {value:.3f}" for name, value in zip(LOSSES, values, strict=True))
            logger.info("dgan: pass %d of %d, losses: %s", done, epochs, named)
