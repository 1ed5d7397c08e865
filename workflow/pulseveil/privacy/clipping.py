"""Sums of exactly clipped records, and their noise: what every private network training is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from pulseveil.networks.per_example import Note, record_gradients
from pulseveil.privacy.normals import standard_normals

# Clipped norms stay below the clip norm in spite of rounding.
_SLACK = 1e-6


def clipped_sum(
    losses: Callable[[Note], tf.Tensor],
    parameters: Sequence[tf.Tensor],
    *,
    present: tf.Tensor,
    clip_norm: tf.Tensor | float,
) -> list[tf.Tensor]:
    """Sum of the records' gradients, each clipped to L2 norm `clip_norm`: shaped as the parameters.

    `losses(note)` are the losses of the rows of a batch, equally many for each record and next to each other;
    present (records) is 1 for a record and 0 for padding, which adds nothing. A record whose gradient is not
    finite counts as zero. Raises InputError for a network that mixes records.
    """
    gradients = record_gradients(losses, parameters, present.shape[0])
    norms = tf.sqrt(gradients.squared_norms())
    finite = tf.math.is_finite(norms)
    weights = tf.where(finite, present * tf.minimum(1.0, clip_norm * (1 - _SLACK) / norms), 0.0)
    clipped: list[tf.Tensor] = tf.cond(
        tf.reduce_all(finite),
        lambda: gradients.weighted_sum(weights),
        # Zero times infinity is not zero: what is not finite is taken out before the sum.
        lambda: gradients.without(finite).weighted_sum(weights),
    )
    return clipped


def add_noise(
    sums: Sequence[tf.Tensor], seeds: tf.Tensor, deviation: tf.Tensor | float
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """`sums` plus independent normals of a standard deviation; and 1, or 0 where no noise came.

    seeds (number of sums, 2) int32: never use them with other sums.
    """
    noise = [deviation * standard_normals(value.shape, seeds[i]) for i, value in enumerate(sums)]
    came = tf.reduce_any([tf.reshape(value, (-1,))[0] != 0 for value in noise])
    return [value + drawn for value, drawn in zip(sums, noise, strict=True)], tf.cast(came, tf.int32)
