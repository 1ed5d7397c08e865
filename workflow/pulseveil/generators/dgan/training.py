"""Training of DGAN without a budget: compiled passes over the windows, and the random numbers of each block.

Each model has its own windows and random numbers, which do not depend on other models in the same program.
Models in one program have equally many rows: the last batch of a pass holds the remainder, and its size is
part of the compiled program.
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
from pulseveil.generators.dgan import DGANSettings, steps
from pulseveil.generators.dgan.networks import GENERATOR_PARAMETERS, Shape
from pulseveil.generators.dgan.steps import LOSSES, DGANAdversaries, Objective, Rows
from pulseveil.generators.examples import shuffled_rows
from pulseveil.networks import loop
from pulseveil.networks.adversaries import Players
from pulseveil.networks.loop import Block

NamedWeights = dict[str, NDArray[np.float32]]

_BLOCK_PASSES = 50


class Examples(NamedTuple):
    """Signals (n, time, signals) in [0, 1] of the training windows, and codes (n, k) of the conditions."""

    signals: NDArray[np.float32]
    codes: NDArray[np.float32]


class Data(NamedTuple):
    """Examples of one model, and the random stream of its training."""

    examples: Examples
    stream: Stream


class Draws(NamedTuple):
    """Random numbers of several passes over n windows.

    order (passes, n) int32: order of the rows in each pass. noise (passes, n, steps, p): standard normal.
    interpolation (passes, n): uniform on [0, 1), see `adversaries.Synthetic`. Models side by side have an
    axis of models after the passes.
    """

    order: tf.Tensor
    noise: tf.Tensor
    interpolation: tf.Tensor


Program = Callable[[Players, Rows, Draws, tf.Tensor], tuple[Players, tf.Tensor]]


def train(
    settings: DGANSettings, models: Sequence[Data], checkpoint: Checkpoint | None
) -> list[NamedWeights]:
    """Train one generator per item of `models`; continues from the state in `checkpoint`, if any.

    Models with equally many windows train side by side, one such group after the other: untested on a GPU, no
    gain on a CPU (tests/benchmarks/gpu.py). A step of `checkpoint` is one pass of a group over its windows.

    Returns:
        The parameters of each generator by name.
    """
    sizes = [len(model.examples.signals) for model in models]
    groups = {
        f"{size} windows": [i for i, other in enumerate(sizes) if other == size]
        for size in dict.fromkeys(sizes)
    }
    starts = [_start(settings, model) for model in models]
    rows = {
        key: loop.side_by_side([_rows(models[i].examples) for i in members])
        for key, members in groups.items()
    }

    def advance(block: Block, state: Players) -> tuple[Players, loop.Losses]:
        members = [models[i] for i in groups[block.key]]
        n, shape = len(members[0].examples.signals), shape_of(settings, members[0].examples)
        # At most n: a larger batch would never be full, and the mean loss of no full batches is not a number.
        run = program(objective_of(settings), min(settings.batch_size, n))
        drawn = [draw_passes(n, shape, block.number, model.stream) for model in members]
        draws, count = loop.side_by_side(drawn, axis=1), tf.constant(block.last - block.first)
        state, losses = run(state, rows[block.key], draws, count)
        return state, dict(zip(LOSSES, losses, strict=True))

    states = {key: loop.side_by_side([starts[i] for i in members]) for key, members in groups.items()}
    blocks = loop.blocks(groups, {"pass": settings.epochs}, _BLOCK_PASSES)
    states = loop.train("dgan", states, blocks, advance, checkpoint)
    trained = {
        i: state.generator
        for key, members in groups.items()
        for i, state in zip(members, loop.each(states[key], len(members)), strict=True)
    }
    return [
        {name: value.numpy() for name, value in zip(GENERATOR_PARAMETERS, trained[i], strict=True)}
        for i in range(len(models))
    ]


@lru_cache(maxsize=16)
def program(objective: Objective, batch_size: int) -> Program:
    """Compiled `(players, rows, draws, count) -> (players, mean LOSSES)` of the first `count` passes.

    Losses of several models are (3, models).
    """

    # A smaller last batch, as published, instead of a padded one: the program holds a step of either size and
    # is compiled once per number of rows.

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def run(players: Players, rows: Rows, draws: Draws, count: tf.Tensor) -> tuple[Players, tf.Tensor]:
        def each_pass(players: Players, *drawn: tf.Tensor) -> tuple[Players, tf.Tensor]:
            return one_pass(objective, batch_size, players, rows, Draws(*drawn))

        _, *side_by_side, _ = draws.order.shape
        return loop.repeat(each_pass, players, draws, count, tf.zeros((len(LOSSES), *side_by_side)))

    return run  # type: ignore[no-any-return]


def one_pass(
    objective: Objective, batch_size: int, state: Players, rows: Rows, draws: Draws
) -> tuple[Players, tf.Tensor]:
    """One pass over all rows in batches, by the `draws` of one pass; state, and mean LOSSES (3) of a step."""
    *models, n = draws.order.shape
    full, rest = divmod(n, batch_size)

    def batch(state: Players, *drawn: tf.Tensor) -> tuple[Players, tf.Tensor]:
        return _batch(objective, state, rows, Draws(*drawn))

    batches = [_in_batches(values, models, full, batch_size) for values in draws]
    state, losses = loop.repeat(batch, state, batches, full, tf.zeros((len(LOSSES), *models)))
    if not rest:
        return state, losses
    state, of_rest = batch(state, *(_taken(values, models, slice(-rest, None)) for values in draws))
    return state, (full * losses + of_rest) / (full + 1)


def objective_of(settings: DGANSettings) -> Objective:
    """The part of the settings that is compiled into the program."""
    return Objective(**{name: getattr(settings, name) for name in Objective._fields})


def private_adversaries(settings: DGANSettings, examples: Examples) -> DGANAdversaries:
    """Networks and losses of a private training on examples of the same shapes as `examples`."""
    private, shape = settings.private, shape_of(settings, examples)
    return DGANAdversaries(
        objective_of(settings)._replace(learning_rate=private.learning_rate),
        shape._replace(discriminator_units=max(1, shape.discriminator_units // private.width_divisor)),
    )


def shape_of(settings: DGANSettings, examples: Examples) -> Shape:
    """Sizes of the networks that learn `examples`."""
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
    interpolation = generator(child(stream, "interpolation", block))
    return Draws(
        tf.constant(order.reshape(size), tf.int32),
        tf.constant(noise.standard_normal((*size, shape.steps, shape.noise), dtype=np.float32)),
        tf.constant(interpolation.random(size, dtype=np.float32)),
    )


def _rows(examples: Examples) -> Rows:
    """The examples with flat windows."""
    n = len(examples.signals)
    return Rows(tf.constant(examples.signals.reshape(n, -1)), tf.constant(examples.codes))


def _start(settings: DGANSettings, model: Data) -> Players:
    """The state of a model before its first step."""
    return steps.start(generator(child(model.stream, "parameters")), shape_of(settings, model.examples))


def _batch(objective: Objective, state: Players, rows: Rows, draws: Draws) -> tuple[Players, tf.Tensor]:
    """One step by the `draws` of one batch; state and LOSSES (3)."""
    models = len(draws.order.shape) - 1
    own = Rows(*(tf.gather(values, draws.order, batch_dims=models) for values in rows))
    return steps.step(objective, state, own, draws.noise, draws.interpolation)


def _in_batches(values: tf.Tensor, models: Sequence[int], batches: int, batch_size: int) -> tf.Tensor:
    """The first rows of values (n, ...) as (batches, batch_size, ...); models come after the batches."""
    first = _taken(values, models, slice(batches * batch_size))
    parted = tf.reshape(first, (*models, batches, batch_size, *values.shape[len(models) + 1 :]))
    return tf.transpose(parted, (1, 0, *range(2, len(parted.shape)))) if models else parted


def _taken(values: tf.Tensor, models: Sequence[int], rows: slice) -> tf.Tensor:
    """The slice `rows` of values (n, ...), behind the axis of models if there is one."""
    return values[:, rows] if models else values[rows]
