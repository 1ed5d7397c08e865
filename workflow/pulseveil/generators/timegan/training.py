"""Training of TimeGAN without a budget: phases in compiled programs, and the random numbers of each block.

Each model has its own windows and random numbers, which do not depend on other models in the same program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, get_args

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.randomness import Stream, child, generator
from pulseveil.generators.examples import ROWS, shuffled_rows, warn_of_collapse
from pulseveil.generators.timegan import TimeGANSettings, steps
from pulseveil.generators.timegan import networks as timegan
from pulseveil.generators.timegan.steps import DRAWS, LOSSES, Phase, State
from pulseveil.networks import loop
from pulseveil.networks.loop import Block

NamedWeights = dict[str, NDArray[np.float32]]

_BLOCK_STEPS = 50


class Data(NamedTuple):
    """Name of a model, its windows (n, time, channels) in [0, 1], and its random stream."""

    name: str
    windows: NDArray[np.float32]
    stream: Stream


class Batches(NamedTuple):
    """Inputs of several steps: windows in [0, 1] and standard normal noise.

    windows (steps, draws, b, time, channels) float32, with `DRAWS` of the phase. noise: the same shape in the
    joint phase, no draws in the other phases. Models side by side have an axis of models after the draws.
    """

    windows: tf.Tensor
    noise: tf.Tensor


Program = Callable[[State, Batches, tf.Tensor], tuple[State, tf.Tensor]]


def train(
    settings: TimeGANSettings, models: Mapping[str, Sequence[Data]], checkpoint: Checkpoint | None
) -> list[NamedWeights]:
    """Train all models; continues from the state in `checkpoint`, if any. Warns of mode collapse.

    models: groups by key. The models of a group train side by side, one group after the other.

    Returns:
        The parameters of each model's sampling networks by name, in the order of `models`.
    """

    def advance(block: Block, state: State) -> tuple[State, loop.Losses]:
        phase: Phase = block.phase  # type: ignore[assignment]
        # A stream per phase: with more steps of one phase, the random numbers of the next stay the same.
        drawn = [
            draw_batches(model.windows, child(model.stream, phase), phase, block.number, settings.batch_size)
            for model in models[block.key]
        ]
        batches = loop.side_by_side(drawn, axis=2)
        # Each phase has its own optimizers in the authors' program: averages do not pass to the next phase.
        start = steps.start_phase(state) if block.first == 0 else state
        run = program(phase, settings.learning_rate)
        state, losses = run(start, batches, tf.constant(block.last - block.first))
        return state, dict(zip(LOSSES[phase], losses, strict=True))

    states = {
        key: loop.side_by_side([_start(settings, model) for model in together])
        for key, together in models.items()
    }
    phases = {phase: getattr(settings, f"{phase}_steps") for phase in get_args(Phase)}
    blocks = loop.blocks(models, phases, _BLOCK_STEPS)
    states = loop.train("timegan", states, blocks, advance, checkpoint)
    trained = []
    for key, together in models.items():
        for model, state in zip(together, loop.each(states[key], len(together)), strict=True):
            _warn_of_collapse(model.name, state, model.windows, child(model.stream, "diversity"))
            trained.append(_sampling_parameters(settings, state))
    return trained


@lru_cache(maxsize=12)
def program(phase: Phase, learning_rate: float) -> Program:
    """Compiled `(state, batches, count) -> (state, mean LOSSES of the phase)` of the first `count` steps.

    Losses of several models are (losses, models). Trainings whose batches have equal shapes share one
    compilation.
    """

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def run(state: State, batches: Batches, count: tf.Tensor) -> tuple[State, tf.Tensor]:
        def step(state: State, *batch: tf.Tensor) -> tuple[State, tf.Tensor]:
            return steps.STEPS[phase](learning_rate, state, *map(timegan.inward, batch))

        return loop.repeat(step, state, batches, count, steps.no_losses(len(LOSSES[phase]), state))

    return run  # type: ignore[no-any-return]


def draw_batches(
    windows: NDArray[np.float32], stream: Stream, phase: Phase, block: int, batch_size: int
) -> Batches:
    """Inputs of the steps of a block: windows in passes over freshly shuffled rows, and noise."""
    draws = DRAWS[phase]
    count = _BLOCK_STEPS * draws * batch_size
    rows = shuffled_rows(len(windows), block * count, count, stream)
    drawn = windows[rows].reshape(_BLOCK_STEPS, draws, batch_size, *windows.shape[1:])
    # Noise without draws in the other phases: the compiled programs of all phases take the same arguments.
    shape = (_BLOCK_STEPS, draws if phase == "joint" else 0, *drawn.shape[2:])
    noise = generator(child(stream, "noise", block)).standard_normal(shape, dtype=np.float32)
    return Batches(tf.constant(drawn), tf.constant(noise))


def _start(settings: TimeGANSettings, model: Data) -> State:
    """The state of a model before its first step."""
    rng, channels = generator(child(model.stream, "parameters")), model.windows.shape[2]
    return steps.start(rng, channels=channels, hidden=settings.hidden, depth=settings.layers)


def _warn_of_collapse(name: str, state: State, windows: NDArray[np.float32], stream: Stream) -> None:
    """Warn if the synthetic windows of a model are nearly all alike."""
    shape = (ROWS, *windows.shape[1:])
    noise = generator(child(stream, "noise")).standard_normal(shape, dtype=np.float32)
    networks = [getattr(state, network).parameters for network in timegan.SAMPLING_NETWORKS]
    synthetic = timegan.sampler()(networks, noise).numpy()
    warn_of_collapse(f"timegan: {name}", synthetic, windows, stream)


def _sampling_parameters(settings: TimeGANSettings, state: State) -> NamedWeights:
    """Parameters of the sampling networks by name: embedder and discriminator are not kept."""
    return {
        name: getattr(state, network).parameters[i].numpy()
        for network in timegan.SAMPLING_NETWORKS
        for i, name in enumerate(timegan.parameter_names(network, settings.layers))
    }
