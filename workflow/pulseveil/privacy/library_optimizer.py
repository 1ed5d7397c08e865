"""DP-SGD by the vectorised optimizers of tensorflow-privacy: an independent, slow check of `dpsgd`.

Networks, draws and mechanism are the same; clipping and noise are the library's. A record is one window.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pulseveil.core import randomness
from pulseveil.core.randomness import Stream
from pulseveil.networks import draws
from pulseveil.networks.learner import as_learner, seeds_of
from pulseveil.networks.per_example import Note, kept_rows, record_gradients, unnoted
from pulseveil.networks.training import Examples, Weights
from pulseveil.privacy import dpsgd
from pulseveil.privacy.clipping import SLACK
from pulseveil.privacy.dpsgd import Recipe
from pulseveil.privacy.noise import Noise
from pulseveil.privacy.records import ABSENT

logger = logging.getLogger(__name__)

# Adam's default in Keras, as in `networks.adam`.
_ADAM_EPSILON = 1e-7


def fit(
    recipe: Recipe, examples: Examples, noise: Noise, stream: Stream, initial_weights: Weights | None = None
) -> tuple[Weights, int]:
    """Train a network by the library's optimizer; arguments as in `dpsgd.fit`.

    Records have one row each.

    Returns:
        The trained weights, and the number of steps that the library took.

    Raises:
        InputError: the network mixes records.

    Guarantee:
        As `dpsgd.fit`, except for the noise: TensorFlow's own float32 normals, seeded from `noise`. Their
        digits can be read (Mironov 2012), so the training is for comparison. An interrupted one cannot
        resume.
    """
    dpsgd.require_separate_records(recipe.network)
    started = time.monotonic()
    fresh = recipe.network.start(randomness.generator(randomness.child(stream, "initial")))
    given = None if initial_weights is None else [value.numpy() for value in initial_weights.parameters]
    first_weights = fresh if given is None else Weights(given, [])
    fingerprint = dpsgd.fingerprint(recipe, examples, first_weights)
    order = dpsgd.draw(recipe, noise, fingerprint).order
    # No more rows than the largest draw: the library holds one gradient per row in memory.
    rows = max(1, int((order != ABSENT).sum(axis=1).max()))
    seed = tf.constant(randomness.stateless_seed(randomness.child(stream, "dropout")))
    variables = [tf.Variable(value) for value in first_weights.parameters]
    taken = tf.Variable(0)
    step = _step(recipe, optimizer(recipe, rows), variables, taken)
    tf.random.set_seed(int(noise.generator(recipe.mechanism.name, "library", fingerprint).integers(2**62)))
    for number, drawn in enumerate(order[:, :rows]):
        batch = Examples(*(tf.constant(values[np.maximum(drawn, 0), 0]) for values in examples))
        present = tf.constant(drawn != ABSENT, tf.float32)
        step(batch, present, tf.constant(drawn), draws.child_seed(seed, number))
    # The global seed is secret: what runs next in this process must not repeat the noise.
    tf.random.set_seed(int.from_bytes(os.urandom(7), "big"))
    logger.info("%d private steps by tensorflow-privacy, %.1f s", len(order), time.monotonic() - started)
    return Weights([value.value() for value in variables], []), int(taken)


def optimizer(recipe: Recipe, rows: int) -> Any:
    """Optimizer of the library for batches of `rows` rows, padding included.

    The library divides the noised sum by the number of rows. The ratio to the expected batch goes into the
    learning rate or, since Adam's steps do not depend on the gradient's scale, into Adam's epsilon.
    """
    mechanism = recipe.mechanism
    # The library scales its noise by its own clip norm: the multiplier makes up for the slack.
    common = {
        "l2_norm_clip": mechanism.clip_norm * (1 - SLACK),
        "noise_multiplier": mechanism.noise_multiplier / (1 - SLACK),
        "num_microbatches": rows,
    }
    ratio = rows / recipe.expected_batch
    library = _library()
    if recipe.optimizer == "sgd":
        return library.VectorizedDPKerasSGDOptimizer(**common, learning_rate=recipe.learning_rate * ratio)
    return library.VectorizedDPKerasAdamOptimizer(
        **common, learning_rate=recipe.learning_rate, epsilon=_ADAM_EPSILON / ratio
    )


def _step(
    recipe: Recipe, dp_optimizer: Any, variables: Sequence[tf.Variable], taken: tf.Variable
) -> Callable[[Examples, tf.Tensor, tf.Tensor, tf.Tensor], None]:
    """One step on a batch, of which `present` (rows) marks records: padding has no loss and no gradient."""
    learner = as_learner(recipe.network)

    def step(batch: Examples, present: tf.Tensor, records: tf.Tensor, seed: tf.Tensor) -> None:
        def row_losses(rows: Examples, parameters: Sequence[tf.Tensor], note: Note = unnoted) -> tf.Tensor:
            return learner.row_losses(Weights(parameters, []), rows, seeds_of(seed, records, 1), note)

        values = [tf.convert_to_tensor(value) for value in variables]
        found = record_gradients(lambda note: row_losses(batch, values, note), values, present.shape[0])
        # The library would multiply a gradient that is not finite by zero, which is not zero: inputs of such
        # a record are emptied before the library computes with them.
        finite = tf.math.is_finite(found.squared_norms())
        mended = Examples(*(kept_rows(finite, value) for value in batch))
        counted = tf.where(finite, present, 0.0)

        def losses() -> tf.Tensor:
            return counted * row_losses(mended, [tf.convert_to_tensor(value) for value in variables])

        dp_optimizer.minimize(losses, variables)
        taken.assign_add(1)

    return tf.function(step, autograph=False)  # type: ignore[no-any-return]


def _library() -> Any:
    """Import the optimizers without the package's own imports, which fail with newer TensorFlow versions."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    sys.skip_tf_privacy_import = True  # type: ignore[attr-defined]
    from tensorflow_privacy.privacy.optimizers import dp_optimizer_keras_vectorized

    return dp_optimizer_keras_vectorized
