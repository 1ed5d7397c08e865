"""Keyed random masks and numbers for compiled programs: functions of a seed `(2) int32`, without a state.

Bits are a keyed hash of their position (two rounds of the "lowbias32" multiply-xorshift mixer, C. Wellons
2018) instead of a random generator. XLA fuses the hash into the code that uses the bits: measured on a CPU,
0.3 ns per value, against 3 ns of Philox and 430 ns of XLA's default generator. The bits are equal in compiled
and plain programs, and on every machine. They serve for dropout and latent values, but not for noise that
must be secret: the hash is not cryptographic.
"""

from __future__ import annotations

import math

import tensorflow as tf


def child_seed(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """Child number `number` of a seed, unrelated to other children.

    seed (..., 2) int32 and number (...) int32 broadcast: one seed with n numbers has n children (n, 2).

    Examples:
        >>> seed = tf.constant([1, 2])
        >>> bool(tf.reduce_all(child_seed(seed, tf.constant([7, 8]))[1] == child_seed(seed, 8)))
        True
    """
    first, second = tf.unstack(tf.bitcast(seed, tf.uint32), axis=-1)
    own = _mixed(_mixed(first ^ tf.cast(number, tf.uint32)) + second)
    return tf.bitcast(tf.stack([own, _mixed(own ^ second)], axis=-1), tf.int32)


def happens(probability: float, shape: tuple[int, ...], seed: tf.Tensor) -> tf.Tensor:
    """Independent events of equal probability: bool, of a static `shape`.

    seed: (2) int32 for the whole shape, or (n, 2) int32 for n equal parts along the first axis. The events of
    a part depend on its own seed alone, and not on the other parts.

    Examples:
        >>> seeds = tf.constant([[1, 2], [3, 4], [5, 6]])
        >>> all_parts, two_parts = happens(0.5, (3, 8), seeds), happens(0.5, (2, 8), seeds[1:])
        >>> bool(tf.reduce_all(all_parts[1:] == two_parts))
        True
    """
    first, second = (value[..., tf.newaxis] for value in tf.unstack(tf.bitcast(seed, tf.uint32), axis=-1))
    parts = seed.shape[0] if len(seed.shape) == 2 else 1
    # Positions within a part: counted through all parts, a row's mask would depend on where the row stands.
    position = tf.bitcast(tf.range(math.prod(shape) // parts), tf.uint32)
    # One round per word of the seed: events depend on all its 64 bits.
    bits = _mixed(_mixed(position ^ first) + second)
    return tf.reshape(bits, shape) < tf.constant(round(probability * 2**32), tf.uint32)


def normals(numbers: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
    """Standard normals (n, size) float32: a row depends on its number (n) int32 and the seed (2) int32 alone.

    Values are quantiles at the middles of 2^23 equal parts of (0, 1). Not for noise that must be secret: an
    adversary can tell so few values from their digits.
    """
    first, second = tf.unstack(tf.bitcast(seed, tf.uint32))
    position = tf.bitcast(numbers[:, tf.newaxis] * size + tf.range(size), tf.uint32)
    # Of 23 bits, as float32 holds each middle exactly: none is rounded to -1 or 1, where erfinv is infinite.
    part = tf.cast(_right(_mixed(_mixed(position ^ first) + second), 9), tf.float32)
    return math.sqrt(2) * tf.math.erfinv((part + 0.5) * 2**-22 - 1)


def _mixed(bits: tf.Tensor) -> tf.Tensor:
    """Bijection of uint32 in which each input bit flips each output bit with a probability near 1/2."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        bits = (bits ^ _right(bits, shift)) * tf.constant(factor, tf.uint32)
    return bits ^ _right(bits, 16)


def _right(bits: tf.Tensor, shift: int) -> tf.Tensor:
    return tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint32))
