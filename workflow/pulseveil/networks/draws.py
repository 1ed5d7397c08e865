"""Keyed random draws for compiled programs: a seed `(2) int32` decides them, and nothing is stored.

The generator is always named: TensorFlow's default choice is some hundred times slower inside XLA on a CPU
(measured: 430 ns a number against 3 ns).
"""

from __future__ import annotations

import math

import tensorflow as tf

_ALGORITHM = "philox"


def child_seed(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """The `number`-th independent child of `seed (2)`."""
    return tf.random.experimental.stateless_fold_in(seed, number, alg=_ALGORITHM)


def normal(shape: tuple[int | tf.Tensor, ...], seed: tf.Tensor) -> tf.Tensor:
    """Standard normal values of `shape`, float32."""
    return tf.random.stateless_normal(shape, seed, alg=_ALGORITHM)


def uniform(shape: tuple[int | tf.Tensor, ...], seed: tf.Tensor) -> tf.Tensor:
    """Values of `shape`, uniform in [0, 1), float32."""
    return tf.random.stateless_uniform(shape, seed, alg=_ALGORITHM)


def happens(probability: float, shape: tuple[int, ...], seed: tf.Tensor) -> tf.Tensor:
    """Independent events of the given probability: bool, of a static `shape`.

    A keyed hash of the position (two rounds of multiply and xorshift, the "lowbias32" mixer of C. Wellons,
    2018) instead of a random generator: XLA fuses it into what uses it, at a tenth of the cost. Good enough
    for masks; not for noise that must keep a secret.
    """
    position = tf.bitcast(tf.range(math.prod(shape)), tf.uint32)
    first, second = tf.unstack(tf.bitcast(seed, tf.uint32))
    bits = _mixed(_mixed(position ^ first) + second)
    return tf.reshape(bits, shape) < tf.constant(round(probability * 2**32), tf.uint32)


def _mixed(bits: tf.Tensor) -> tf.Tensor:
    """A bijection of uint32 under which each input bit flips each output bit with probability 1/2."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        bits = (bits ^ _right(bits, shift)) * tf.constant(factor, tf.uint32)
    return bits ^ _right(bits, 16)


def _right(bits: tf.Tensor, shift: int) -> tf.Tensor:
    return tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint32))
