"""The published CNN, CNN-LSTM and transformer, which read each signal's spectrum.

Convolutions are TensorFlow's operation, in a plain graph; the elementwise chains between them are compiled.
On one CPU thread this is faster than either one alone (tests/benchmarks/detectors.py).
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
# Two tensors a convolution; dropout layers 0 to 4 lie between them.
_STACK = 2 * CONVOLUTIONS
_NORMALISED = _STACK + 2
_STACK_PLACES = 5


@dataclass(frozen=True)
class CNN:
    """Four convolutions, two of them pooled, then dense layers of `units`, then two logits."""

    signals: int
    bins: int
    filters: int
    units: tuple[int, ...]
    dropout: float
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
        return _head(tf.reshape(maps, (x.shape[0], -1)), parameters[_STACK:], drop, _STACK_PLACES, note)


@dataclass(frozen=True)
class CNNLSTM:
    """The same convolutions, batch-normalised; two LSTMs of `memory` units, which read one signal a step."""

    signals: int
    bins: int
    filters: int
    memory: tuple[int, int]
    units: tuple[int, ...]
    dropout: float
    compiles_step: ClassVar[bool] = False

    def start(self, rng: np.random.Generator) -> Weights:
        """Initial weights; statistics are the normalisation's running mean and variance."""
        return Weights(self._start_parameters(rng), initial.running_moments(self.filters))

    def train_logits(
        self, weights: Weights, x: tf.Tensor, present: tf.Tensor, drop: Drop, note: Note = unnoted
    ) -> tuple[tf.Tensor, Tensors]:
        """Logits (n, 2) with dropout, for x (n, signals, bins), and the next running statistics.

        Rows with `present (n)` 0 do not enter the statistics. Mixes records.
        """
        parameters = weights.parameters
        maps = self._maps(parameters, x, drop, note)
        note(maps, MixesRecords("batch normalisation", "use layer normalisation in private networks"))
        normalise = layers.fused(_normalise_by_batch)
        normal, mean, variance = normalise(maps, present, *parameters[_STACK:_NORMALISED])
        running = layers.running_moments((weights.statistics[0], weights.statistics[1]), (mean, variance))
        return self._remember(parameters, normal, drop, note), list(running)

    def score_logits(self, weights: Weights, x: tf.Tensor) -> tf.Tensor:
        """Logits (n, 2) of the trained network, normalised by the running statistics."""
        parameters = weights.parameters
        maps = self._maps(parameters, x, layers.keeping, unnoted)
        normal = layers.batch_norm(maps, parameters[_STACK:_NORMALISED], *weights.statistics)
        return self._remember(parameters, normal, layers.keeping, unnoted)

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
        """Feature maps (n, signals, bins // 4, filters)."""
        maps = _stack(x, parameters[:_STACK], drop, note)
        return tf.reshape(maps, (*x.shape[:2], *maps.shape[1:]))

    def _remember(self, parameters: Parameters, maps: tf.Tensor, drop: Drop, note: Note) -> tf.Tensor:
        """Logits (n, 2) from normalised maps."""
        first, second, head = parameters[10:13], parameters[13:16], parameters[16:]
        sequence = tf.reshape(maps, (*maps.shape[:2], -1))
        states = layers.lstm(layers.lstm(sequence, first, note), second, note)
        last = drop(states[:, -1], _STACK_PLACES)
        return _head(last, head, drop, _STACK_PLACES + 1, note)


@dataclass(frozen=True)
class LayerNormalisedCNNLSTM(CNNLSTM):
    """The CNN-LSTM for private trainings: no record enters another one's normalisation.

    Layer normalisation over the feature maps of each bin, in the place and with the parameters of the batch
    normalisation (Ba, Kiros and Hinton 2016, arXiv:1607.06450).
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
        return self._remember(parameters, normal, drop, note)


def _start_stack(rng: np.random.Generator, filters: int) -> list[initial.Array]:
    channels = (1, *(filters for _ in range(CONVOLUTIONS - 1)))
    return [tensor for c in channels for tensor in initial.conv1d(rng, WIDTH, c, filters)]


def _start_head(rng: np.random.Generator, inputs: int, units: tuple[int, ...]) -> list[initial.Array]:
    sizes = (inputs, *units, 2)
    return [t for p, q in pairwise(sizes) for t in initial.dense(rng, p, q)]


def _stack(x: tf.Tensor, parameters: Parameters, drop: Drop, note: Note) -> tf.Tensor:
    """Spectra (n, signals, bins) -> feature maps (n * signals, bins // 4, filters)."""
    n, signals, bins = x.shape
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
    """Convolution, ReLU, and what comes `then` before the next one."""
    activate = layers.fused(lambda z, bias: then(tf.nn.relu(z + bias)))
    return activate(layers.conv1d_operation(x, parameters, note), parameters[1])


def _head(x: tf.Tensor, parameters: Parameters, drop: Drop, place: int, note: Note) -> tf.Tensor:
    """Dense layers with ReLU and dropout, then the logits: x (n, p) -> (n, 2)."""
    for i in range(0, len(parameters) - 2, 2):
        x = drop(tf.nn.relu(layers.dense(x, parameters[i : i + 2], note)), place + i)
    return layers.dense(x, parameters[-2:], note)


def _normalise_by_batch(
    maps: tf.Tensor, present: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    mean, variance = layers.batch_moments(maps, present)
    return layers.batch_norm(maps, [gamma, beta], mean, variance), mean, variance


# Tensors of a block: two of a normalisation, eight of attention, two of a normalisation, two dense layers.
_BLOCK = 16
_BLOCK_PLACES = 3


@dataclass(frozen=True)
class Transformer:
    """Blocks on the tokens (signals), mean over the bins, one dense layer of `units`, two logits."""

    signals: int
    bins: int
    blocks: int
    heads: int
    head_size: int
    inner: int
    units: int
    dropout: float
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
            x = _block(x, parameters[_BLOCK * i : _BLOCK * (i + 1)], drop, _BLOCK_PLACES * i, note)
        hidden, out = parameters[-4:-2], parameters[-2:]
        pooled = tf.nn.relu(layers.dense(tf.reduce_mean(x, axis=2), hidden, note))
        return layers.dense(drop(pooled, _BLOCK_PLACES * self.blocks), out, note)


def _block(x: tf.Tensor, parameters: Parameters, drop: Drop, place: int, note: Note) -> tf.Tensor:
    """One encoder block, normalised before its two parts: x (n, signals, bins) -> the same shape."""
    before, attention, between = parameters[:2], parameters[2:10], parameters[10:12]
    narrow, widen = parameters[12:14], parameters[14:16]
    attended = layers.self_attention(
        layers.layer_norm(x, before, note), attention, lambda weights: drop(weights, place), note
    )
    x = x + drop(attended, place + 1)
    inner = tf.nn.relu(layers.dense(layers.layer_norm(x, between, note), narrow, note))
    return x + layers.dense(drop(inner, place + 2), widen, note)
