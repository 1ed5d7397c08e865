"""A training of TimeGANs from first parameters to last: random numbers, phases, checkpoints.

Imports TensorFlow, so `timegan` imports this module only where it trains.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
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

_BLOCK_STEPS = 50  # steps in one call of the compiled program, and in one draw of random numbers
_PROGRESS_LINES = 20  # in each phase


class Block(NamedTuple):
    """The `number`-th block of a model's phase: steps `first`..`last` - 1; then `done` are done in all."""

    model: str
    phase: Phase
    number: int
    first: int
    last: int
    done: int


def train(
    settings: TimeGANSettings,
    windows: Mapping[str, NDArray[np.float32]],
    stream: Stream,
    checkpoint: Checkpoint | None,
) -> dict[str, NDArray[np.float32]]:
    """Parameters (models, ...) of the sampling networks by name; each model learns its `windows` in [0, 1].

    Continues from `checkpoint` where it holds a state. All random numbers are keyed by model, phase and step,
    so interruptions change nothing.
    """
    sizes = {"hidden": settings.hidden, "depth": settings.layers}
    states = {
        name: timegan_training.start(
            generator(child(stream, name, "parameters")), channels=rows.shape[2], **sizes
        )
        for name, rows in windows.items()
    }
    done, states = _restored(states, checkpoint)
    for block in _blocks(settings, windows):
        if block.done <= done:
            continue
        before, done = done, block.done
        states[block.model] = _run(block, settings, states[block.model], windows[block.model], stream)
        if checkpoint is not None:
            checkpoint.keep(before, done, partial(to_arrays, states))
    for name, rows in windows.items():
        _look_at_diversity(name, states[name], rows, child(stream, name, "diversity"))
    return _sampling_parameters(settings, list(states.values()))


def _blocks(settings: TimeGANSettings, models: Mapping[str, object]) -> Iterator[Block]:
    """All blocks of a training in order: model by model, phase by phase."""
    done = 0
    for model in models:
        for phase in get_args(Phase):
            steps = getattr(settings, f"{phase}_steps")
            for number, first in enumerate(range(0, steps, _BLOCK_STEPS)):
                last = min(first + _BLOCK_STEPS, steps)
                done += last - first
                yield Block(model, phase, number, first, last, done)


def _run(
    block: Block, settings: TimeGANSettings, state: State, windows: NDArray[np.float32], stream: Stream
) -> State:
    """The state after the steps of a block."""
    if block.first == 0:
        state = timegan_training.start_phase(state)
    own = child(stream, block.model, block.phase)
    batches = draw_batches(windows, own, block.phase, block.number, settings.batch_size)
    program = timegan_training.program(block.phase, settings.learning_rate)
    state, losses = program(state, batches, tf.constant(block.last - block.first))
    _report(block, getattr(settings, f"{block.phase}_steps"), losses)
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


def _report(block: Block, steps: int, losses: tf.Tensor) -> None:
    """Log a block's mean losses some twenty times a phase."""
    if block.last * _PROGRESS_LINES // steps > block.first * _PROGRESS_LINES // steps:
        values = zip(LOSSES[block.phase], losses.numpy(), strict=True)
        named = ", ".join(f"{name} {value:.3f}" for name, value in values)
        logger.info(
            "timegan: %s, %s step %d of %d, losses: %s", block.model, block.phase, block.last, steps, named
        )


def _look_at_diversity(name: str, state: State, windows: NDArray[np.float32], stream: Stream) -> None:
    """Warn where a model's windows are all nearly the same one."""
    shape = (ROWS, *windows.shape[1:])
    noise = generator(child(stream, "noise")).standard_normal(shape, dtype=np.float32)
    networks = [getattr(state, network).parameters for network in timegan.SAMPLING_NETWORKS]
    made = timegan.sampler()(networks, noise).numpy()
    warn_of_collapse(f"timegan: {name}", made, windows, stream)


def _sampling_parameters(settings: TimeGANSettings, states: list[State]) -> dict[str, NDArray[np.float32]]:
    return {
        name: np.stack([getattr(state, network).parameters[i].numpy() for state in states])
        for network in timegan.SAMPLING_NETWORKS
        for i, name in enumerate(timegan.parameter_names(network, settings.layers))
    }
