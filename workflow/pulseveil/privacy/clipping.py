"""Sums of exactly clipped records, and their noise: what every private network training is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from pulseveil.networks.per_example import Note, record_gradients
from pulseveil.privacy.normals import standard_normals

# Clipped norms stay below the clip norm in spite of rounding.
SLACK = 1e-6
# The grid's step is the deviation's power of two, divided by this: rounding adds 2e-5 of the noise's variance
# at most. See `normals` for what a finer grid would ask of the noise.
GRID_STEPS = 64
_LOOKED_AT = 8
# Numbers of a sum whose noise no longer fits a core's cache.
_LARGE = 2**17
_LEAST_FLOAT32 = 2.0**-149
_EXPONENT_BITS = 0x7FF0000000000000


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
    weights = tf.where(finite, present * tf.minimum(1.0, clip_norm * (1 - SLACK) / norms), 0.0)
    clipped: list[tf.Tensor] = tf.cond(
        tf.reduce_all(finite),
        lambda: gradients.weighted_sum(weights),
        # Zero times infinity is not zero: what is not finite is taken out before the sum.
        lambda: gradients.without(finite).weighted_sum(weights),
    )
    return clipped


def in_passes(
    one_pass: Callable[[tf.Tensor], list[tf.Tensor]], parameters: Sequence[tf.Tensor], passes: tf.Tensor | int
) -> list[tf.Tensor]:
    """Sum of `one_pass(i)` over i = 0 .. passes - 1, each shaped as the parameters; zero for no passes.

    Clipped sums of parts of a batch add up to that of the batch: parts that fit a core's cache are faster,
    and a draw of any size takes as many of them as it needs.
    """

    def body(i: tf.Tensor, sums: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        return i + 1, [a + b for a, b in zip(sums, one_pass(i), strict=True)]

    zero = [tf.zeros_like(value) for value in parameters]
    total: list[tf.Tensor] = tf.while_loop(lambda i, _: i < passes, body, (tf.constant(0), zero))[1]
    return total


def add_noise(
    sums: Sequence[tf.Tensor], seed: tf.Tensor, deviation: tf.Tensor | float
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """`sums` plus independent normals of a standard deviation, on a public grid; 1, or 0 where no noise came.

    seed (2) int32: never use it with other sums. The noised sums are whole multiples of `grid_step`: what a
    sum's or the noise's own digits could tell is rounded away before anything is computed from them.
    """
    deviation = tf.cast(deviation, tf.float64)
    step, noised, first = grid_step(deviation), list[tf.Tensor](), 0
    for values in _in_loops(sums):
        sizes = [math.prod(value.shape) for value in values]
        noise = deviation * standard_normals(sum(sizes), seed, first)
        for value, part in zip(values, tf.split(noise, sizes), strict=True):
            noisy = tf.cast(value, tf.float64) + tf.reshape(part, value.shape)
            noised.append(_on_grid(noisy, step))
        first += sum(sizes)
    # The first numbers once more: a second use of `noise` would keep it out of the loop that adds it.
    came = tf.reduce_any(deviation * standard_normals(_LOOKED_AT, seed) != 0)
    return noised, tf.cast(came, tf.int32)


def _in_loops(sums: Sequence[tf.Tensor]) -> Iterator[list[tf.Tensor]]:
    """`sums` in order: large ones alone, so that their noise never goes through memory, others together.

    Each part is a loop that XLA compiles; numbers of noise do not depend on the parts.
    """
    small: list[tf.Tensor] = []
    for value in sums:
        if math.prod(value.shape) < _LARGE:
            small.append(value)
            continue
        if small:
            yield small
        small = []
        yield [value]
    if small:
        yield small


def grid_step(deviation: tf.Tensor) -> tf.Tensor:
    """Step of the public grid of sums noised with this deviation (float64): a power of two; 0 for none."""
    exponent = tf.bitcast(deviation, tf.int64) & tf.constant(_EXPONENT_BITS, tf.int64)
    return tf.bitcast(exponent, tf.float64) / GRID_STEPS


def _on_grid(values: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """float64 `values`, rounded to whole multiples of `step`, a power of two, as float32.

    A step of 0, of sums without noise, changes nothing: every float32 number is a multiple of the least one.
    """
    exact = tf.where(step > 0, step, tf.constant(_LEAST_FLOAT32, tf.float64))
    # A product with the power's inverse is exact, and cheaper than a division for each value.
    return tf.cast(tf.round(values * (1 / exact)) * exact, tf.float32)
