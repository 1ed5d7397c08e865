"""Networks of the conditional GAN: generator and discriminators.

Source: Lange, Wenzlitschke and Rahm, Sensors 2024, 24(10):3052.

A discriminator gives one logit per window, above 0 for windows that look real. Every network takes the
condition as one more channel. The published training step calls its discriminators outside training mode:
then Keras applies no dropout, and batch normalisation keeps its initial statistics (mean 0, variance 1). The
discriminators here do the same: batch normalisation only scales and shifts, and no discriminator mixes
records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from pulseveil.networks import initial, layers
from pulseveil.networks.initial import Array
from pulseveil.networks.layers import Parameters
from pulseveil.networks.per_example import Note, unnoted

LABEL_PARAMETERS = 3
NOISE_SIZE = 60
# The published configuration says 64 units; the published code builds 60.
UNITS = 60
Output = Literal["relu", "linear"]
# Names of stored arrays, in the order of the parameters: under other names, stored models cannot be read.
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
    """Sizes of the data: numbers of conditions, and of time steps and channels per window."""

    classes: int
    time: int
    channels: int


def start_label(rng: np.random.Generator, shape: Shape) -> list[Array]:
    """Parameters of `label_channel`: embedding (classes, classes) and a dense layer to `time`."""
    table = initial.embedding(rng, shape.classes, shape.classes)
    return [table, *initial.dense(rng, shape.classes, shape.time)]


def label_channel(condition: tf.Tensor, parameters: Parameters, note: Note = unnoted) -> tf.Tensor:
    """One more channel (models, n, time, 1) of a window, from condition codes (models, n)."""
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

    Models side by side have an axis of models in front of all shapes and of the parameters.
    """
    label, spread = parameters[:LABEL_PARAMETERS], parameters[3:5]
    first, second, to_channels = parameters[5:8], parameters[8:11], parameters[11:13]
    time, channels = label[1].shape[-1], to_channels[0].shape[-1]
    signal = tf.nn.leaky_relu(layers.dense(noise, spread), alpha=leaky_slope)
    signal = tf.reshape(signal, (*noise.shape[:-1], time, channels))
    x = tf.concat([signal, label_channel(condition, label)], axis=-1)
    x = layers.lstm(layers.lstm(x, first), second)
    x = layers.dense(x, to_channels)
    # The published output is a ReLU: it bounds values below but not above, so windows can exceed [0, 1].
    return tf.nn.relu(x) if output == "relu" else x


@lru_cache(maxsize=8)
def sampler(leaky_slope: float, output: Output) -> Callable[[Parameters, tf.Tensor, tf.Tensor], tf.Tensor]:
    """`generate` as a compiled program: one compilation for all models of equal sizes and numbers of rows."""

    # Parameters are arguments, not constants of the program: otherwise each fold and seed would compile anew.
    def run(parameters: Parameters, noise: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        return generate(parameters, noise, condition, leaky_slope=leaky_slope, output=output)

    compiled: Callable[..., tf.Tensor] = tf.function(run, autograph=False)
    return compiled


_FCN_LAYERS = ((8, 32), (5, 64), (3, 32))  # width, filters (Wang et al. 2017, arXiv:1611.06455)
_HEADS, _HEAD_SIZE, _TOKEN_SIZE, _FEED_FORWARD, _HIDDEN = 4, 32, 32, 4, 32
_TRANSFORMER_LAYERS = 2


class Discriminator(NamedTuple):
    """A discriminator network as two functions.

    start: initial parameters; its last argument divides the published widths of the layers. body: logits
    (n, 1) from parameters and x (n, time, channels + 1). Models side by side have an axis of models in front.
    """

    start: Callable[[np.random.Generator, Shape, int], list[Array]]
    body: Callable[[Parameters, tf.Tensor, Note], tf.Tensor]


def start_discriminator(
    name: str, rng: np.random.Generator, shape: Shape, width_divisor: int = 1
) -> list[Array]:
    """Initial parameters of the discriminator `name` (a key of `DISCRIMINATORS`), label channel first.

    width_divisor: divides the published widths of the layers.
    """
    return [*start_label(rng, shape), *DISCRIMINATORS[name].start(rng, shape, width_divisor)]


def discriminate(
    name: str, parameters: Parameters, windows: tf.Tensor, condition: tf.Tensor, note: Note = unnoted
) -> tf.Tensor:
    """Logits (n) of the discriminator `name` that windows (n, time, channels) with codes (n) are real.

    Models side by side have an axis of models in front of all shapes and of the parameters.
    """
    label = label_channel(condition, parameters[:LABEL_PARAMETERS], note)
    x = tf.concat([windows, label], axis=-1)
    return tf.squeeze(DISCRIMINATORS[name].body(parameters[LABEL_PARAMETERS:], x, note), axis=-1)


@lru_cache(maxsize=8)
def discriminator(name: str) -> Callable[[Parameters, tf.Tensor, tf.Tensor], tf.Tensor]:
    """`discriminate` as a compiled program: one compilation for networks and windows of equal sizes."""
    compiled: Callable[..., tf.Tensor] = tf.function(partial(discriminate, name), autograph=False)
    return compiled


def _start_lstm(rng: np.random.Generator, shape: Shape, width_divisor: int) -> list[Array]:
    units = _narrow(UNITS, width_divisor)
    return [
        *initial.lstm(rng, shape.channels + 1, units),
        *initial.lstm(rng, units, units),
        *initial.dense(rng, units, 1),
    ]


def _lstm(parameters: Parameters, x: tf.Tensor, note: Note) -> tf.Tensor:
    x = layers.lstm(layers.lstm(x, parameters[:3], note), parameters[3:6], note)
    return layers.dense(tf.reduce_mean(x, axis=-2), parameters[6:], note)


def _start_fcn(rng: np.random.Generator, shape: Shape, width_divisor: int) -> list[Array]:
    parameters, channels = [], shape.channels + 1
    for width, published in _FCN_LAYERS:
        filters = _narrow(published, width_divisor)
        parameters += initial.conv1d(rng, width, channels, filters) + initial.normalisation(filters)
        channels = filters
    return [*parameters, *initial.dense(rng, channels, 1)]


def _fcn(parameters: Parameters, x: tf.Tensor, note: Note) -> tf.Tensor:
    *body, kernel, bias = parameters
    for start in range(0, len(body), 4):
        x = layers.conv1d(x, body[start : start + 2], note)
        # The initial statistics, as in the published step; statistics of a batch would mix records.
        mean = tf.zeros_like(body[start + 1])
        x = tf.nn.relu(layers.batch_norm(x, body[start + 2 : start + 4], mean, tf.ones_like(mean), note))
    return layers.dense(tf.reduce_mean(x, axis=-2), [kernel, bias], note)


def _start_transformer(rng: np.random.Generator, shape: Shape, width_divisor: int) -> list[Array]:
    widths = (_TOKEN_SIZE, _HEAD_SIZE, _FEED_FORWARD, _HIDDEN)
    token, head, inner, hidden = (_narrow(width, width_divisor) for width in widths)
    parameters = initial.dense(rng, shape.channels + 1, token)
    for _ in range(_TRANSFORMER_LAYERS):
        parameters += initial.normalisation(token)
        parameters += initial.self_attention(rng, token, _HEADS, head)
        parameters += initial.normalisation(token)
        parameters += initial.dense(rng, token, inner)
        parameters += initial.dense(rng, inner, token)
    return [*parameters, *initial.dense(rng, shape.time, hidden), *initial.dense(rng, hidden, 1)]


def _transformer(parameters: Parameters, x: tf.Tensor, note: Note) -> tf.Tensor:
    embed, body, head = parameters[:2], parameters[2:-4], parameters[-4:]
    x = layers.dense(x, embed, note)
    size = len(body) // _TRANSFORMER_LAYERS
    for start in range(0, len(body), size):
        x = _transformer_layer(body[start : start + size], x, note)
    # The mean over features leaves one value per second, and the head has weights for each second: so the
    # network needs no position code.
    x = tf.nn.relu(layers.dense(tf.reduce_mean(x, axis=-1), head[:2], note))
    return layers.dense(x, head[2:], note)


def _transformer_layer(parameters: Parameters, x: tf.Tensor, note: Note) -> tf.Tensor:
    """Attention and feed-forward block, each with layer normalisation before it and a residual connection."""
    before, attention, between, widen, narrow = (
        parameters[:2],
        parameters[2:10],
        parameters[10:12],
        parameters[12:14],
        parameters[14:16],
    )
    x = x + layers.self_attention(layers.layer_norm(x, before, note), attention, note=note)
    inner = tf.nn.relu(layers.dense(layers.layer_norm(x, between, note), widen, note))
    return x + layers.dense(inner, narrow, note)


def _narrow(width: int, divisor: int) -> int:
    return max(1, width // divisor)


DISCRIMINATORS: Mapping[str, Discriminator] = {
    "lstm": Discriminator(_start_lstm, _lstm),
    "fcn": Discriminator(_start_fcn, _fcn),
    "transformer": Discriminator(_start_transformer, _transformer),
}
