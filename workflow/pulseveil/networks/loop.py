"""Loop of a training without noise: blocks of steps, models side by side, messages, checkpoints.

A block is the steps of one call of a compiled program. The random numbers of a block are drawn before the
call, keyed by the block. A training that is interrupted between two blocks therefore ends in the same bits as
an unbroken one. Private trainings use `privacy.resume` instead, as a step that runs twice costs them epsilon.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple, TypeVar

import tensorflow as tf

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.networks.adam import from_arrays, to_arrays

logger = logging.getLogger(__name__)

State = TypeVar("State")
Losses = Mapping[str, tf.Tensor]
"""Mean losses of a block by name: scalars, or (models) for models side by side."""

_SECONDS_BETWEEN_MESSAGES = 10.0


class Block(NamedTuple):
    """Block of steps `first` to `last` - 1, in a phase of `steps` steps.

    key: of the state that the block trains. number: index of the block in its phase, from 0.
    """

    key: str
    phase: str
    number: int
    first: int
    last: int
    steps: int


def blocks(keys: Iterable[str], phases: Mapping[str, int], size: int) -> list[Block]:
    """Blocks of at most `size` steps in order: key by key, phase by phase.

    phases: number of steps by the name of each phase.

    Examples:
        >>> [(block.phase, block.first, block.last) for block in blocks(["a"], {"step": 5}, 2)]
        [('step', 0, 2), ('step', 2, 4), ('step', 4, 5)]
    """
    return [
        Block(key, phase, number, first, min(first + size, steps), steps)
        for key in keys
        for phase, steps in phases.items()
        for number, first in enumerate(range(0, steps, size))
    ]


def train(
    title: str,
    states: Mapping[str, State],
    order: Sequence[Block],
    advance: Callable[[Block, State], tuple[State, Losses]],
    checkpoint: Checkpoint | None,
) -> dict[str, State]:
    """Train the blocks of `order` that follow the last block in `checkpoint`.

    Args:
        title: first word of each message.
        states: states before the first step, by key.
        advance: from a block and the state before it to the state after the block and its losses.

    Returns:
        The states after all blocks, by key.

    Raises:
        Interrupted: a stop was requested; `checkpoint` holds the states.
    """
    # Stored steps count over all blocks: one number then says which blocks are done.
    ends = list(accumulate(block.last - block.first for block in order))
    done, trained = _restored(states, ends, checkpoint)
    if done:
        logger.info("%s: continue after step %d of %d", title, done, ends[-1])
    last_message = time.monotonic()
    for block, end in zip(order, ends, strict=True):
        if end <= done:
            continue
        trained[block.key], losses = advance(block, trained[block.key])
        # The last block of a phase is always reported: its losses are what a reader of the log looks for.
        if block.last == block.steps or time.monotonic() - last_message > _SECONDS_BETWEEN_MESSAGES:
            last_message = time.monotonic()
            _report(title, block, losses)
        if checkpoint is not None:
            checkpoint.keep(end - (block.last - block.first), end, partial(to_arrays, trained))
    return trained


def repeat(
    step: Callable[..., tuple[State, tf.Tensor]],
    state: State,
    inputs: Sequence[tf.Tensor],
    count: tf.Tensor | int,
    losses: tf.Tensor,
) -> tuple[State, tf.Tensor]:
    """State and mean losses after `count` calls of `step(state, *inputs of a step)`, for compiled programs.

    inputs: tensors (steps, ...), of which the first `count` steps are used. A shorter last block needs no
    second compilation. losses: zeros in the shape of a step's losses.
    """

    def body(i: tf.Tensor, state: State, total: tf.Tensor) -> tuple[tf.Tensor, State, tf.Tensor]:
        state, losses = step(state, *(values[i] for values in inputs))
        return i + 1, state, total + losses

    _, state, total = tf.while_loop(lambda i, *_: i < count, body, (tf.constant(0), state, losses))
    return state, total / tf.cast(count, tf.float32)


def side_by_side(models: Sequence[State], axis: int = 0) -> State:
    """Join the nested tensors of several models along a new axis; those of a single model stay as they are.

    Examples:
        >>> joined = side_by_side([tf.constant([1, 2]), tf.constant([3, 4])])
        >>> joined.numpy().tolist(), [own.numpy().tolist() for own in each(joined, models=2)]
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]])
    """
    # Without the axis, products are plain and not batched: XLA compiles plain ones to quicker code.
    if len(models) == 1:
        return models[0]
    joined: State = tf.nest.map_structure(lambda *own: tf.stack(own, axis), *models)
    return joined


def each(joined: State, models: int) -> list[State]:
    """Split the nested tensors of `side_by_side`, joined along the first axis, by their `models`."""
    if models == 1:
        return [joined]
    return [tf.nest.map_structure(lambda values, i=i: values[i], joined) for i in range(models)]


def _restored(
    states: Mapping[str, State], ends: Sequence[int], checkpoint: Checkpoint | None
) -> tuple[int, dict[str, State]]:
    """Number of steps done over all blocks, and the states after these steps."""
    stored = checkpoint.load() if checkpoint is not None else None
    first = dict(states)
    # An older program stored a state of another structure, or one within a block: the training starts over.
    if stored is None or stored.step not in ends or len(stored.arrays) != len(tf.nest.flatten(first)):
        return 0, first
    return stored.step, from_arrays(first, stored.arrays)


def _report(title: str, block: Block, losses: Losses) -> None:
    """Log the mean losses of a block, one message per model."""
    by_model = {name: values.numpy().reshape(-1) for name, values in losses.items()}
    models = max((len(values) for values in by_model.values()), default=1)
    for model in range(models):
        words = [block.key] if block.key else []
        words += [f"model {model + 1} of {models}"] if models > 1 else []
        words += [f"{block.phase} {block.last} of {block.steps}"]
        words += [f"{name} {values[model]:.3f}" for name, values in by_model.items()]
        logger.info("%s: %s", title, ", ".join(words))
