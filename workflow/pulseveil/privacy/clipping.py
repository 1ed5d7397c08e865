"""Clipped sums of record gradients, and their noise: the two parts of each private step of a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from pulseveil.networks.per_example import Note, record_gradients
from pulseveil.privacy.normals import standard_normals

# Norms are clipped to this much less than the clip norm: they stay below it in spite of float32 rounding.
SLACK = 1e-6
# The grid's step is the largest power of two in the deviation, divided by this: rounding adds at most 2e-5 of
# the noise's variance. A finer grid would need more bits of noise (see `normals`).
GRID_STEPS = 64
# So many numbers of noise show whether a step was noised.
_CHECKED = 8
# At most so many numbers get their noise at once. XLA compiles the loop of the noise for half a second: once
# for all sums of a network, and not once per sum. Noise and sums of a part stay in a core's cache.
_AT_ONCE = 2**16
_LEAST_FLOAT32 = 2.0**-149
_EXPONENT_BITS = 0x7FF0000000000000


def clipped_sum(
    losses: Callable[[Note], tf.Tensor],
    parameters: Sequence[tf.Tensor],
    *,
    present: tf.Tensor,
    clip_norm: tf.Tensor | float,
) -> list[tf.Tensor]:
    """Sum of per-record gradients, each clipped to L2 norm `clip_norm`: one tensor per parameter.

    A record whose gradient is not finite counts as zero.

    Args:
        losses: from a note of the network's products to the losses (rows) of a batch. All records have
            equally many rows, next to each other.
        present: (records) float32, 1 for a record and 0 for padding, which adds nothing.

    Raises:
        InputError: a layer of the network mixes records.

    Guarantee:
        Replacing one record by zero, with all its rows, changes the sum by less than `clip_norm` in L2 norm,
        over all parameters together. It holds if no row's loss depends on other rows of the batch (see
        `dpsgd.require_separate_records`), up to rounding of float32 sums of some 1e-5 of the clip norm. The
        sum has no noise: it must not leave the step.
    """
    gradients = record_gradients(losses, parameters, present.shape[0])
    # One norm over all parameters and rows: clipping rows or layers one by one would bound another quantity.
    norms = tf.sqrt(gradients.squared_norms())
    finite = tf.math.is_finite(norms)
    weights = tf.where(finite, present * tf.minimum(1.0, clip_norm * (1 - SLACK) / norms), 0.0)
    clipped: list[tf.Tensor] = tf.cond(
        tf.reduce_all(finite),
        lambda: gradients.weighted_sum(weights),
        # A weight of 0 is not enough: zero times infinity is not zero.
        lambda: gradients.without(finite).weighted_sum(weights),
    )
    return clipped


def in_passes(
    one_pass: Callable[[tf.Tensor], list[tf.Tensor]], parameters: Sequence[tf.Tensor], passes: tf.Tensor | int
) -> list[tf.Tensor]:
    """Sum of `one_pass(i)` over i = 0 .. passes - 1, one tensor per parameter; zero for no passes.

    The clipped sums of parts of a batch add up to that of the batch. Parts that fit into a core's cache are
    faster, and a draw of any size takes as many passes as it needs.
    """

    def body(i: tf.Tensor, sums: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        return i + 1, [a + b for a, b in zip(sums, one_pass(i), strict=True)]

    zero = [tf.zeros_like(value) for value in parameters]
    total: list[tf.Tensor] = tf.while_loop(lambda i, _: i < passes, body, (tf.constant(0), zero))[1]
    return total


def add_noise(
    sums: Sequence[tf.Tensor], seed: tf.Tensor, deviation: tf.Tensor | float
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Add independent normal noise of a standard deviation to `sums`, and round to a public grid.

    Args:
        seed: (2) int32. Equal noise on other sums would cancel in a difference: use a seed once.

    Returns:
        The noised sums (float32, whole multiples of `grid_step`), and the number of noised steps (int32): 1,
        or 0 if there was no noise.

    Guarantee:
        On the sums of one `clipped_sum`, with `deviation` = noise multiplier times clip norm, this is one
        Gaussian mechanism. Digits of sums and noise are rounded away before anything is computed from them;
        `normals` bounds what the finite bits of the noise cost. The seed must be secret, as an adversary who
        has it can subtract the noise.
    """
    # In double precision up to the grid: the bound in `normals` includes this addition.
    deviation = tf.cast(deviation, tf.float64)
    step = grid_step(deviation)
    sizes = [math.prod(value.shape) for value in sums]
    # Parts of one size with little left over: the noise of a small network must not cost that of a large one.
    count = -(-sum(sizes) // _AT_ONCE)
    at_once = -(-sum(sizes) // count)
    rest = count * at_once - sum(sizes)
    together = tf.concat([*(tf.reshape(value, (-1,)) for value in sums), tf.zeros(rest)], axis=0)

    def part(i: tf.Tensor, parts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Each number of the seed's sequence serves once: equal noise would cancel.
        noise = deviation * standard_normals(at_once, seed, i * at_once)
        noisy = _on_grid(tf.cast(parts[i], tf.float64) + noise, step)
        return i + 1, tf.tensor_scatter_nd_update(parts, [[i]], noisy[tf.newaxis])

    start = (tf.constant(0), tf.reshape(together, (count, at_once)))
    together = tf.reshape(tf.while_loop(lambda i, _: i < count, part, start)[1], (-1,))
    *own, _ = tf.split(together, [*sizes, rest])
    noised = [tf.reshape(values, value.shape) for values, value in zip(own, sums, strict=True)]
    # The first numbers are computed again: with a second use of `noise`, XLA would not make it in the loop
    # that adds it.
    came = tf.reduce_any(deviation * standard_normals(_CHECKED, seed) != 0)
    return noised, tf.cast(came, tf.int32)


def grid_step(deviation: tf.Tensor) -> tf.Tensor:
    """Step of the public grid for noise of this deviation (float64): a power of two; 0 for deviation 0."""
    # The float's exponent alone: the step depends on public numbers only, and dividing by it is exact.
    exponent = tf.bitcast(deviation, tf.int64) & tf.constant(_EXPONENT_BITS, tf.int64)
    return tf.bitcast(exponent, tf.float64) / GRID_STEPS


def _on_grid(values: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Round float64 `values` to whole multiples of `step`, a power of two, as float32.

    The step is 0 for sums without noise. They stay as they are: each float32 number is a multiple of the
    smallest one.
    """
    exact = tf.where(step > 0, step, tf.constant(_LEAST_FLOAT32, tf.float64))
    # A product with the power's inverse is exact, and cheaper than one division per value.
    return tf.cast(tf.round(values * (1 / exact)) * exact, tf.float32)
