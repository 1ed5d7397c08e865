"""Layers as pure functions of tensors and parameter lists, with the conventions of Keras.

Parameter lists have Keras' shapes and order: weights can be moved between this module and Keras. `initial`
draws first parameters.

Each layer notes the rows `a` to which its weights are applied (inputs, patches, tokens), and the
pre-activation `z = a W + b`. From these notes `per_example` computes per-record gradients.

The parameters of several models may stand side by side, with an axis of models in front of Keras' shapes. The
data then have that axis too, in front of the shapes below, and each model is applied to its own data (except
in `conv2d`, `conv1d_operation`, `max_pool`, `gru` and `batch_moments`). Notes are for single models.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import numpy as np
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
    """Affine map `a W + b` over the last axis: a (..., p), kernel (p, q), bias (q) -> z (..., q).

    All four may have an axis of models in front.
    """
    *models, features_in, features_out = kernel.shape
    # One matrix product over all positions, in place of one per row of a batch.
    z = _product(tf.linalg.matmul, tf.reshape(a, (*models, -1, features_in)), kernel)
    if bias is not None:
        bias = tf.cast(bias, z.dtype)
        z = z + bias[..., tf.newaxis, :] if models else tf.nn.bias_add(z, bias)
    return tf.reshape(z, (*_sizes(a)[:-1], features_out))


def rounded(parameters: Parameters, dtype: tf.DType) -> list[tf.Tensor]:
    """Parameters whose arrays of two or more axes have another type, for products in that type.

    A layer with a bfloat16 kernel computes its product in bfloat16, and also the two products of its
    gradient. All else has the type of the data: biases, activations, normalisations. A recurrence multiplies
    by the rounded kernel in the type of the data.

    Examples:
        >>> kernel, bias = rounded([tf.ones((2, 1)), tf.ones(1)], tf.bfloat16)
        >>> kernel.dtype.name, bias.dtype.name, dense(tf.ones((3, 2)), [kernel, bias]).dtype.name
        ('bfloat16', 'float32', 'float32')
    """
    return [tf.cast(value, dtype) if len(value.shape) > 1 else value for value in parameters]


def dense(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """Dense layer without activation: x (..., p), parameters [kernel (p, q), bias (q)] -> (..., q).

    Examples:
        >>> x, kernel, bias = (tf.constant(value) for value in ([[1.0, 2.0]], [[3.0], [4.0]], [5.0]))
        >>> dense(x, [kernel, bias]).numpy().tolist()
        [[16.0]]
    """
    kernel, bias = parameters
    return note(affine(x, kernel, bias), Product((x,), (kernel,), bias))


def transposed(u: tf.Tensor, kernel: tf.Tensor, note: Note = unnoted) -> tf.Tensor:
    """Backward product `u W^T` of a dense layer: u (n, q), kernel (p, q) -> (n, p).

    A loss that holds a gradient with respect to the input, such as a gradient penalty, needs this product.
    """
    return note(tf.linalg.matmul(u, kernel, transpose_b=True), TransposedProduct(u, kernel))


def patches(x: tf.Tensor, width: int) -> tf.Tensor:
    """Patches of `width` neighbours, zero outside: x (..., time, c) -> (..., time, width * c).

    Aligned as Keras' padding "same" at stride 1: (width - 1) // 2 zeros before the first position.

    Examples:
        >>> patches(tf.constant([[1], [2], [3]]), width=2).numpy().tolist()
        [[1, 2], [2, 3], [3, 0]]
    """
    time = x.shape[-2]
    before = (width - 1) // 2
    padded = tf.pad(x, (*[(0, 0)] * (len(x.shape) - 2), (before, width - 1 - before), (0, 0)))
    return tf.concat([padded[..., offset : offset + time, :] for offset in range(width)], axis=-1)


def conv1d(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """Convolution over time as one matrix product: stride 1, padding "same", without activation.

    x (n, time, c), parameters [kernel (width, c, q), bias (q)] -> (n, time, q). For XLA on a CPU, where
    TensorFlow's convolution is some twenty times slower.
    """
    kernel, bias = parameters
    *models, width, channels, filters = kernel.shape
    unfold = functools.partial(patches, width=width)
    z = affine(unfold(x), tf.reshape(kernel, (*models, width * channels, filters)), bias)
    return note(z, Product((x,), (kernel,), bias, unfold))


def conv1d_operation(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """`conv1d` without its bias by TensorFlow's convolution, which is faster in a plain graph.

    x (n, time, c), parameters as in `conv1d` -> (n, time, q). The caller must add the bias.
    """
    kernel, bias = parameters
    # The bias is noted although it is added later: its gradient is the sum of the signals at z all the same.
    z = _product(functools.partial(tf.nn.conv1d, stride=1, padding="SAME"), x, kernel)
    unfold = functools.partial(patches, width=kernel.shape[0])
    return note(z, Product((x,), (kernel,), bias, unfold, one_by_one=True))


def conv2d(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """Convolution over two axes as one matrix product: stride 1, padding "same", without activation.

    x (n, height, width, c), parameters [kernel (rows, columns, c, q), bias (q)] -> (n, height, width, q).
    """
    kernel, bias = parameters
    rows, columns, channels, filters = kernel.shape

    def unfold(x: tf.Tensor) -> tf.Tensor:
        n, height, width, _ = x.shape
        across = patches(tf.reshape(x, (n * height, width, channels)), columns)
        flat = tf.reshape(across, (n, height, width * columns * channels))
        # A patch of rows has (rows, width, columns * c) values, of which each position takes its own column.
        down = tf.reshape(patches(flat, rows), (n, height, rows, width, columns * channels))
        return tf.reshape(tf.transpose(down, (0, 1, 3, 2, 4)), (n, height, width, rows * columns * channels))

    z = affine(unfold(x), tf.reshape(kernel, (rows * columns * channels, filters)), bias)
    return note(z, Product((x,), (kernel,), bias, unfold))


def fused(chain: Callable[..., Result]) -> Callable[..., Result]:
    """Compile a chain of elementwise operations on its own, for use inside a plain graph.

    In a plain graph each operation passes over the whole array. Compiled, the forward chain is one pass, and
    so is the backward chain.
    """
    return cast(Callable[..., Result], tf.function(chain, jit_compile=True, autograph=False))


def max_pool(x: tf.Tensor, size: int) -> tf.Tensor:
    """Maximum over each `size` neighbours: x (n, time, c) -> (n, time // size, c); the remainder is cut off.

    Examples:
        >>> max_pool(tf.constant([[[1], [4], [3], [2], [5]]]), size=2).numpy().ravel().tolist()
        [4, 3]
    """
    # `tf.maximum` gives the gradient of a tie to its first argument, as Keras' pooling does.
    kept = x.shape[1] // size * size
    return functools.reduce(tf.maximum, [x[:, offset:kept:size] for offset in range(size)])


def lstm(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """Hidden states of an LSTM from a zero state (tanh, sigmoid gates in the order i, f, c, o).

    x (n, time, p), parameters [kernel (p, 4 h), recurrent kernel (h, 4 h), bias (4 h)] -> (n, time, h).
    """
    kernel, recurrent_kernel, bias = parameters
    # Outside the recurrence: the inputs of all steps are one product.
    z = affine(x, kernel, bias)
    before = tuple(range(len(z.shape) - 2))
    time, features = len(before), len(before) + 1
    hidden = recurrence.lstm(tf.transpose(z, (time, *before, features)), tf.cast(recurrent_kernel, z.dtype))
    hidden = tf.transpose(hidden, (*(axis + 1 for axis in before), 0, features))
    # The signal at z is that at the gates: it serves both kernels and the bias, as one product of two inputs.
    note(z, Product((x, _previous(hidden)), (kernel, recurrent_kernel), bias))
    return hidden


def gru(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """Hidden states of a GRU from a zero state (tanh, sigmoid gates in the order update, reset, candidate).

    x (n, time, p), parameters [kernel (p, 3 h), recurrent kernel (h, 3 h), bias (3 h), recurrent bias (3 h)]
    -> (n, time, h). The reset gate acts on the recurrent product and its bias (Keras' `reset_after`, where
    the two biases are stacked).
    """
    kernel, recurrent_kernel, bias, recurrent_bias = parameters
    z = affine(x, kernel, bias)
    # The recurrent product has no tensor outside the loop that could be noted. Its bias, repeated for each
    # row and step, has the same signal.
    offset = tf.zeros_like(z) + recurrent_bias
    hidden = recurrence.gru(tf.transpose(z, (1, 2, 0)), tf.transpose(offset, (1, 2, 0)), recurrent_kernel)
    hidden = tf.transpose(hidden, (2, 0, 1))
    note(z, Product((x,), (kernel,), bias))
    note(offset, Product((_previous(hidden),), (recurrent_kernel,), recurrent_bias))
    return hidden


def batch_moments(x: tf.Tensor, row_weight: tf.Tensor, note: Note = unnoted) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean (c) and variance (c) over the rows with weight 1: x (n, ..., c), row_weight (n) of 0 and 1.

    Raises:
        InputError: `note` is that of `record_gradients`, as the moments mix records.
    """
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
    """Batch normalisation of x (n, ..., c) by mean (c) and variance (c), parameters [gamma (c), beta (c)].

    Mean and variance are `batch_moments` in training, and the averages of `running_moments` afterwards.
    Source: Ioffe and Szegedy 2015, arXiv:1502.03167.
    """
    gamma, beta, mean, variance = (_by_feature(value, x) for value in (*parameters, mean, variance))
    unit = tf.math.rsqrt(variance + epsilon)
    # One factor and one offset per feature: the normalised values are computed only if they are noted.
    scale = gamma * unit
    z = x * scale + (beta - mean * scale)
    return note(z, ScaleAndShift((x - mean) * unit, gamma, beta))


def running_moments(
    running: tuple[tf.Tensor, tf.Tensor], batch: tuple[tf.Tensor, tf.Tensor], momentum: float = 0.99
) -> tuple[tf.Tensor, tf.Tensor]:
    """Exponential averages of batch mean and variance, all (c), after one more batch."""
    mean, variance = (old * momentum + new * (1 - momentum) for old, new in zip(running, batch, strict=True))
    return mean, variance


def layer_norm(
    x: tf.Tensor, parameters: Parameters, note: Note = unnoted, epsilon: float = 1e-6
) -> tf.Tensor:
    """Layer normalisation over the last axis: x (..., c), parameters [gamma (c), beta (c)] -> (..., c).

    Source: Ba, Kiros and Hinton 2016, arXiv:1607.06450.
    """
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

    Source: Vaswani et al. 2017, arXiv:1706.03762.
    """
    *models, heads, size = parameters[1].shape
    *rows, tokens, features = _sizes(x)

    def project(kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        flat = tf.reshape(kernel, (*models, features, heads * size))
        z = affine(x, flat, tf.reshape(bias, (*models, heads * size)))
        z = note(z, Product((x,), (kernel,), bias))
        # A row per token and head, as they lie in memory: tokens and heads are never transposed. XLA would
        # copy each transposed array once per use.
        return tf.reshape(z, (*rows, tokens * heads, size))

    query, key, value = (project(*parameters[i : i + 2]) for i in (0, 2, 4))
    dtype = parameters[0].dtype
    scores = _product(
        functools.partial(tf.linalg.matmul, transpose_b=True), query * size**-0.5, tf.cast(key, dtype)
    )
    head = np.arange(tokens * heads) % heads
    own = tf.constant(np.where(head[:, np.newaxis] == head, 0, -np.inf), scores.dtype)
    weights = tf.nn.softmax(scores + own)
    mixed = _product(tf.linalg.matmul, drop(weights), tf.cast(value, dtype))
    a = tf.reshape(mixed, (*rows, tokens, heads * size))
    kernel, bias = parameters[6:]
    z = affine(a, tf.reshape(kernel, (*models, heads * size, features)), bias)
    return note(z, Product((a,), (kernel,), bias))


def embedding(codes: tf.Tensor, table: tf.Tensor, note: Note = unnoted) -> tf.Tensor:
    """Embedding of codes (...) in 0..k-1 by the rows of table (k, c) -> (..., c)."""
    *models, depth, _ = table.shape
    # Noted as a product of one-hot codes and the table, which serves the gradients alone.
    unfold = functools.partial(tf.one_hot, depth=depth)
    return note(tf.gather(table, codes, batch_dims=len(models)), Product((codes,), (table,), unfold=unfold))


def dropout(x: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Dropout: set each value to zero with probability `rate`, and scale the others by 1 / (1 - rate).

    seed: (2) int32 for all values, or (n, 2) int32 for n equal parts of the first axis (the rows of a batch).
    An equal seed and static shape drop the same values.
    """
    return tf.where(draws.happens(rate, x.shape, seed), tf.zeros_like(x), x / (1 - rate))


def dropping(rate: float, seed: tf.Tensor) -> Drop:
    """Dropout of one training step, as a function of values and the layer's number; see `dropout`."""
    return lambda x, layer: dropout(x, rate, draws.child_seed(seed, layer))


def keeping(x: tf.Tensor, layer: int) -> tf.Tensor:
    """Keep all values: no dropout, for scoring."""
    return x


def _product(multiply: Callable[..., tf.Tensor], a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Product of `a` and `b` in the type of `b`, given back in the type of `a`."""
    return tf.cast(multiply(tf.cast(a, b.dtype), b), a.dtype)


def _previous(states: tf.Tensor) -> tf.Tensor:
    """States of the previous steps, zero before the first: (..., time, h), as the result."""
    return tf.pad(states[..., :-1, :], (*[(0, 0)] * (len(states.shape) - 2), (1, 0), (0, 0)))


def _by_feature(value: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """`value` (models, c) with axes of size 1, so that it broadcasts over x (models, ..., c)."""
    *models, features = value.shape
    return (
        tf.reshape(value, (*models, *[1] * (len(x.shape) - len(models) - 1), features)) if models else value
    )


def _sizes(x: tf.Tensor) -> tuple[int | tf.Tensor, ...]:
    """Shape of `x`: a number for each static size, otherwise a tensor."""
    if x.shape.is_fully_defined():
        return tuple(x.shape)
    dynamic = tf.shape(x)
    return tuple(dynamic[i] if size is None else size for i, size in enumerate(x.shape))
