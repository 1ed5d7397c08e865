"""Published CNN, CNN-LSTM and transformer, which classify the spectra of a window's signals.

Source: Lange, Wenzlitschke and Rahm, Sensors 2024, 24(10):3052.

Convolutions are TensorFlow's operation in a plain graph. The elementwise chains between them are compiled. On
one CPU thread this is faster than a plain graph or a compiled step (tests/benchmarks/detectors.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import tensorflow as tf

from pulseveil.networks import initial, layers
from pulseveil.networks.layers import Drop, Parameters
from pulseveil.networks.per_example import MixesRecords, Note, unnoted
from pulseveil.networks.training import Tensors, Weights

WIDTH = 3
CONVOLUTIONS = 4
POOLINGS = 2
# Parameters of the convolutions, two tensors each; then the normalisation's gamma and beta.
_STACK = 2 * CONVOLUTIONS
_NORMALISED = _STACK + 2
# A dropout layer is keyed by its number in the network: two layers of one number would drop alike. Numbers 0
# to 4 are those of the convolutions.
_STACK_DROPOUTS = 5


@dataclass(frozen=True)
class CNN:
    """CNN: four convolutions, the last two pooled, then dense layers of `units` and two logits.

    x (n, signals, bins) float32 -> logits (n, 2): not stress, stress.
    """

    signals: int
    bins: int
    filters: int
    units: tuple[int, ...]
    dropout: float
    # XLA's convolution on a CPU is some twenty times slower than TensorFlow's operation.
    compiles_step: ClassVar[bool] = False

    def start(self, rng: np.random.Generator) -> Weights:
        """Initial weights; no statistics."""
        flat = self.signals * (self.bins // 2**POOLINGS) * self.filters
        return Weights([*_start_stack(rng, self.filters), *_start_head(rng, flat, self.units)], [])

    def train_logits(
        self, weights: Weights, x: tf.Tensor, present: tf.Tensor, drop: Drop, note: Note = unnoted
    ) -> tuple[tf.Tensor, Tensors]:
        """Logits (n, 2) with dropout, for x (n, signals, bins); no statistics."""
        return self._logits(weights.parameters, x, drop, note), []

    def score_logits(self, weights: Weights, x: tf.Tensor) -> tf.Tensor:
        """Logits (n, 2) of the trained network."""
        return self._logits(weights.parameters, x, layers.keeping, unnoted)

    def _logits(self, parameters: Parameters, x: tf.Tensor, drop: Drop, note: Note) -> tf.Tensor:
        maps = _stack(x, parameters[:_STACK], drop, note)
        return _head(tf.reshape(maps, (x.shape[0], -1)), parameters[_STACK:], drop, _STACK_DROPOUTS, note)


@dataclass(frozen=True)
class CNNLSTM:
    """CNN-LSTM: batch-normalised convolutions, two LSTMs over the signals, dense layers, two logits.

    x (n, signals, bins) float32 -> logits (n, 2). The LSTMs have `memory` units and read one signal per step.
    """

    signals: int
    bins: int
    filters: int
    memory: tuple[int, int]
    units: tuple[int, ...]
    dropout: float
    compiles_step: ClassVar[bool] = False

    def start(self, rng: np.random.Generator) -> Weights:
        """Initial weights; the statistics are the running mean and variance of the normalisation."""
        return Weights(self._start_parameters(rng), initial.running_moments(self.filters))

    def train_logits(
        self, weights: Weights, x: tf.Tensor, present: tf.Tensor, drop: Drop, note: Note = unnoted
    ) -> tuple[tf.Tensor, Tensors]:
        """Logits (n, 2) with dropout, for x (n, signals, bins), and the next running statistics.

        Rows with present (n) 0 do not enter the statistics.

        Raises:
            InputError: `note` is that of `record_gradients`, as batch normalisation mixes records.
        """
        parameters = weights.parameters
        maps = self._maps(parameters, x, drop, note)
        # Noted here: the normalisation is compiled on its own, where its layers have no note.
        note(maps, MixesRecords("batch normalisation", "use layer normalisation in private networks"))
        normalise = layers.fused(_normalise_by_batch)
        normal, mean, variance = normalise(maps, present, *parameters[_STACK:_NORMALISED])
        running = layers.running_moments((weights.statistics[0], weights.statistics[1]), (mean, variance))
        return self._recurrent_logits(parameters, normal, drop, note), list(running)

    def score_logits(self, weights: Weights, x: tf.Tensor) -> tf.Tensor:
        """Logits (n, 2) of the trained network, normalised by the running statistics."""
        parameters = weights.parameters
        maps = self._maps(parameters, x, layers.keeping, unnoted)
        normal = layers.batch_norm(maps, parameters[_STACK:_NORMALISED], *weights.statistics)
        return self._recurrent_logits(parameters, normal, layers.keeping, unnoted)

    def _start_parameters(self, rng: np.random.Generator) -> list[initial.Array]:
        first, second = self.memory
        flat = (self.bins // 2**POOLINGS) * self.filters
        return [
            *_start_stack(rng, self.filters),
            *initial.normalisation(self.filters),
            *initial.lstm(rng, flat, first),
            *initial.lstm(rng, first, second),
            *_start_head(rng, second, self.units),
        ]

    def _maps(self, parameters: Parameters, x: tf.Tensor, drop: Drop, note: Note) -> tf.Tensor:
        """Feature maps (n, signals, bins // 4, filters) of x (n, signals, bins)."""
        maps = _stack(x, parameters[:_STACK], drop, note)
        return tf.reshape(maps, (*x.shape[:2], *maps.shape[1:]))

    def _recurrent_logits(self, parameters: Parameters, maps: tf.Tensor, drop: Drop, note: Note) -> tf.Tensor:
        """Logits (n, 2) from normalised maps (n, signals, bins // 4, filters)."""
        # In the order of `_start_parameters`: three tensors per LSTM, after those of the normalisation.
        first, second, head = parameters[10:13], parameters[13:16], parameters[16:]
        sequence = tf.reshape(maps, (*maps.shape[:2], -1))
        states = layers.lstm(layers.lstm(sequence, first, note), second, note)
        last = drop(states[:, -1], _STACK_DROPOUTS)
        return _head(last, head, drop, _STACK_DROPOUTS + 1, note)


@dataclass(frozen=True)
class LayerNormalisedCNNLSTM(CNNLSTM):
    """CNN-LSTM for private trainings: no record enters the normalisation of another.

    Layer normalisation (Ba, Kiros and Hinton 2016, arXiv:1607.06450) over the feature maps of each bin
    replaces the batch normalisation, with parameters of the same shapes.
    """

    def start(self, rng: np.random.Generator) -> Weights:
        """Initial weights; no statistics."""
        return Weights(self._start_parameters(rng), [])

    def train_logits(
        self, weights: Weights, x: tf.Tensor, present: tf.Tensor, drop: Drop, note: Note = unnoted
    ) -> tuple[tf.Tensor, Tensors]:
        """Logits (n, 2) with dropout, for x (n, signals, bins); no statistics."""
        return self._logits(weights.parameters, x, drop, note), []

    def score_logits(self, weights: Weights, x: tf.Tensor) -> tf.Tensor:
        """Logits (n, 2) of the trained network."""
        return self._logits(weights.parameters, x, layers.keeping, unnoted)

    def _logits(self, parameters: Parameters, x: tf.Tensor, drop: Drop, note: Note) -> tf.Tensor:
        maps = self._maps(parameters, x, drop, note)
        normal = layers.layer_norm(maps, parameters[_STACK:_NORMALISED], note)
        return self._recurrent_logits(parameters, normal, drop, note)


def _start_stack(rng: np.random.Generator, filters: int) -> list[initial.Array]:
    """Initial parameters of the convolutions, of which the first has one input channel: the spectrum."""
    channels = (1, *(filters for _ in range(CONVOLUTIONS - 1)))
    return [tensor for c in channels for tensor in initial.conv1d(rng, WIDTH, c, filters)]


def _start_head(rng: np.random.Generator, inputs: int, units: tuple[int, ...]) -> list[initial.Array]:
    """Initial parameters of the dense layers and of the logits."""
    sizes = (inputs, *units, 2)
    return [t for p, q in pairwise(sizes) for t in initial.dense(rng, p, q)]


def _stack(x: tf.Tensor, parameters: Parameters, drop: Drop, note: Note) -> tf.Tensor:
    """Convolutions over the bins: (n, signals, bins) -> feature maps (n * signals, bins // 4, filters)."""
    n, signals, bins = x.shape
    # A row's signals stay next to each other: seeds per row divide this axis into n equal parts (`dropout`).
    maps = tf.reshape(x, (n * signals, bins, 1))
    chains = (
        lambda z: drop(z, 0),
        lambda z: drop(z, 1),
        lambda z: drop(layers.max_pool(z, 2), 2),
        lambda z: drop(layers.max_pool(drop(z, 3), 2), 4),
    )
    for i, chain in enumerate(chains):
        maps = _convolve(maps, parameters[2 * i : 2 * i + 2], chain, note)
    return maps


def _convolve(
    x: tf.Tensor, parameters: Parameters, then: Callable[[tf.Tensor], tf.Tensor], note: Note
) -> tf.Tensor:
    """Convolution, bias, ReLU, and then the elementwise chain `then`: x (n, bins, c) -> maps."""
    # The bias is added here and not in the convolution: the compiled chain passes over the maps once.
    activate = layers.fused(lambda z, bias: then(tf.nn.relu(z + bias)))
    return activate(layers.conv1d_operation(x, parameters, note), parameters[1])


def _head(x: tf.Tensor, parameters: Parameters, drop: Drop, number: int, note: Note) -> tf.Tensor:
    """Dense layers with ReLU and dropout, then the logits: x (n, p) -> (n, 2).

    number: of the first dropout layer.
    """
    for i in range(0, len(parameters) - 2, 2):
        # Every other number: other numbers would be other masks, and golden values would change.
        x = drop(tf.nn.relu(layers.dense(x, parameters[i : i + 2], note)), number + i)
    return layers.dense(x, parameters[-2:], note)


def _normalise_by_batch(
    maps: tf.Tensor, present: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Maps normalised by the batch rows with present (n) 1, and mean and variance (filters) of such rows."""
    mean, variance = layers.batch_moments(maps, present)
    return layers.batch_norm(maps, [gamma, beta], mean, variance), mean, variance


# Tensors per block: two of a normalisation, eight of attention, two of a normalisation, four of dense layers.
_BLOCK = 16
_BLOCK_DROPOUTS = 3


@dataclass(frozen=True)
class Transformer:
    """Transformer: encoder blocks, mean over the bins, one dense layer of `units`, two logits.

    x (n, signals, bins) float32 -> logits (n, 2). Each signal is a token with its bins as features.
    """

    signals: int
    bins: int
    blocks: int
    heads: int
    head_size: int
    inner: int
    units: int
    dropout: float
    # No convolution: XLA compiles the whole step.
    compiles_step: ClassVar[bool] = True

    def start(self, rng: np.random.Generator) -> Weights:
        """Initial weights; no statistics."""
        parameters = [tensor for _ in range(self.blocks) for tensor in self._start_block(rng)]
        parameters += [*initial.dense(rng, self.signals, self.units), *initial.dense(rng, self.units, 2)]
        return Weights(parameters, [])

    def train_logits(
        self, weights: Weights, x: tf.Tensor, present: tf.Tensor, drop: Drop, note: Note = unnoted
    ) -> tuple[tf.Tensor, Tensors]:
        """Logits (n, 2) with dropout, for x (n, signals, bins); no statistics."""
        return self._logits(weights.parameters, x, drop, note), []

    def score_logits(self, weights: Weights, x: tf.Tensor) -> tf.Tensor:
        """Logits (n, 2) of the trained network."""
        return self._logits(weights.parameters, x, layers.keeping, unnoted)

    def _start_block(self, rng: np.random.Generator) -> list[initial.Array]:
        return [
            *initial.normalisation(self.bins),
            *initial.self_attention(rng, self.bins, self.heads, self.head_size),
            *initial.normalisation(self.bins),
            *initial.dense(rng, self.bins, self.inner),
            *initial.dense(rng, self.inner, self.bins),
        ]

    def _logits(self, parameters: Parameters, x: tf.Tensor, drop: Drop, note: Note) -> tf.Tensor:
        for i in range(self.blocks):
            x = _block(x, parameters[_BLOCK * i : _BLOCK * (i + 1)], drop, _BLOCK_DROPOUTS * i, note)
        hidden, out = parameters[-4:-2], parameters[-2:]
        # Over the bins and not over the tokens, as published: one mean per signal.
        pooled = tf.nn.relu(layers.dense(tf.reduce_mean(x, axis=2), hidden, note))
        return layers.dense(drop(pooled, _BLOCK_DROPOUTS * self.blocks), out, note)


def _block(x: tf.Tensor, parameters: Parameters, drop: Drop, number: int, note: Note) -> tf.Tensor:
    """Encoder block, normalised before its attention and its dense layers: x (n, signals, bins), as result.

    number: of the first of the block's three dropout layers.
    """
    before, attention, between = parameters[:2], parameters[2:10], parameters[10:12]
    narrow, widen = parameters[12:14], parameters[14:16]
    attended = layers.self_attention(
        layers.layer_norm(x, before, note), attention, lambda weights: drop(weights, number), note
    )
    x = x + drop(attended, number + 1)
    inner = tf.nn.relu(layers.dense(layers.layer_norm(x, between, note), narrow, note))
    return x + layers.dense(drop(inner, number + 2), widen, note)
