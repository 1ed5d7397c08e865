"""Training of classifiers with two outputs, without noise: many steps in one compiled program.

There is one program per network, batch size and learning rate. Rows, labels, order of the rows and seeds are
tensors, so that all folds and seeds of a process share one compilation.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.core import randomness, tensorflow
from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.randomness import Stream
from pulseveil.networks import adam, draws, layers, loop
from pulseveil.networks.layers import Drop
from pulseveil.networks.loop import Block
from pulseveil.networks.per_example import Note, unnoted

logger = logging.getLogger(__name__)

Tensors = Sequence[tf.Tensor]
Precision = Literal["float32", "bfloat16"]
# Row number of padding in the last batch of an epoch.
ABSENT = -1
# Steps per call of a program: messages, checkpoints and stops come between two calls.
_BLOCK_STEPS = 50


class Weights(NamedTuple):
    """Weights of a network: parameters, which gradients change, and running statistics."""

    parameters: Tensors
    statistics: Tensors


class Network(Hashable, Protocol):
    """Classifier of x (n, signals, bins) float32 with two logits: not stress, stress.

    Networks are hashable, with fields that name all that shapes the compiled program.
    """

    @property
    def signals(self) -> int:
        """Number of signals per window."""
        ...

    @property
    def bins(self) -> int:
        """Number of bins per spectrum."""
        ...

    @property
    def dropout(self) -> float:
        """Share of values that each dropout layer sets to zero."""
        ...

    @property
    def compiles_step(self) -> bool:
        """Whether XLA compiles the whole step; otherwise a plain graph, parts of which may be compiled."""
        ...

    def start(self, rng: np.random.Generator) -> Weights:
        """Initial weights as arrays."""
        ...

    def train_logits(
        self, weights: Weights, x: tf.Tensor, present: tf.Tensor, drop: Drop, note: Note = unnoted
    ) -> tuple[tf.Tensor, Tensors]:
        """Logits (n, 2) of a training batch, and the next statistics.

        Rows with present (n) 0 are padding. Every use of a parameter is noted by `note`, for per-record
        gradients.
        """
        ...

    def score_logits(self, weights: Weights, x: tf.Tensor) -> tf.Tensor:
        """Logits (n, 2) of the trained network."""
        ...


class Examples(NamedTuple):
    """Training rows: x (n, signals, bins) float32, target (n, 2) one-hot float32, weight (n) float32."""

    x: tf.Tensor
    target: tf.Tensor
    weight: tf.Tensor


class State(NamedTuple):
    """State of a training between two steps."""

    weights: Weights
    moments: adam.AdamState


Program = Callable[[State, Examples, tf.Tensor, tf.Tensor], tuple[State, tf.Tensor]]


def fit(
    network: Network,
    x: NDArray[np.float32],
    stress: NDArray[np.bool_],
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    stream: Stream,
    checkpoint: Checkpoint | None = None,
    initial_weights: Weights | None = None,
    precision: Precision = "float32",
) -> Weights:
    """Train a network from fresh weights, from `initial_weights`, or from the state that `checkpoint` holds.

    Args:
        x: (n, signals, bins) float32.
        stress: (n) bool, with both classes.
        stream: decides first weights, order of the rows and dropout.
        precision: type of the products, forward and backward; weights and all else are float32.

    Raises:
        Interrupted: a stop was requested; `checkpoint` holds the state.
    """
    started = time.monotonic()
    rng = randomness.generator(randomness.child(stream, "initial"))
    fresh = network.start(rng)
    weights = tf.nest.map_structure(tf.constant, fresh if initial_weights is None else initial_weights)
    # The order of all epochs is drawn at once: a resumed training goes on in the same order.
    order = batches(randomness.generator(randomness.child(stream, "order")), len(x), batch_size, epochs)
    seed = tf.constant(randomness.stateless_seed(randomness.child(stream, "dropout")))
    examples = Examples(
        tf.constant(x), tf.one_hot(tf.cast(stress, tf.int32), 2), tf.constant(class_weights(stress))
    )
    run = program(network, batch_size, learning_rate, precision)

    def advance(block: Block, state: State) -> tuple[State, loop.Losses]:
        state, error = run(state, examples, tf.constant(order[block.first : block.last]), seed)
        return state, {"loss": error}

    title = type(network).__name__
    steps = loop.blocks([""], {"step": len(order)}, _BLOCK_STEPS)
    trained = loop.train(
        title, {"": State(weights, adam.start(weights.parameters))}, steps, advance, checkpoint
    )
    logger.info("%s: %d windows, %d epochs, %.1f s", title, len(x), epochs, time.monotonic() - started)
    return trained[""].weights


def probabilities(
    network: Network, weights: Weights, x: NDArray[np.float32], batch_size: int
) -> NDArray[np.float32]:
    """Outputs (n, 2) in [0, 1] of the trained network for x (n, signals, bins): not stress, stress.

    Each output is a sigmoid of its own, as published: the two need not add up to 1.
    """
    score = scorer(network)
    # The last batch is padded with zeros: batches of one shape are traced once.
    padded = np.zeros((-(-len(x) // batch_size), batch_size, *x.shape[1:]), np.float32)
    padded.reshape(-1, *x.shape[1:])[: len(x)] = x
    outputs = [score(weights, tf.constant(batch)).numpy() for batch in padded]
    return np.concatenate(outputs)[: len(x)] if outputs else np.zeros((0, 2), np.float32)


def batches(rng: np.random.Generator, rows: int, batch_size: int, epochs: int) -> NDArray[np.int32]:
    """Row numbers (steps, batch_size) int32: one permutation per epoch, padded with ABSENT at its end.

    Examples:
        >>> order = batches(np.random.default_rng(0), rows=3, batch_size=2, epochs=1)
        >>> order.shape, sorted(order.ravel().tolist())
        ((2, 2), [-1, 0, 1, 2])
    """
    steps = -(-rows // batch_size)
    order = np.full((epochs, steps * batch_size), ABSENT, np.int32)
    order[:, :rows] = rng.permuted(np.tile(np.arange(rows, dtype=np.int32), (epochs, 1)), axis=1)
    return order.reshape(epochs * steps, batch_size)


def class_weights(stress: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Weights (n) float32 that balance the classes: 1 without stress, n0 / n1 with stress.

    Examples:
        >>> class_weights(np.array([True, False, False])).tolist()
        [2.0, 1.0, 1.0]
    """
    ratio = np.count_nonzero(~stress) / np.count_nonzero(stress)
    return np.where(stress, ratio, 1).astype(np.float32)


@lru_cache(maxsize=16)
def program(network: Network, batch_size: int, learning_rate: float, precision: Precision) -> Program:
    """Program `(state, examples, order (steps, batch_size), seed (2)) -> (state, mean loss)`."""
    dtype = tf.as_dtype(precision)

    def step(state: State, batch: Examples, present: tf.Tensor, seed: tf.Tensor) -> tuple[State, tf.Tensor]:
        drop = layers.dropping(network.dropout, seed)
        with tf.GradientTape() as tape:
            tape.watch(state.weights.parameters)
            # Rounded anew in each step: an update is often smaller than what bfloat16 keeps of a weight.
            weights = state.weights._replace(parameters=layers.rounded(state.weights.parameters, dtype))
            logits, statistics = network.train_logits(weights, batch.x, present, drop)
            error = loss(logits, batch, present)
        gradients = tape.gradient(error, state.weights.parameters)
        parameters, moments = adam.update(
            state.weights.parameters, gradients, state.moments, learning_rate=learning_rate
        )
        return State(Weights(parameters, statistics), moments), error

    # XLA has products in bfloat16 on GPUs alone: on a CPU it computes them in float32, and a plain graph is
    # faster.
    compiles = network.compiles_step and (dtype == tf.float32 or tensorflow.has_gpu())
    # Without AutoGraph, which reads source files when it traces: these may have changed since the import.
    compiled_step = tf.function(step, jit_compile=True, autograph=False) if compiles else step
    shape = (batch_size, network.signals, network.bins)

    def run(state: State, examples: Examples, order: tf.Tensor, seed: tf.Tensor) -> tuple[State, tf.Tensor]:
        def on_rows(state: State, numbers: tf.Tensor) -> tuple[State, tf.Tensor]:
            # Padding reads row 0, and `present` keeps it out of losses and statistics.
            batch = Examples(*(tf.gather(values, tf.maximum(numbers, 0)) for values in examples))
            batch = batch._replace(x=tf.ensure_shape(batch.x, shape))
            present = tf.cast(numbers != ABSENT, tf.float32)
            # Keyed by the state's own step, which counts over blocks and resumptions.
            result: tuple[State, tf.Tensor] = compiled_step(
                state, batch, present, draws.child_seed(seed, state.moments.step)
            )
            return result

        return loop.repeat(on_rows, state, [order], tf.shape(order)[0], tf.constant(0.0))

    return tf.function(run, input_signature=_signature(network, batch_size), autograph=False)  # type: ignore[no-any-return]


@lru_cache(maxsize=16)
def scorer(network: Network) -> Callable[[Weights, tf.Tensor], tf.Tensor]:
    """Graph `(weights, x (n, signals, bins)) -> sigmoid outputs (n, 2)`, traced once per n."""

    def score(weights: Weights, x: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(network.score_logits(weights, x))

    return tf.function(score, autograph=False)  # type: ignore[no-any-return]


def loss(logits: tf.Tensor, batch: Examples, present: tf.Tensor) -> tf.Tensor:
    """Weighted binary cross-entropy, averaged over the two outputs and the rows with present (n) 1."""
    return tf.reduce_sum(present * row_losses(logits, batch)) / tf.reduce_sum(present)


def row_losses(logits: tf.Tensor, batch: Examples) -> tf.Tensor:
    """Weighted binary cross-entropy of each row (n), averaged over the two outputs."""
    errors = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(batch.target, logits), axis=1)
    return batch.weight * errors


def _signature(network: Network, batch_size: int) -> tuple[Any, ...]:
    """Shapes of a program's arguments: any number of rows and steps, so that folds share one program."""
    weights = network.start(np.random.default_rng(0))
    state = State(weights, adam.start(weights.parameters))
    spec = tf.TensorSpec
    return (
        tf.nest.map_structure(lambda value: spec(value.shape, value.dtype), state),
        Examples(spec((None, network.signals, network.bins)), spec((None, 2)), spec((None,))),
        spec((None, batch_size), tf.int32),
        spec((2,), tf.int32),
    )
