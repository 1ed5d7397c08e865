"""A conditional variational autoencoder of few values, as pure functions of its parameters.

Kingma and Welling 2014 (arXiv:1312.6114), conditional as in Sohn, Lee and Yan 2015. The encoder reads a row's
values and condition; the decoder gives a normal distribution of each value, whose mean is a part of its own
for each condition plus what the latent values say. So the difference of conditions, which is what synthetic
data are for, sits in few parameters, and noise meets it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.networks import draws, initial, layers
from pulseveil.networks.learner import Learner, RowSeeds
from pulseveil.networks.per_example import Note, Product, unnoted
from pulseveil.networks.training import Examples, Tensors, Weights

# Standard deviation of each value before anything is learnt, in the values' public units.
START_DEVIATION = 0.5
_ENCODER = 4


@dataclass(frozen=True)
class Autoencoder(Learner):
    """The network for rows of `values` numbers in `classes` conditions.

    hidden: units of the encoder's and of the decoder's hidden layer. latent: latent values of a row.
    kl_weight: weight of the divergence of the latent values from the standard normal.
    """

    values: int
    classes: int
    hidden: int
    latent: int
    kl_weight: float

    @property
    def compiles_step(self) -> bool:
        """The network is small: XLA compiles the whole step."""
        return True

    @property
    def inputs(self) -> tuple[int, ...]:
        """The values of a row."""
        return (self.values,)

    @property
    def targets(self) -> int:
        """One place for each condition."""
        return self.classes

    def start(self, rng: np.random.Generator) -> Weights:
        """Initial weights: all conditions alike, each value around 0 with the public deviation."""
        encoder = [
            *initial.dense(rng, self.values + self.classes, self.hidden),
            *initial.dense(rng, self.hidden, 2 * self.latent),
        ]
        decoder = [
            *initial.dense(rng, self.latent, self.hidden),
            np.zeros((self.hidden, self.values), np.float32),
            np.zeros((self.classes, self.values), np.float32),
            np.full((self.classes, self.values), np.log(START_DEVIATION), np.float32),
        ]
        return Weights([*encoder, *decoder], [])

    def row_losses(
        self, weights: Weights, batch: Examples, seeds: RowSeeds, note: Note = unnoted
    ) -> tf.Tensor:
        """Negative evidence lower bound a value, times the row's weight (rows).

        A row's latent noise is decided by the training step and the row's own number, whatever else is drawn.
        """
        parameters = weights.parameters
        mean, log_variance = encode(parameters, batch.x, batch.target, note)
        normal = draws.normals(seeds.number, self.latent, seeds.step)
        latent = mean + tf.exp(0.5 * log_variance) * normal
        expected, log_deviation = decode(parameters, latent, tf.argmax(batch.target, axis=1), note)
        error = tf.square((batch.x - expected) * tf.exp(-log_deviation))
        surprise = tf.reduce_sum(0.5 * error + log_deviation, axis=1)
        terms = tf.square(mean) + tf.exp(log_variance) - log_variance - 1
        divergence = 0.5 * tf.reduce_sum(terms, axis=1)
        return batch.weight * (surprise + self.kl_weight * divergence) / self.values


def encode(
    parameters: Tensors, x: tf.Tensor, condition: tf.Tensor, note: Note = unnoted
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and log variance (n, latent) of latent values; x (n, values), condition (n, classes) one-hot."""
    hidden = tf.tanh(layers.dense(tf.concat([x, condition], axis=1), parameters[:2], note))
    mean, log_variance = tf.split(layers.dense(hidden, parameters[2:_ENCODER], note), 2, axis=1)
    return mean, log_variance


def decode(
    parameters: Tensors, latent: tf.Tensor, codes: tf.Tensor, note: Note = unnoted
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and log deviation (n, values) of the values; latent (n, latent), codes (n) of the conditions."""
    kernel, bias, outputs, means, log_deviations = parameters[_ENCODER:]
    hidden = tf.tanh(layers.dense(latent, (kernel, bias), note))
    shared = note(layers.affine(hidden, outputs), Product((hidden,), (outputs,)))
    own = layers.embedding(codes, means, note)
    return shared + own, layers.embedding(codes, log_deviations, note)


def decoded(
    parameters: Sequence[NDArray[np.float32]], latent: NDArray[np.float32], codes: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`decode` of arrays: mean and deviation (n, values)."""
    tensors = [tf.constant(value) for value in parameters]
    mean, log_deviation = decode(tensors, tf.constant(latent), tf.constant(codes))
    return mean.numpy(), np.exp(log_deviation.numpy())
