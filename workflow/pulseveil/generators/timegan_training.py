"""A training of TimeGANs from first parameters to last: random numbers, phases, checkpoints.

Models train alone, one after the other, or side by side; each has its own windows and random numbers, which
do not depend on its company. Imports TensorFlow, so `timegan` imports this module only where it trains.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, get_args

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.checkpoints import Checkpoint
from pulseveil.generators.diversity import ROWS, warn_of_collapse
from pulseveil.generators.passes import shuffled_rows
from pulseveil.generators.timegan import TimeGANSettings
from pulseveil.networks import timegan, timegan_training
from pulseveil.networks.states import from_arrays, to_arrays
from pulseveil.networks.timegan_training import DRAWS, LOSSES, Batches, Phase, State
from pulseveil.randomness import Stream, child, generator

logger = logging.getLogger(__name__)

Parameters = dict[str, NDArray[np.float32]]

_BLOCK_STEPS = 50  # steps in one call of the compiled program, and in one draw of random numbers
_PROGRESS_LINES = 20  # in each phase


class Data(NamedTuple):
    """A model's name, its windows (n, time, channels) in [0, 1], and its stream of random numbers."""

    name: str
    windows: NDArray[np.float32]
    stream: Stream


class Block(NamedTuple):
    """The `number`-th block of a phase: steps `first`..`last` - 1; then `done` are done in all.

    model: the key of those that train side by side, which may be a single one.
    """

    model: str
    phase: Phase
    number: int
    first: int
    last: int
    done: int


def train(
    settings: TimeGANSettings, models: Mapping[str, Sequence[Data]], checkpoint: Checkpoint | None
) -> list[Parameters]:
    """Parameters of each model's sampling networks by name.

    The models of one value of `models` train side by side, one value after the other. Continues from
    `checkpoint` where it holds a state. All random numbers are keyed by phase and step in a model's stream,
    so interruptions change nothing.
    """
    starts = {
        key: timegan_training.side_by_side([_start(settings, model) for model in together])
        for key, together in models.items()
    }
    done, states = _restored(starts, checkpoint)
    for block in _blocks(settings, models):
        if block.done <= done:
            continue
        before, done = done, block.done
        states[block.model] = _run(block, settings, states[block.model], models[block.model])
        if checkpoint is not None:
            checkpoint.keep(before, done, partial(to_arrays, states))
    trained = []
    for key, together in models.items():
        for model, state in zip(together, timegan_training.each(states[key], len(together)), strict=True):
            _look_at_diversity(model.name, state, model.windows, child(model.stream, "diversity"))
            trained.append(_sampling_parameters(settings, state))
    return trained


def _start(settings: TimeGANSettings, model: Data) -> State:
    """The state of a model before its first step."""
    rng, channels = generator(child(model.stream, "parameters")), model.windows.shape[2]
    return timegan_training.start(rng, channels=channels, hidden=settings.hidden, depth=settings.layers)


def _blocks(settings: TimeGANSettings, models: Iterable[str]) -> Iterator[Block]:
    """All blocks of a training in order: key by key of `models`, phase by phase."""
    done = 0
    for model in models:
        for phase in get_args(Phase):
            steps = getattr(settings, f"{phase}_steps")
            for number, first in enumerate(range(0, steps, _BLOCK_STEPS)):
                last = min(first + _BLOCK_STEPS, steps)
                done += last - first
                yield Block(model, phase, number, first, last, done)


def _run(block: Block, settings: TimeGANSettings, state: State, models: Sequence[Data]) -> State:
    """The state of `models` after the steps of a block."""
    if block.first == 0:
        state = timegan_training.start_phase(state)
    drawn = [
        draw_batches(
            model.windows, child(model.stream, block.phase), block.phase, block.number, settings.batch_size
        )
        for model in models
    ]
    batches = timegan_training.batches_side_by_side(drawn)
    run = timegan_training.program(block.phase, settings.learning_rate)
    state, losses = run(state, batches, tf.constant(block.last - block.first))
    _report(block, getattr(settings, f"{block.phase}_steps"), losses, models)
    return state


def draw_batches(
    windows: NDArray[np.float32], stream: Stream, phase: Phase, block: int, batch_size: int
) -> Batches:
    """Inputs of a block's steps: windows in passes over freshly shuffled rows, and the phase's noise."""
    draws = DRAWS[phase]
    count = _BLOCK_STEPS * draws * batch_size
    rows = shuffled_rows(len(windows), block * count, count, stream)
    drawn = windows[rows].reshape(_BLOCK_STEPS, draws, batch_size, *windows.shape[1:])
    shape = (_BLOCK_STEPS, draws if phase == "joint" else 0, *drawn.shape[2:])
    noise = generator(child(stream, "noise", block)).standard_normal(shape, dtype=np.float32)
    return Batches(tf.constant(drawn), tf.constant(noise))


def _restored(states: dict[str, State], checkpoint: Checkpoint | None) -> tuple[int, dict[str, State]]:
    stored = checkpoint.load() if checkpoint is not None else None
    if stored is None:
        return 0, states
    logger.info("timegan: continue after step %d of all phases and models", stored.step)
    return stored.step, from_arrays(states, stored.arrays)


def _report(block: Block, steps: int, losses: tf.Tensor, models: Sequence[Data]) -> None:
    """Log each model's mean losses of a block some twenty times a phase."""
    if block.last * _PROGRESS_LINES // steps == block.first * _PROGRESS_LINES // steps:
        return
    for model, own in zip(models, losses.numpy().reshape(len(losses), -1).T, strict=True):
        values = zip(LOSSES[block.phase], own, strict=True)
        named = ", ".join(f"{name} {value:.3f}" for name, value in values)
        logger.info(
            "timegan: %s, %s step %d of %d, losses: %s", model.name, block.phase, block.last, steps, named
        )


def _look_at_diversity(name: str, state: State, windows: NDArray[np.float32], stream: Stream) -> None:
    """Warn where a model's windows are all nearly the same one."""
    shape = (ROWS, *windows.shape[1:])
    noise = generator(child(stream, "noise")).standard_normal(shape, dtype=np.float32)
    networks = [getattr(state, network).parameters for network in timegan.SAMPLING_NETWORKS]
    made = timegan.sampler()(networks, noise).numpy()
    warn_of_collapse(f"timegan: {name}", made, windows, stream)


def _sampling_parameters(settings: TimeGANSettings, state: State) -> Parameters:
    return {
        name: getattr(state, network).parameters[i].numpy()
        for network in timegan.SAMPLING_NETWORKS
        for i, name in enumerate(timegan.parameter_names(network, settings.layers))
    }
