"""Adam as a pure function on lists of tensors, and the conversion of a training's state to named arrays.

Source of Adam: Kingma and Ba 2015, arXiv:1412.6980. Defaults are those of Keras.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


class AdamState(NamedTuple):
    """Adam's state: steps done (scalar int32), averages of gradients and of squared gradients.

    The averages have the shapes of the parameters. Models side by side may differ in the number of steps:
    `step` is then (models) int32, for parameters (models, ...).
    """

    step: tf.Tensor
    first: list[tf.Tensor]
    second: list[tf.Tensor]


def start(parameters: Sequence[tf.Tensor]) -> AdamState:
    """Adam's state before the first step."""
    return AdamState(
        tf.constant(0, tf.int32),
        [tf.zeros_like(value) for value in parameters],
        [tf.zeros_like(value) for value in parameters],
    )


def update(
    parameters: Sequence[tf.Tensor],
    gradients: Sequence[tf.Tensor],
    state: AdamState,
    *,
    learning_rate: float | tf.Tensor,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-7,
) -> tuple[list[tf.Tensor], AdamState]:
    """Parameters and state after one step of Adam.

    gradients: shaped as `parameters`. learning_rate: a number, or (models) of models side by side.

    Examples:
        >>> first, gradient = [tf.constant([1.0, 2.0])], [tf.constant([3.0, -4.0])]
        >>> moved, state = update(first, gradient, start(first), learning_rate=0.5)
        >>> moved[0].numpy().round(3).tolist(), int(state.step)
        ([0.5, 2.5], 1)
    """
    step = state.step + 1
    done = tf.cast(step, tf.float32)
    # Both bias corrections in one scalar, as in Keras: epsilon is the "epsilon hat" of Kingma and Ba 2015,
    # section 2.
    rate = learning_rate * tf.sqrt(1 - beta2**done) / (1 - beta1**done)
    first = [m + (g - m) * (1 - beta1) for m, g in zip(state.first, gradients, strict=True)]
    second = [v + (tf.square(g) - v) * (1 - beta2) for v, g in zip(state.second, gradients, strict=True)]
    moved = [
        value - by_model(rate, value) * m / (tf.sqrt(v) + epsilon)
        for value, m, v in zip(parameters, first, second, strict=True)
    ]
    return moved, AdamState(step, first, second)


def by_model(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """`values` (models) with axes of size 1, to broadcast over `like` (models, ...); a scalar unchanged."""
    models = len(values.shape)
    return tf.reshape(values, (*values.shape, *[1] * (len(like.shape) - models))) if models else values


State = TypeVar("State")


def to_arrays(state: Any) -> dict[str, NDArray[Any]]:
    """Arrays of a nested state, named by their position."""
    return {f"state_{i:03d}": np.asarray(value) for i, value in enumerate(tf.nest.flatten(state))}


def from_arrays(like: State, arrays: Mapping[str, NDArray[Any]]) -> State:
    """Nested state from the arrays of `to_arrays`; `like` is any state of the same structure."""
    # Names hold positions only: the structure comes from the program, never from the file.
    leaves = [tf.constant(arrays[f"state_{i:03d}"]) for i in range(len(tf.nest.flatten(like)))]
    restored: State = tf.nest.pack_sequence_as(like, leaves)
    return restored
