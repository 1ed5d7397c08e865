"""Training of the autoencoder, private or not, by one program; this module imports TensorFlow."""

from __future__ import annotations

import logging
import math
import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil import randomness
from pulseveil.checkpoints import Checkpoint
from pulseveil.generators.labelled_records import lay_out
from pulseveil.generators.private_autoencoder import PUBLIC_QUANTITIES, PrivateAutoencoder
from pulseveil.networks.autoencoder import Autoencoder
from pulseveil.networks.states import from_arrays, to_arrays
from pulseveil.networks.training import Examples
from pulseveil.privacy import dpsgd, ledger, sampling
from pulseveil.privacy.budget import Budget
from pulseveil.privacy.mechanism import Mechanism
from pulseveil.privacy.programs import DPSGD
from pulseveil.randomness import Stream

if TYPE_CHECKING:
    from pulseveil.privacy.ledger import Entry

logger = logging.getLogger(__name__)

Parameters = list[NDArray[np.float32]]
_SEGMENT_STEPS = 100
_NO_CLIPPING = math.inf


def train(
    network: Autoencoder,
    values: NDArray[np.float32],
    condition: NDArray[np.int8],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    stream: Stream,
    checkpoint: Checkpoint | None,
) -> Parameters:
    """Train without privacy on values (n, values) of known condition (n): no clipping, no noise.

    The program is that of private trainings. Conditions count alike. A resumed training ends in the same bits
    as an unbroken one.
    """
    started = time.monotonic()
    examples = _windows_as_records(network, values, condition)
    first_weights = network.start(randomness.generator(randomness.child(stream, "initial")))
    seed = tf.constant(randomness.stateless_seed(randomness.child(stream, "dropout")))
    batch = min(batch_size, len(values))
    order = sampling.draws(
        randomness.generator(randomness.child(stream, "order")),
        n=len(values),
        q=batch / len(values),
        room=len(values),
        steps=steps,
    )
    data = Examples(*map(tf.constant, examples))
    scales = dpsgd.Scales(
        *(tf.constant(value, tf.float32) for value in (_NO_CLIPPING, 0.0, batch, learning_rate))
    )
    run, state, done = dpsgd.program(network, 1, "adam"), dpsgd.start(first_weights), 0
    stored = checkpoint.load() if checkpoint is not None else None
    if stored is not None:
        done, state = stored.step, from_arrays(state, stored.arrays)
        logger.info("continue after step %d of %d", done, steps)
    while done < steps:
        before, done = done, min((done // _SEGMENT_STEPS + 1) * _SEGMENT_STEPS, steps)
        chance = dpsgd.Chance(tf.constant(order[before:done]), tf.zeros((done - before, 2), tf.int32))
        state = run(state, data, chance, seed, scales)
        if checkpoint is not None:
            checkpoint.keep(before, done, partial(to_arrays, state))
    logger.info("%d windows, %d steps, %.1f s", len(values), steps, time.monotonic() - started)
    return [np.asarray(value) for value in state.parameters]


def train_privately(
    network: Autoencoder,
    values: NDArray[np.float32],
    condition: NDArray[np.int8],
    subject: NDArray[np.str_],
    *,
    private: PrivateAutoencoder,
    mechanism: Mechanism,
    budget: Budget,
    stream: Stream,
    checkpoint: Checkpoint | None,
) -> tuple[Parameters, Entry]:
    """Train on the windows that the public constants admit, by `mechanism`; returns its ledger entry, too.

    `subject` (n) says whose values these are, in order of time. First weights and latent noise come from the
    seed tree and may be known: what a record adds to a step is clipped whatever they are. Raises InputError
    where there are more people than the public constants say.
    """
    noise = budget.noise_source()
    examples = lay_out(values, condition, subject, network.classes, budget.unit, budget.known_population())
    recipe = dpsgd.Recipe(network, mechanism, private.learning_rate, private.optimizer)
    weights, noised = dpsgd.fit(recipe, examples, noise, stream, checkpoint)
    entry = ledger.settle(
        mechanism,
        steps_noised=noised,
        delta=budget.delta,
        noise=noise,
        public_quantities=PUBLIC_QUANTITIES,
        program=DPSGD,
    )
    return [np.asarray(value) for value in weights.parameters], entry


def _windows_as_records(
    network: Autoencoder, values: NDArray[np.float32], condition: NDArray[np.int8]
) -> Examples:
    shares = np.bincount(condition, minlength=network.classes) / len(condition)
    weight = 1 / (network.classes * shares[condition])
    target = np.eye(network.classes, dtype=np.float32)[condition]
    return Examples(values[:, np.newaxis], target[:, np.newaxis], weight[:, np.newaxis].astype(np.float32))
