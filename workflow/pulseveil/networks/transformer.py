"""The published transformer: blocks of self-attention over the signals of a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from pulseveil.networks import initial, layers
from pulseveil.networks.layers import Drop, Parameters
from pulseveil.networks.per_example import Note, unnoted
from pulseveil.networks.training import Tensors, Weights

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
