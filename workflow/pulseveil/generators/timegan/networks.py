"""The five networks of TimeGAN and its losses (Yoon, Jarrett and van der Schaar, NeurIPS 2019).

Networks and weights are those of the authors' program, which differs from the paper in its weights, its
moment loss and when the discriminator learns. GRU and its first parameters are those of Keras.

Models side by side have an axis of models in front of their parameters, and behind the time of sequences:
(time, models, features, n). A loss is a number for each model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import tensorflow as tf

from pulseveil.networks import initial, recurrence
from pulseveil.networks.initial import Array
from pulseveil.networks.layers import Parameters

NETWORKS = ("embedder", "recovery", "generator", "supervisor", "discriminator")
# The networks that synthesize a window, first to last.
SAMPLING_NETWORKS = ("generator", "supervisor", "recovery")

_GRU_PARAMETERS = ("kernel", "recurrent_kernel", "bias", "recurrent_bias")
GRU_ARRAYS = len(_GRU_PARAMETERS)
RECONSTRUCTION_WEIGHT = 10.0
_SUPERVISED_WEIGHT = 100.0
_MOMENT_WEIGHT = 100.0
_EMBEDDER_SUPERVISED_WEIGHT = 0.1
RAW_WEIGHT = 1.0  # gamma: of the generator's sequences before the supervisor


def recurrent_layers(network: str, depth: int) -> int:
    """GRU layers of a network: `depth`, but one fewer in the supervisor."""
    return depth - 1 if network == "supervisor" else depth


def parameter_names(network: str, depth: int) -> list[str]:
    """Names of a network's parameters, in their order."""
    numbers = range(1, recurrent_layers(network, depth) + 1)
    recurrent = [f"{network}_gru_{number}_{part}" for number in numbers for part in _GRU_PARAMETERS]
    return [*recurrent, f"{network}_output_kernel", f"{network}_output_bias"]


def start_network(
    rng: np.random.Generator, network: str, *, channels: int, hidden: int, depth: int, codes: int = 0
) -> list[Array]:
    """Parameters of one of `NETWORKS`, in the order of `parameter_names`.

    codes: numbers that code the condition, read at each step beside the sequence.
    """
    inputs = codes + (channels if network in ("embedder", "generator") else hidden)
    outputs = {"recovery": channels, "discriminator": 1}.get(network, hidden)
    widths = [inputs] + [hidden] * recurrent_layers(network, depth)
    recurrent = [initial.gru(rng, *sizes) for sizes in pairwise(widths)]
    return [value for layer in recurrent for value in layer] + initial.dense(rng, hidden, outputs)


def inward(windows: tf.Tensor) -> tf.Tensor:
    """Windows in the order of axes of all sequences in this module, with or without models.

    (draws, models, n, time, channels) -> (draws, time, models, channels, n). Records come last, as in
    `recurrence.gru`: turning them around in each layer costs as much as the layer.
    """
    draws, *models, records, time, channels = range(len(windows.shape))
    return tf.transpose(windows, (draws, time, *models, channels, records))


def _affine(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    return tf.linalg.matmul(tf.linalg.matrix_transpose(kernel), x) + bias[..., tf.newaxis]


def _gru(x: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    """`layers.gru` of x (time, p, n) -> (time, h, n)."""
    kernel, recurrent_kernel, bias, recurrent_bias = parameters
    z = _affine(x, kernel, bias)
    return recurrence.gru(z, tf.zeros_like(z) + recurrent_bias[..., tf.newaxis], recurrent_kernel)


def logits(x: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    """A stack of GRU layers and a dense layer at each step: x (time, p, n) -> (time, q, n)."""
    *recurrent, kernel, bias = parameters
    for first in range(0, len(recurrent), GRU_ARRAYS):
        x = _gru(x, recurrent[first : first + GRU_ARRAYS])
    return _affine(x, kernel, bias)


def sequence(x: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    """The same with values in (0, 1): every network but the discriminator."""
    return tf.sigmoid(logits(x, parameters))


def uniform(noise: tf.Tensor) -> tf.Tensor:
    """Standard normal numbers as the uniform ones on (0, 1) that the generator reads."""
    return 0.5 * (1 + tf.math.erf(noise / math.sqrt(2)))


@lru_cache(maxsize=1)
def sampler() -> Callable[[Sequence[Parameters], tf.Tensor], tf.Tensor]:
    """Compiled: parameters of `SAMPLING_NETWORKS`, noise (n, time, channels) -> windows in (0, 1), as large.

    One compilation for all models of equal sizes and numbers of rows.
    """

    def run(networks: Sequence[Parameters], noise: tf.Tensor) -> tf.Tensor:
        x = tf.transpose(uniform(noise), (1, 2, 0))
        for parameters in networks:
            x = sequence(x, parameters)
        return tf.transpose(x, (2, 0, 1))

    compiled: Callable[..., tf.Tensor] = tf.function(run, autograph=False)
    return compiled


def mean_square(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Mean squared difference of sequences of one shape (time, p, n)."""
    return _mean(tf.square(a - b))


def supervised_loss(hidden: tf.Tensor, ahead: tf.Tensor) -> tf.Tensor:
    """How far the supervisor's steps `ahead` are from the next of `hidden`, both (time, h, n)."""
    return mean_square(hidden[1:], ahead[:-1])


def moment_loss(synthetic: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Mean distances of the deviations and means at each step and channel, both (time, channels, n)."""
    deviations = [tf.sqrt(tf.math.reduce_variance(windows, axis=-1) + 1e-6) for windows in (synthetic, real)]
    means = [tf.reduce_mean(windows, axis=-1) for windows in (synthetic, real)]
    distances = [tf.abs(a - b) for a, b in (deviations, means)]
    return sum(tf.reduce_mean(distance, axis=(0, -1)) for distance in distances)


def reconstruction_loss(windows: tf.Tensor, recovered: tf.Tensor) -> tf.Tensor:
    """Loss of embedder and recovery before joint training, both arguments of one shape."""
    return RECONSTRUCTION_WEIGHT * tf.sqrt(mean_square(windows, recovered))


def embedder_loss(reconstruction: tf.Tensor, supervised: tf.Tensor) -> tf.Tensor:
    """Loss of embedder and recovery in joint training."""
    return reconstruction + _EMBEDDER_SUPERVISED_WEIGHT * supervised


def generator_loss(fake: tf.Tensor, raw: tf.Tensor, supervised: tf.Tensor, moments: tf.Tensor) -> tf.Tensor:
    """Loss of generator and supervisor; logits (time, 1, n) of both, and of the generator's `raw` alone."""
    adversarial = cross_entropy(fake, 1.0) + RAW_WEIGHT * cross_entropy(raw, 1.0)
    return adversarial + _SUPERVISED_WEIGHT * tf.sqrt(supervised) + _MOMENT_WEIGHT * moments


def discriminator_loss(real: tf.Tensor, fake: tf.Tensor, raw: tf.Tensor) -> tf.Tensor:
    """Loss of the discriminator by its logits (time, 1, n) of real and both kinds of synthetic sequences."""
    return cross_entropy(real, 1.0) + cross_entropy(fake, 0.0) + RAW_WEIGHT * cross_entropy(raw, 0.0)


def cross_entropy(values: tf.Tensor, answer: float) -> tf.Tensor:
    """Mean cross-entropy of logits with one answer for all: 1 for real, 0 for synthetic."""
    target = tf.fill(tf.shape(values), answer)
    return _mean(tf.nn.sigmoid_cross_entropy_with_logits(target, values))


def _mean(values: tf.Tensor) -> tf.Tensor:
    """Mean over steps, features and records (time, p, n), for each model."""
    return tf.reduce_mean(values, axis=(0, -2, -1))
