"""Layers as pure functions of tensors and parameter lists, with the conventions of Keras.

Every layer tells its `note` where its weights meet the data: `z = a W + b`, where `a` are the rows that meet
the weights (inputs, patches, tokens) and `z` is the pre-activation (`per_example` makes gradients of single
records out of that). Parameter lists have Keras' shapes and order, so weights can be moved between this
module and Keras; `initial` makes them.

The parameters of several models may come side by side: with an axis of models in front of Keras' shapes. The
data then have that axis in front of the shapes below too, and each model meets its own (not so in `conv2d`,
`conv1d_operation`, `max_pool`, `gru` and `batch_moments`). Notes are for single models.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import tensorflow as tf

from pulseveil.networks import draws, recurrence
from pulseveil.networks.per_example import (
    MixesRecords,
    Note,
    Product,
    ScaleAndShift,
    TransposedProduct,
    unnoted,
)

Parameters = Sequence[tf.Tensor]
Result = TypeVar("Result")
Drop = Callable[[tf.Tensor, int], tf.Tensor]


def affine(a: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
    """`a W + b` over the last axis: a (..., p), kernel (p, q), bias (q) -> z (..., q), all with models."""
    *models, features_in, features_out = kernel.shape
    z = tf.linalg.matmul(tf.reshape(a, (*models, -1, features_in)), kernel)
    if bias is not None:
        z = z + bias[..., tf.newaxis, :] if models else tf.nn.bias_add(z, bias)
    return tf.reshape(z, (*_sizes(a)[:-1], features_out))


def dense(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """Dense layer without activation: x (..., p), parameters [kernel (p, q), bias (q)] -> (..., q)."""
    kernel, bias = parameters
    return note(affine(x, kernel, bias), Product((x,), (kernel,), bias))


def transposed(u: tf.Tensor, kernel: tf.Tensor, note: Note = unnoted) -> tf.Tensor:
    """`u W^T`, by which a dense layer hands a gradient back: u (n, q), kernel (p, q) -> (n, p)."""
    return note(tf.linalg.matmul(u, kernel, transpose_b=True), TransposedProduct(u, kernel))


def patches(x: tf.Tensor, width: int) -> tf.Tensor:
    """The `width` neighbours of each position, zero outside: x (..., time, c) -> (..., time, width * c).

    Aligned as Keras' padding "same" at stride 1: (width - 1) // 2 zeros before the first position.
    """
    time = x.shape[-2]
    before = (width - 1) // 2
    padded = tf.pad(x, (*[(0, 0)] * (len(x.shape) - 2), (before, width - 1 - before), (0, 0)))
    return tf.concat([padded[..., offset : offset + time, :] for offset in range(width)], axis=-1)


def conv1d(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """Convolution over time, stride 1, padding "same", without activation, as one matrix product.

    x (n, time, c), parameters [kernel (width, c, q), bias (q)] -> (n, time, q). For XLA on a CPU, where
    TensorFlow's convolution is some twenty times slower than this.
    """
    kernel, bias = parameters
    *models, width, channels, filters = kernel.shape
    unfold = functools.partial(patches, width=width)
    z = affine(unfold(x), tf.reshape(kernel, (*models, width * channels, filters)), bias)
    return note(z, Product((x,), (kernel,), bias, unfold))


def conv1d_operation(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """`conv1d` by TensorFlow's convolution, the faster one in a plain graph, before its bias is added.

    x (n, time, c), parameters as there -> (n, time, q). Who calls adds the bias, together with what follows.
    """
    kernel, bias = parameters
    z = tf.nn.conv1d(x, kernel, stride=1, padding="SAME")
    unfold = functools.partial(patches, width=kernel.shape[0])
    return note(z, Product((x,), (kernel,), bias, unfold, one_by_one=True))


def conv2d(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """Convolution over two axes, stride 1, padding "same", without activation, as one matrix product.

    x (n, height, width, c), parameters [kernel (rows, columns, c, q), bias (q)] -> (n, height, width, q).
    """
    kernel, bias = parameters
    rows, columns, channels, filters = kernel.shape

    def unfold(x: tf.Tensor) -> tf.Tensor:
        n, height, width, _ = x.shape
        across = patches(tf.reshape(x, (n * height, width, channels)), columns)
        flat = tf.reshape(across, (n, height, width * columns * channels))
        # Patches of rows: (n, height, rows * width * columns * c), of which each position takes its columns.
        down = tf.reshape(patches(flat, rows), (n, height, rows, width, columns * channels))
        return tf.reshape(tf.transpose(down, (0, 1, 3, 2, 4)), (n, height, width, rows * columns * channels))

    z = affine(unfold(x), tf.reshape(kernel, (rows * columns * channels, filters)), bias)
    return note(z, Product((x,), (kernel,), bias, unfold))


def fused(chain: Callable[..., Result]) -> Callable[..., Result]:
    """`chain`, compiled on its own: for chains of elementwise operations inside a plain graph.

    There each operation walks over the whole array; compiled, forward and backward chain are one walk each.
    """
    return cast(Callable[..., Result], tf.function(chain, jit_compile=True, autograph=False))


def max_pool(x: tf.Tensor, size: int) -> tf.Tensor:
    """Maximum of each `size` neighbours: x (n, time, c) -> (n, time // size, c); a rest is cut off.

    Where values tie, the gradient goes to the first one, as in Keras.
    """
    kept = x.shape[1] // size * size
    return functools.reduce(tf.maximum, [x[:, offset:kept:size] for offset in range(size)])


def lstm(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """LSTM (tanh, sigmoid gates in the order i, f, c, o) from a zero state: all hidden states.

    x (n, time, p), parameters [kernel (p, 4 h), recurrent kernel (h, 4 h), bias (4 h)] -> (n, time, h).
    The input's part of the gates is computed for all steps outside the recurrence.
    """
    kernel, recurrent_kernel, bias = parameters
    z = affine(x, kernel, bias)
    before = tuple(range(len(z.shape) - 2))
    time, features = len(before), len(before) + 1
    hidden = recurrence.lstm(tf.transpose(z, (time, *before, features)), recurrent_kernel)
    hidden = tf.transpose(hidden, (*(axis + 1 for axis in before), 0, features))
    note(z, Product((x, _previous(hidden)), (kernel, recurrent_kernel), bias))
    return hidden


def gru(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """GRU (tanh, sigmoid gates in the order update, reset, candidate) from a zero state: all hidden states.

    x (n, time, p), parameters [kernel (p, 3 h), recurrent kernel (h, 3 h), bias (3 h), recurrent bias (3 h)]
    -> (n, time, h). The reset gate acts on the recurrent product and its bias (Keras' `reset_after`; Keras
    stacks the two biases).
    """
    kernel, recurrent_kernel, bias, recurrent_bias = parameters
    z = affine(x, kernel, bias)
    # The signal at the recurrent product is that at its bias, step by step.
    offset = tf.zeros_like(z) + recurrent_bias
    hidden = recurrence.gru(tf.transpose(z, (1, 2, 0)), tf.transpose(offset, (1, 2, 0)), recurrent_kernel)
    hidden = tf.transpose(hidden, (2, 0, 1))
    note(z, Product((x,), (kernel,), bias))
    note(offset, Product((_previous(hidden),), (recurrent_kernel,), recurrent_bias))
    return hidden


def batch_moments(x: tf.Tensor, row_weight: tf.Tensor, note: Note = unnoted) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean (c) and variance (c) of the rows with weight 1: x (n, ..., c), row_weight (n) of 0 and 1."""
    axes = tuple(range(len(x.shape) - 1))
    weight = tf.reshape(row_weight, (-1, *(1 for _ in x.shape[1:])))
    positions = math.prod(x.shape[1:-1])
    count = tf.reduce_sum(row_weight) * positions
    mean = tf.reduce_sum(weight * x, axes) / count
    variance = tf.reduce_sum(weight * tf.square(x - mean), axes) / count
    use = MixesRecords("batch normalisation", "use layer normalisation in private networks")
    return note(mean, use), note(variance, use)


def batch_norm(
    x: tf.Tensor,
    parameters: Parameters,
    mean: tf.Tensor,
    variance: tf.Tensor,
    note: Note = unnoted,
    epsilon: float = 1e-3,
) -> tf.Tensor:
    """Normalise each of the last axis' c features by `mean` (c) and `variance` (c); parameters [gamma, beta].

    In training these are `batch_moments`, afterwards the running statistics (`running_moments`).
    """
    gamma, beta, mean, variance = (_by_feature(value, x) for value in (*parameters, mean, variance))
    unit = tf.math.rsqrt(variance + epsilon)
    scale = gamma * unit
    z = x * scale + (beta - mean * scale)
    return note(z, ScaleAndShift((x - mean) * unit, gamma, beta))


def running_moments(
    running: tuple[tf.Tensor, tf.Tensor], batch: tuple[tf.Tensor, tf.Tensor], momentum: float = 0.99
) -> tuple[tf.Tensor, tf.Tensor]:
    """Exponential average of batch mean and variance, both (c)."""
    mean, variance = (old * momentum + new * (1 - momentum) for old, new in zip(running, batch, strict=True))
    return mean, variance


def layer_norm(
    x: tf.Tensor, parameters: Parameters, note: Note = unnoted, epsilon: float = 1e-6
) -> tf.Tensor:
    """Normalise over the last axis: x (..., c), parameters [gamma (c), beta (c)] -> (..., c)."""
    gamma, beta = (_by_feature(value, x) for value in parameters)
    centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
    normal = centred * tf.math.rsqrt(variance + epsilon)
    return note(normal * gamma + beta, ScaleAndShift(normal, gamma, beta))


def self_attention(
    x: tf.Tensor,
    parameters: Parameters,
    drop: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    note: Note = unnoted,
) -> tf.Tensor:
    """Multi-head self-attention (Keras `MultiHeadAttention`): x (n, tokens, c) -> (n, tokens, c).

    Parameters: [kernel (c, heads, size), bias (heads, size)] of query, key and value, then
    [kernel (heads, size, c), bias (c)] of the output. `drop` acts on the attention weights.
    """
    *models, heads, size = parameters[1].shape
    *rows, features = _sizes(x)

    def project(kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        flat = tf.reshape(kernel, (*models, features, heads * size))
        z = affine(x, flat, tf.reshape(bias, (*models, heads * size)))
        z = note(z, Product((x,), (kernel,), bias))
        return _heads_and_tokens(tf.reshape(z, (*rows, heads, size)))

    query, key, value = (project(*parameters[i : i + 2]) for i in (0, 2, 4))
    weights = tf.nn.softmax(tf.linalg.matmul(query * size**-0.5, key, transpose_b=True))
    mixed = _heads_and_tokens(tf.linalg.matmul(drop(weights), value))
    a = tf.reshape(mixed, (*rows, heads * size))
    kernel, bias = parameters[6:]
    z = affine(a, tf.reshape(kernel, (*models, heads * size, features)), bias)
    return note(z, Product((a,), (kernel,), bias))


def embedding(codes: tf.Tensor, table: tf.Tensor, note: Note = unnoted) -> tf.Tensor:
    """Rows of `table (k, c)` for `codes (...)` of 0..k-1 -> (..., c)."""
    *models, depth, _ = table.shape
    unfold = functools.partial(tf.one_hot, depth=depth)
    return note(tf.gather(table, codes, batch_dims=len(models)), Product((codes,), (table,), unfold=unfold))


def dropout(x: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Set each value to zero with probability `rate` and scale the others by 1 / (1 - rate).

    `seed` int32 decides which: (2) for all values, or (n, 2) for n equal parts of the first axis (the rows of
    a batch). The same seed and static shape drop the same values.
    """
    return tf.where(draws.happens(rate, x.shape, seed), tf.zeros_like(x), x / (1 - rate))


def dropping(rate: float, seed: tf.Tensor) -> Drop:
    """The dropout of one training step, whose layers are told apart by their numbers; see `dropout`."""
    return lambda x, place: dropout(x, rate, draws.child_seed(seed, place))


def keeping(x: tf.Tensor, place: int) -> tf.Tensor:
    """No dropout: for scoring."""
    return x


def _previous(states: tf.Tensor) -> tf.Tensor:
    """Each step's predecessor, zero before the first: states (..., time, h)."""
    return tf.pad(states[..., :-1, :], (*[(0, 0)] * (len(states.shape) - 2), (1, 0), (0, 0)))


def _by_feature(value: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """`value` (models, c) with the axes that it lacks to meet x (models, ..., c)."""
    *models, features = value.shape
    return (
        tf.reshape(value, (*models, *[1] * (len(x.shape) - len(models) - 1), features)) if models else value
    )


def _heads_and_tokens(x: tf.Tensor) -> tf.Tensor:
    """(..., tokens, heads, size) -> (..., heads, tokens, size), and back."""
    rank = len(x.shape)
    return tf.transpose(x, (*range(rank - 3), rank - 2, rank - 3, rank - 1))


def _sizes(x: tf.Tensor) -> tuple[int | tf.Tensor, ...]:
    """Shape of `x`, static where it is known."""
    if x.shape.is_fully_defined():
        return tuple(x.shape)
    dynamic = tf.shape(x)
    return tuple(dynamic[i] if size is None else size for i, size in enumerate(x.shape))
