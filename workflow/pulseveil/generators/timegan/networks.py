"""The five networks of TimeGAN and its losses (Yoon, Jarrett and van der Schaar, NeurIPS 2019).

Networks and loss weights are those of the authors' program. The program differs from the paper in its loss
weights, its moment loss and the steps in which the discriminator learns. GRU layers and their initial
parameters are those of Keras.

Models side by side have an axis of models in front of their parameters, and after the time axis of sequences:
(time, models, features, n). A loss is one number per model.
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

# A GRU of Keras has two biases: its reset gate acts on the recurrent product and the recurrent bias.
_GRU_PARAMETERS = ("kernel", "recurrent_kernel", "bias", "recurrent_bias")
GRU_ARRAYS = len(_GRU_PARAMETERS)
# Loss weights of the authors' program.
RECONSTRUCTION_WEIGHT = 10.0
_SUPERVISED_WEIGHT = 100.0
_MOMENT_WEIGHT = 100.0
_EMBEDDER_SUPERVISED_WEIGHT = 0.1  # eta
RAW_WEIGHT = 1.0  # gamma: weight of the generator's sequences before the supervisor


def recurrent_layers(network: str, depth: int) -> int:
    """Number of GRU layers of a network: `depth`, and one fewer for the supervisor."""
    return depth - 1 if network == "supervisor" else depth


def parameter_names(network: str, depth: int) -> list[str]:
    """Names of the parameters of a network, in their order."""
    numbers = range(1, recurrent_layers(network, depth) + 1)
    recurrent = [f"{network}_gru_{number}_{part}" for number in numbers for part in _GRU_PARAMETERS]
    return [*recurrent, f"{network}_output_kernel", f"{network}_output_bias"]


def start_network(
    rng: np.random.Generator, network: str, *, channels: int, hidden: int, depth: int, codes: int = 0
) -> list[Array]:
    """Initial parameters of one of `NETWORKS`, in the order of `parameter_names`.

    codes: numbers that code the condition, which the network reads at each step with the sequence.
    """
    inputs = codes + (channels if network in ("embedder", "generator") else hidden)
    outputs = {"recovery": channels, "discriminator": 1}.get(network, hidden)
    widths = [inputs] + [hidden] * recurrent_layers(network, depth)
    recurrent = [initial.gru(rng, *sizes) for sizes in pairwise(widths)]
    return [value for layer in recurrent for value in layer] + initial.dense(rng, hidden, outputs)


def inward(windows: tf.Tensor) -> tf.Tensor:
    """Windows with the axes of all sequences in this module, with or without an axis of models.

    (draws, models, n, time, channels) -> (draws, time, models, channels, n).
    """
    # Records come last, as in `recurrence.gru`: a transposition in each layer costs as much as the layer.
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
    """GRU layers and a dense layer at each step, before any sigmoid: x (time, p, n) -> (time, q, n)."""
    *recurrent, kernel, bias = parameters
    for first in range(0, len(recurrent), GRU_ARRAYS):
        x = _gru(x, recurrent[first : first + GRU_ARRAYS])
    return _affine(x, kernel, bias)


def sequence(x: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    """`logits` with a sigmoid, as all networks except the discriminator have it: values in (0, 1)."""
    return tf.sigmoid(logits(x, parameters))


def uniform(noise: tf.Tensor) -> tf.Tensor:
    """Uniform numbers on (0, 1) from standard normal ones, by the normal distribution function.

    The authors' generator reads uniform noise; all generators of this package take normal noise.
    """
    return 0.5 * (1 + tf.math.erf(noise / math.sqrt(2)))


@lru_cache(maxsize=1)
def sampler() -> Callable[[Sequence[Parameters], tf.Tensor], tf.Tensor]:
    """Compiled `(parameters of SAMPLING_NETWORKS, noise) -> windows` in (0, 1), both (n, time, channels).

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
    """Mean squared error of the supervisor's predictions `ahead` of the next `hidden`, both (time, h, n)."""
    return mean_square(hidden[1:], ahead[:-1])


def moment_loss(synthetic: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Mean distance of the standard deviations plus that of the means, per step and channel.

    synthetic, real: (time, channels, n). The moments are those of the batch: the loss mixes records.
    """
    # 1e-6 as in the authors' program: the root of a variance of 0 has no gradient.
    deviations = [tf.sqrt(tf.math.reduce_variance(windows, axis=-1) + 1e-6) for windows in (synthetic, real)]
    means = [tf.reduce_mean(windows, axis=-1) for windows in (synthetic, real)]
    distances = [tf.abs(a - b) for a, b in (deviations, means)]
    return sum(tf.reduce_mean(distance, axis=(0, -1)) for distance in distances)


def reconstruction_loss(windows: tf.Tensor, recovered: tf.Tensor) -> tf.Tensor:
    """Loss of embedder and recovery before joint training; both arguments (time, channels, n)."""
    return RECONSTRUCTION_WEIGHT * tf.sqrt(mean_square(windows, recovered))


def embedder_loss(reconstruction: tf.Tensor, supervised: tf.Tensor) -> tf.Tensor:
    """Loss of embedder and recovery in joint training."""
    return reconstruction + _EMBEDDER_SUPERVISED_WEIGHT * supervised


def generator_loss(fake: tf.Tensor, raw: tf.Tensor, supervised: tf.Tensor, moments: tf.Tensor) -> tf.Tensor:
    """Loss of generator and supervisor from the discriminator's logits (time, 1, n).

    fake: logits of sequences after the supervisor; raw: of the same sequences before it.
    """
    adversarial = cross_entropy(fake, 1.0) + RAW_WEIGHT * cross_entropy(raw, 1.0)
    return adversarial + _SUPERVISED_WEIGHT * tf.sqrt(supervised) + _MOMENT_WEIGHT * moments


def discriminator_loss(real: tf.Tensor, fake: tf.Tensor, raw: tf.Tensor) -> tf.Tensor:
    """Loss of the discriminator from its logits (time, 1, n); fake and raw as in `generator_loss`."""
    return cross_entropy(real, 1.0) + cross_entropy(fake, 0.0) + RAW_WEIGHT * cross_entropy(raw, 0.0)


def cross_entropy(values: tf.Tensor, answer: float) -> tf.Tensor:
    """Mean cross-entropy of logits with one target for all: 1 for real, 0 for synthetic."""
    target = tf.fill(tf.shape(values), answer)
    return _mean(tf.nn.sigmoid_cross_entropy_with_logits(target, values))


def _mean(values: tf.Tensor) -> tf.Tensor:
    """Mean over steps, features and records (time, p, n), one per model."""
    return tf.reduce_mean(values, axis=(0, -2, -1))
