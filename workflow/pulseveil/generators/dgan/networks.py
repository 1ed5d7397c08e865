"""The two networks of DGAN and its losses (Lin et al., IMC 2020; WGAN-GP: Gulrajani et al., NeurIPS 2017).

DoppelGANger as the published study uses it: without attributes, an LSTM each of whose steps makes a stretch
of the window, and a discriminator that sees the whole window at once. First parameters are drawn as PyTorch
draws them, where that study's program comes from.

Where several models are set side by side, parameters, windows, codes, noise, gradients and scores have an
axis of models in front of the shapes below; each model has its own penalty and losses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from pulseveil.networks import initial, layers
from pulseveil.networks.initial import Array
from pulseveil.networks.layers import Parameters
from pulseveil.networks.per_example import Note, unnoted

Penalty = Literal["each_window", "published"]
GENERATOR_PARAMETERS = (
    "lstm_kernel",
    "lstm_recurrent_kernel",
    "lstm_bias",
    "output_kernel",
    "output_bias",
)
_LSTM_PARAMETERS = 3
_NORM_FLOOR = 1e-8  # added to a squared norm, whose root has no gradient at 0


class Shape(NamedTuple):
    """Sizes of the data and of both networks.

    A window is `steps` stretches of `values` numbers; `codes` numbers tell its condition to both networks (0
    where none is told); `noise` numbers enter a step of the generator's LSTM.
    """

    steps: int
    values: int
    codes: int
    noise: int
    units: int
    discriminator_units: int
    discriminator_layers: int


def start_generator(rng: np.random.Generator, shape: Shape) -> list[Array]:
    """Parameters of `generate`, in the order of `GENERATOR_PARAMETERS`."""
    gates, units = 4 * shape.units, shape.units
    kernel = initial.fan_in_uniform(rng, units, shape.noise + shape.codes, gates)
    recurrent = initial.fan_in_uniform(rng, units, units, gates)
    # PyTorch's layer has two biases, which are added.
    bias = initial.fan_in_uniform(rng, units, 2, gates).sum(axis=0)
    return [kernel, recurrent, bias, *_start_dense(rng, units, shape.values)]


def start_discriminator(rng: np.random.Generator, shape: Shape) -> list[Array]:
    """Parameters of `criticise`: kernel and bias of each layer."""
    hidden = [shape.discriminator_units] * shape.discriminator_layers
    widths = [shape.steps * shape.values + shape.codes, *hidden, 1]
    return [value for inputs, outputs in pairwise(widths) for value in _start_dense(rng, inputs, outputs)]


def _start_dense(rng: np.random.Generator, inputs: int, outputs: int) -> list[Array]:
    return [
        initial.fan_in_uniform(rng, inputs, inputs, outputs),
        initial.fan_in_uniform(rng, inputs, outputs),
    ]


def generate(parameters: Parameters, noise: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """Flat windows (n, steps * values) in (0, 1) from normal noise (n, steps, p) and codes (n, k)."""
    *models, _, _ = parameters[0].shape
    told = tf.repeat(codes[..., tf.newaxis, :], noise.shape[-2], axis=-2)
    hidden = layers.lstm(tf.concat([noise, told], axis=-1), parameters[:_LSTM_PARAMETERS])
    made = tf.sigmoid(layers.dense(hidden, parameters[_LSTM_PARAMETERS:]))
    return tf.reshape(made, (*models, -1, made.shape[-2] * made.shape[-1]))


def criticise(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """Scores (n, ...) of flat windows with their codes, x (n, ..., d): higher for real ones."""
    *hidden, last = _by_layer(parameters)
    for layer in hidden:
        x = tf.nn.relu(layers.dense(x, layer, note))
    return layers.dense(x, last, note)[..., 0]


def input_gradients(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """The gradient of each row's score with respect to that row: x (n, d) -> (n, d).

    Written out: a ReLU network is linear around each row, by the products of its kernels over the units that
    are active there. Its own gradient with respect to the parameters then needs no second tape, and comes
    from one transposed product a kernel alone: which units are active has no gradient.
    """
    *hidden, (last, _) = _by_layer(parameters)
    active = []
    for kernel, bias in hidden:
        z = layers.affine(x, kernel, bias)
        active.append(tf.cast(z > 0, z.dtype))
        x = tf.nn.relu(z)
    signal = layers.transposed(tf.ones_like(x[..., :1]), last, note)
    for (kernel, _), on in zip(reversed(hidden), reversed(active), strict=True):
        signal = layers.transposed(signal * on, kernel, note)
    return signal


def window_penalties(gradients: tf.Tensor) -> tf.Tensor:
    """Squared distance of the norm of each window's gradient from 1: gradients (n, d) -> (n)."""
    return _squared_distances(tf.reduce_sum(tf.square(gradients), axis=-1))


def gradient_penalty(kind: Penalty, gradients: tf.Tensor) -> tf.Tensor:
    """Mean squared distance of the norms of the gradients (n, d) from 1.

    `published`: the distance of one norm, of all gradients of the batch together. That study's program sums
    their squares over the batch, so that those of single windows are driven to 1 / sqrt(n).
    """
    if kind == "published":
        return _squared_distances(tf.reduce_sum(tf.square(gradients), axis=(-2, -1)))
    return tf.reduce_mean(window_penalties(gradients), axis=-1)


def _squared_distances(squared_norms: tf.Tensor) -> tf.Tensor:
    return tf.square(tf.sqrt(squared_norms + _NORM_FLOOR) - 1)


def discriminator_loss(real: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
    """Loss of the discriminator, without its penalty, by the scores (n) of real and of made windows."""
    return tf.reduce_mean(made, axis=-1) - tf.reduce_mean(real, axis=-1)


def generator_loss(made: tf.Tensor) -> tf.Tensor:
    """Loss of the generator by the scores (n) of its windows."""
    return -tf.reduce_mean(made, axis=-1)


@lru_cache(maxsize=1)
def sampler() -> Callable[[Parameters, tf.Tensor, tf.Tensor], tf.Tensor]:
    """`generate` as a compiled program: one compilation for all models of equal sizes and numbers of rows."""
    compiled: Callable[..., tf.Tensor] = tf.function(generate, autograph=False)
    return compiled


def _by_layer(parameters: Parameters) -> Sequence[tuple[tf.Tensor, tf.Tensor]]:
    return list(zip(parameters[::2], parameters[1::2], strict=True))
