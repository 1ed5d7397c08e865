"""Conditional variational autoencoder of a few values per row, and its training with and without privacy.

Kingma and Welling 2014 (arXiv:1312.6114), conditional as in Sohn, Lee and Yan 2015. The encoder reads the
values and the condition of a row. The decoder gives a normal distribution per value: its mean is one
parameter per condition plus a function of the latent values. So the difference between conditions, which is
what synthetic data are for, lies in few parameters.

One program trains the autoencoder with and without noise. Imports TensorFlow.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.core import randomness
from pulseveil.generators import Training
from pulseveil.generators.private_settings import OF_SPECTRUM, PrivateAutoencoder
from pulseveil.generators.private_training import lay_out_labelled
from pulseveil.networks import draws, initial, layers, loop
from pulseveil.networks.learner import Learner, RowSeeds
from pulseveil.networks.loop import Block
from pulseveil.networks.per_example import Note, Product, unnoted
from pulseveil.networks.training import Examples, Tensors, Weights
from pulseveil.privacy import dpsgd, ledger, records
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.ledger import Entry
from pulseveil.privacy.programs import DPSGD

# Standard deviation of each value at the start, in the public units of the values. It must not be estimated
# from the data: that would be a query without noise.
START_DEVIATION = 0.5
_ENCODER = 4


@dataclass(frozen=True)
class Autoencoder(Learner):
    """Conditional variational autoencoder of rows of `values` numbers in `classes` conditions.

    hidden: units of the encoder's and of the decoder's hidden layer. latent: latent values per row.
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
        """Shape of a row: its values."""
        return (self.values,)

    @property
    def targets(self) -> int:
        """Length of a target: one number per condition."""
        return self.classes

    def start(self, rng: np.random.Generator) -> Weights:
        """Initial weights: for all conditions, each value has mean 0 and deviation `START_DEVIATION`."""
        encoder = [
            *initial.dense(rng, self.values + self.classes, self.hidden),
            *initial.dense(rng, self.hidden, 2 * self.latent),
        ]
        decoder = [
            *initial.dense(rng, self.latent, self.hidden),
            # Zeros: at first the decoder gives each value the mean 0, whatever the latent values are.
            np.zeros((self.hidden, self.values), np.float32),
            np.zeros((self.classes, self.values), np.float32),
            np.full((self.classes, self.values), np.log(START_DEVIATION), np.float32),
        ]
        return Weights([*encoder, *decoder], [])

    def row_losses(
        self, weights: Weights, batch: Examples, seeds: RowSeeds, note: Note = unnoted
    ) -> tf.Tensor:
        """Negative evidence lower bound per value, times the row's weight (rows)."""
        parameters = weights.parameters
        mean, log_variance = encode(parameters, batch.x, batch.target, note)
        # Keyed by the row's number, not by its position in the batch: otherwise the gradients of other
        # records would depend on whether a record is sampled, and amplification by sampling would not hold.
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
    """Mean and log variance (n, latent) of latent values; x (n, values), `condition` (n, classes) one-hot."""
    hidden = tf.tanh(layers.dense(tf.concat([x, condition], axis=1), parameters[:2], note))
    mean, log_variance = tf.split(layers.dense(hidden, parameters[2:_ENCODER], note), 2, axis=1)
    return mean, log_variance


def decode(
    parameters: Tensors, latent: tf.Tensor, codes: tf.Tensor, note: Note = unnoted
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and log deviation (n, values) of the values; latent (n, latent), condition `codes` (n)."""
    kernel, bias, outputs, means, log_deviations = parameters[_ENCODER:]
    hidden = tf.tanh(layers.dense(latent, (kernel, bias), note))
    shared = note(layers.affine(hidden, outputs), Product((hidden,), (outputs,)))
    own = layers.embedding(codes, means, note)
    return shared + own, layers.embedding(codes, log_deviations, note)


def decoded(
    parameters: Sequence[NDArray[np.float32]], latent: NDArray[np.float32], codes: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation (n, values) by `decode`, as arrays."""
    tensors = [tf.constant(value) for value in parameters]
    mean, log_deviation = decode(tensors, tf.constant(latent), tf.constant(codes))
    return mean.numpy(), np.exp(log_deviation.numpy())


logger = logging.getLogger(__name__)

Arrays = list[NDArray[np.float32]]
_BLOCK_STEPS = 100
_NO_CLIPPING = math.inf


def train(
    network: Autoencoder,
    values: NDArray[np.float32],
    training: Training,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
) -> Arrays:
    """Train without privacy on the values (n, values) of a training's windows.

    The program is that of private trainings, with an infinite clip norm and zero noise. All conditions have
    equal weight. A resumed training ends in the same bits as an unbroken one.
    """
    started, stream, checkpoint = time.monotonic(), training.stream, training.checkpoint
    examples = _windows_as_records(network, values, training.condition)
    first_weights = network.start(randomness.generator(randomness.child(stream, "initial")))
    seed = tf.constant(randomness.stateless_seed(randomness.child(stream, "dropout")))
    batch = min(batch_size, len(values))
    # The Poisson sampler of private trainings: shuffled passes would be one more thing that a budget changes.
    order = records.draws(
        randomness.generator(randomness.child(stream, "order")),
        n=len(values),
        q=batch / len(values),
        capacity=len(values),
        steps=steps,
    )
    data = Examples(*map(tf.constant, examples))
    scales = dpsgd.Scales(
        *(tf.constant(value, tf.float32) for value in (_NO_CLIPPING, 0.0, batch, learning_rate))
    )
    run = dpsgd.program(network, 1, "adam")

    def advance(block: Block, state: dpsgd.State) -> tuple[dpsgd.State, loop.Losses]:
        # Seeds without effect: the deviation of the noise in `scales` is 0.
        no_noise = tf.zeros((block.last - block.first, 2), tf.int32)
        chance = dpsgd.Chance(tf.constant(order[block.first : block.last]), no_noise)
        return run(state, data, chance, seed, scales), {}

    states, blocks = {"": dpsgd.start(first_weights)}, loop.blocks([""], {"step": steps}, _BLOCK_STEPS)
    trained = loop.train("autoencoder", states, blocks, advance, checkpoint)
    logger.info("autoencoder: %d windows, %.1f s", len(values), time.monotonic() - started)
    return [np.asarray(value) for value in trained[""].parameters]


def train_privately(
    network: Autoencoder,
    values: NDArray[np.float32],
    training: Training,
    private: PrivateAutoencoder,
    mechanism: Mechanism,
) -> tuple[Arrays, Entry]:
    """Train privately by `mechanism` on the values (n, values) of a training's windows.

    Initial weights and latent noise come from the seed tree and may be public: a record's gradient is clipped
    whatever they are.

    Returns:
        The parameters and the ledger entry.

    Raises:
        InputError: there are more people than in the public constants of the budget.
    """
    budget, noise = training.budget, training.budget.noise_source()
    examples = lay_out_labelled(
        values,
        training.condition,
        training.subject,
        network.classes,
        budget.unit,
        budget.known_population(),
    )
    recipe = dpsgd.Recipe(network, mechanism, private.learning_rate, private.optimizer)
    weights, noised = dpsgd.fit(recipe, examples, noise, training.stream, training.checkpoint)
    entry = ledger.close(
        mechanism,
        steps_noised=noised,
        delta=budget.delta,
        noise=noise,
        public_quantities=OF_SPECTRUM,
        program=DPSGD,
    )
    return [np.asarray(value) for value in weights.parameters], entry


def _windows_as_records(
    network: Autoencoder, values: NDArray[np.float32], condition: NDArray[np.int8]
) -> Examples:
    """The values (n, values) as n records of one row each, weighted so that all conditions count equally."""
    # Shares counted in the data: allowed only here, without a budget. `lay_out_labelled` takes public ones.
    shares = np.bincount(condition, minlength=network.classes) / len(condition)
    weight = 1 / (network.classes * shares[condition])
    target = np.eye(network.classes, dtype=np.float32)[condition]
    return Examples(values[:, np.newaxis], target[:, np.newaxis], weight[:, np.newaxis].astype(np.float32))
