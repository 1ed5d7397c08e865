"""The conditional GAN's generator network (Lange, Wenzlitschke and Rahm, Sensors 2024, 24(10):3052)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from pulseveil.networks import initial, layers
from pulseveil.networks.initial import Array
from pulseveil.networks.layers import Parameters
from pulseveil.networks.per_example import Note, unnoted

LABEL_PARAMETERS = 3
NOISE_SIZE = 60
UNITS = 60
Output = Literal["relu", "linear"]
GENERATOR_PARAMETERS = (
    "label_embedding",
    "label_kernel",
    "label_bias",
    "noise_kernel",
    "noise_bias",
    "lstm_1_kernel",
    "lstm_1_recurrent_kernel",
    "lstm_1_bias",
    "lstm_2_kernel",
    "lstm_2_recurrent_kernel",
    "lstm_2_bias",
    "output_kernel",
    "output_bias",
)


class Shape(NamedTuple):
    """Sizes of a GAN's data: conditions, seconds and channels of a window."""

    classes: int
    time: int
    channels: int


def start_label(rng: np.random.Generator, shape: Shape) -> list[Array]:
    """Parameters of `label_channel`: embedding (classes, classes) and a dense layer to `time`."""
    table = initial.embedding(rng, shape.classes, shape.classes)
    return [table, *initial.dense(rng, shape.classes, shape.time)]


def label_channel(condition: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """Condition codes (models, n) as one more channel of a window (models, n, time, 1)."""
    table, *to_time = parameters
    return layers.dense(layers.embedding(condition, table, note), to_time, note)[..., tf.newaxis]


def start_generator(rng: np.random.Generator, shape: Shape) -> list[Array]:
    """Parameters of `generate`, in the order of `GENERATOR_PARAMETERS`."""
    return [
        *start_label(rng, shape),
        *initial.dense(rng, NOISE_SIZE, shape.time * shape.channels),
        *initial.lstm(rng, shape.channels + 1, UNITS),
        *initial.lstm(rng, UNITS, UNITS),
        *initial.dense(rng, UNITS, shape.channels),
    ]


def generate(
    parameters: Parameters, noise: tf.Tensor, condition: tf.Tensor, *, leaky_slope: float, output: Output
) -> tf.Tensor:
    """Windows (n, time, channels) from standard normal noise (n, 60) and condition codes (n).

    All three and the parameters have models in front where several are asked at once.
    """
    label, spread = parameters[:LABEL_PARAMETERS], parameters[3:5]
    first, second, to_channels = parameters[5:8], parameters[8:11], parameters[11:13]
    time, channels = label[1].shape[-1], to_channels[0].shape[-1]
    signal = tf.nn.leaky_relu(layers.dense(noise, spread), alpha=leaky_slope)
    signal = tf.reshape(signal, (*noise.shape[:-1], time, channels))
    x = tf.concat([signal, label_channel(condition, label)], axis=-1)
    x = layers.lstm(layers.lstm(x, first), second)
    x = layers.dense(x, to_channels)
    return tf.nn.relu(x) if output == "relu" else x


@lru_cache(maxsize=8)
def sampler(leaky_slope: float, output: Output) -> Callable[[Parameters, tf.Tensor, tf.Tensor], tf.Tensor]:
    """`generate` as a compiled program: one compilation for all models of equal sizes and numbers of rows."""

    def run(parameters: Parameters, noise: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        return generate(parameters, noise, condition, leaky_slope=leaky_slope, output=output)

    compiled: Callable[..., tf.Tensor] = tf.function(run, autograph=False)
    return compiled
