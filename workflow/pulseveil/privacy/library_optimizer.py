"""DP-SGD by tensorflow-privacy's vectorised optimizers: a slow second opinion on `dpsgd`.

Same networks, draws and mechanism; clipping and noise are the library's. It takes a window for a record.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pulseveil import randomness
from pulseveil.errors import InputError
from pulseveil.networks import draws, layers
from pulseveil.networks.training import Examples, Weights, row_losses
from pulseveil.privacy import dpsgd, sampling
from pulseveil.privacy.clipping import SLACK
from pulseveil.privacy.dpsgd import Recipe
from pulseveil.privacy.noise import Noise
from pulseveil.randomness import Stream

logger = logging.getLogger(__name__)


def fit(recipe: Recipe, examples: Examples, noise: Noise, stream: Stream) -> tuple[Weights, int]:
    """Train from fresh weights; returns them, and how many steps the library noised: see `dpsgd.fit`.

    Records have one row each. The library draws its noise from TensorFlow's stateful generator, which is
    seeded from `noise` here and left with a seed of the operating system. A record whose gradient is not
    finite spoils the model: the library clips it to a value that is not finite either.
    """
    dpsgd.require_separate_records(recipe.network)
    started = time.monotonic()
    first_weights = recipe.network.start(randomness.generator(randomness.child(stream, "initial")))
    fingerprint = dpsgd.fingerprint(recipe, examples, first_weights)
    order = dpsgd.draw(recipe, noise, fingerprint).order
    seed = tf.constant(randomness.stateless_seed(randomness.child(stream, "dropout")))
    variables = [tf.Variable(value) for value in first_weights.parameters]
    noised = tf.Variable(0)
    tf.random.set_seed(int(noise.generator(recipe.mechanism.name, "library", fingerprint).integers(2**62)))
    step = _step(recipe, variables, noised)
    for number, numbers in enumerate(order):
        batch = _batch(examples, numbers)
        step(batch, tf.constant(numbers != sampling.ABSENT, tf.float32), draws.child_seed(seed, number))
    tf.random.set_seed(int.from_bytes(os.urandom(7)))
    logger.info("%d private steps of tensorflow-privacy, %.1f s", len(order), time.monotonic() - started)
    return Weights([tf.convert_to_tensor(value) for value in variables], []), int(noised)
