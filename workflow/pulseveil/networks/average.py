"""Exponential moving average of a network's parameters over the steps of its training.

The parameters of one step wander about; their average is steadier (Polyak and Juditsky 1992). Source of the
average for GANs: Yazici et al. 2019, arXiv:1806.04498.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from pulseveil.networks.adam import by_model


def update(
    average: Sequence[tf.Tensor], parameters: Sequence[tf.Tensor], weight: float, done: tf.Tensor
) -> list[tf.Tensor]:
    """The average after one more step, whose `parameters` have the shapes of `average`.

    Args:
        weight: of the past, on [0, 1).
        done: number of steps before this one: a scalar, or (models) of models side by side.

    Examples:
        >>> first = update([tf.constant([1.0])], [tf.constant([11.0])], 0.9, tf.constant(0))
        >>> later = update([tf.constant([1.0])], [tf.constant([11.0])], 0.9, tf.constant(1000))
        >>> first[0].numpy().round(3).tolist(), later[0].numpy().round(3).tolist()
        ([10.0], [2.0])
    """
    steps = tf.cast(done, tf.float32)
    # At first a shorter memory: the initial parameters would weigh long in the average.
    kept = tf.minimum(weight, (1 + steps) / (10 + steps))
    return [
        by_model(kept, old) * old + by_model(1 - kept, old) * new
        for old, new in zip(average, parameters, strict=True)
    ]
