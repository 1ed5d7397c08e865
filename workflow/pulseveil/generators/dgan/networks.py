"""Networks and losses of DGAN (Lin et al., IMC 2020; WGAN-GP: Gulrajani et al., NeurIPS 2017).

DoppelGANger as in the published study: no attributes, an LSTM whose steps each give a stretch of the window,
and a discriminator that reads the whole window at once. Initial parameters have PyTorch's distribution,
because the published program is written in PyTorch.

Models side by side have an axis of models in front of the shapes below, for parameters, windows, codes,
noise, gradients and scores. Each model has its own penalty and losses.
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
# Names of stored arrays, in the order of the parameters: under other names, stored models cannot be read.
GENERATOR_PARAMETERS = (
    "lstm_kernel",
    "lstm_recurrent_kernel",
    "lstm_bias",
    "output_kernel",
    "output_bias",
)
_LSTM_PARAMETERS = 3
_NORM_FLOOR = 1e-8  # added to a squared norm: the square root has no gradient at 0


class Shape(NamedTuple):
    """Sizes of the data and of both networks.

    steps: stretches of a window. values: numbers per stretch. codes: numbers that code the condition for both
    networks, 0 if the condition is a signal. noise: normal numbers per step of the generator's LSTM. units:
    units of that LSTM. discriminator_units, discriminator_layers: hidden layers of the discriminator.
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
    # PyTorch's LSTM has two biases, which are added: the sum of two draws has another distribution than one.
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
    each_step = tf.repeat(codes[..., tf.newaxis, :], noise.shape[-2], axis=-2)
    hidden = layers.lstm(tf.concat([noise, each_step], axis=-1), parameters[:_LSTM_PARAMETERS])
    stretches = tf.sigmoid(layers.dense(hidden, parameters[_LSTM_PARAMETERS:]))
    return tf.reshape(stretches, (*models, -1, stretches.shape[-2] * stretches.shape[-1]))


def criticise(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """Scores (n, ...) of flat windows with their codes, x (n, ..., d); higher for real windows."""
    *hidden, last = _by_layer(parameters)
    for layer in hidden:
        x = tf.nn.relu(layers.dense(x, layer, note))
    return layers.dense(x, last, note)[..., 0]


def input_gradients(x: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """Gradient of each row's score with respect to that row: x (n, d) -> (n, d)."""
    # Written out instead of a tape in a tape: around each row a ReLU network is linear, the product of its
    # kernels over the active units. The gradient of this product by the parameters then comes from one
    # transposed product per kernel. The choice of active units has no gradient.
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


def penalties(kind: Penalty, gradients: tf.Tensor) -> tf.Tensor:
    """Gradient penalty per window (n): squared distance from 1 of the norm of its gradient (n, d).

    `published`: one penalty for all windows (1), by the norm of all gradients of the batch together.
    """
    # The published program sums the squares over the batch, too, which drives the norm of a single gradient
    # to 1 / sqrt(n). This norm mixes records: a private training cannot have it.
    together = kind == "published"
    squared = tf.reduce_sum(tf.square(gradients), axis=(-2, -1) if together else -1)
    distances = tf.square(tf.sqrt(squared + _NORM_FLOOR) - 1)
    return distances[..., tf.newaxis] if together else distances


def row_losses(real: tf.Tensor, synthetic: tf.Tensor, penalty: tf.Tensor) -> tf.Tensor:
    """Discriminator loss per pair of windows (n), from their scores (n) and weighted penalties (n)."""
    return synthetic - real + penalty


def generator_loss(synthetic: tf.Tensor) -> tf.Tensor:
    """Generator loss from the scores (n) of synthetic windows."""
    return -tf.reduce_mean(synthetic, axis=-1)


@lru_cache(maxsize=1)
def sampler() -> Callable[[Parameters, tf.Tensor, tf.Tensor], tf.Tensor]:
    """`generate` as a compiled program: one compilation for all models of equal sizes and numbers of rows."""
    compiled: Callable[..., tf.Tensor] = tf.function(generate, autograph=False)
    return compiled


def _by_layer(parameters: Parameters) -> Sequence[tuple[tf.Tensor, tf.Tensor]]:
    """Kernel and bias of each dense layer."""
    return list(zip(parameters[::2], parameters[1::2], strict=True))
