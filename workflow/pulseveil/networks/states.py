"""A training's state, nested tensors of any form, as named arrays and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import tensorflow as tf
from numpy.typing import NDArray

State = TypeVar("State")


def to_arrays(state: Any) -> dict[str, NDArray[Any]]:
    """The state as named arrays."""
    return {f"state_{i:03d}": value.numpy() for i, value in enumerate(tf.nest.flatten(state))}


def from_arrays(like: State, arrays: Mapping[str, NDArray[Any]]) -> State:
    """The state whose `to_arrays` these are; `like` is any state of the same form."""
    leaves = [tf.constant(arrays[f"state_{i:03d}"]) for i in range(len(tf.nest.flatten(like)))]
    restored: State = tf.nest.pack_sequence_as(like, leaves)
    return restored
