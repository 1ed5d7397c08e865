"""Adam as a pure function on lists of tensors, and a training's state as named arrays and back.

Source of Adam: Kingma and Ba 2015, arXiv:1412.6980; defaults of Keras.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


class AdamState(NamedTuple):
    """Steps done (scalar int32) and the averages of gradients and squared gradients, shaped as parameters.

    Models side by side may each have done other steps: (models) int32, for parameters (models, ...).
    """

    step: tf.Tensor
    first: list[tf.Tensor]
    second: list[tf.Tensor]


def start(parameters: Sequence[tf.Tensor]) -> AdamState:
    """The state before the first step."""
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
    """Parameters and state after one step along `gradients` (same lengths and shapes as `parameters`)."""
    step = state.step + 1
    done = tf.cast(step, tf.float32)
    rate = learning_rate * tf.sqrt(1 - beta2**done) / (1 - beta1**done)
    first = [m + (g - m) * (1 - beta1) for m, g in zip(state.first, gradients, strict=True)]
    second = [v + (tf.square(g) - v) * (1 - beta2) for v, g in zip(state.second, gradients, strict=True)]
    moved = [
        value - by_model(rate, value) * m / (tf.sqrt(v) + epsilon)
        for value, m, v in zip(parameters, first, second, strict=True)
    ]
    return moved, AdamState(step, first, second)


def by_model(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """`values` (models) with the axes that they lack to meet `like` (models, ...); a scalar as it is."""
    models = len(values.shape)
    return tf.reshape(values, (*values.shape, *[1] * (len(like.shape) - models))) if models else values


State = TypeVar("State")


def to_arrays(state: Any) -> dict[str, NDArray[Any]]:
    """The state as named arrays."""
    return {f"state_{i:03d}": np.asarray(value) for i, value in enumerate(tf.nest.flatten(state))}


def from_arrays(like: State, arrays: Mapping[str, NDArray[Any]]) -> State:
    """The state whose `to_arrays` these are; `like` is any state of the same form."""
    leaves = [tf.constant(arrays[f"state_{i:03d}"]) for i in range(len(tf.nest.flatten(like)))]
    restored: State = tf.nest.pack_sequence_as(like, leaves)
    return restored
