"""The price of privacy of one training step, and what other programs take for it.

    python tests/benchmarks/private.py [--network lstm fcn transformer cnn cnn_lstm transformer_detector]

One thread, one process, the programs in turns; rows (windows) per CPU second after the first step. Every step
has a batch of 64 records, all present; a private step clips each, adds noise and moves by Adam.

`private`             DP-SGD as the library runs it: a loop of steps in one program, rows in passes. The
                      detectors' last pass is filled up with absent records, whose cost is in the price.
`not private, r rows` The same loop, network, rows and Adam with the ordinary gradient of the mean loss, from
                      passes of r rows. The fastest r is the reference: a private step has no other choice
                      than its own passes, so a slow reference would flatter it.
`Keras`               The same network in tf-keras, `fit`, not private.
`tensorflow-privacy`  The same tf-keras network, `fit` with the library's vectorised Adam: one step in each of
                      two rounds, since it is slow, and only for the networks of --library. Convolutional
                      detectors have batches of 16 there, for their memory.

Discriminators (lstm, fcn, transformer) see windows of 60 s, without dropout as in the published step;
detectors see spectra of 210 bins (--bins), with dropout.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests import keras_cgan, keras_detectors

from pulseveil.core import registry
from pulseveil.generators.cgan.networks import DISCRIMINATORS, Shape, discriminate, start_discriminator
from pulseveil.networks import adam, draws, layers
from pulseveil.networks.per_example import Note, unnoted
from pulseveil.networks.training import Examples, Network, Weights, row_losses
from pulseveil.privacy import dpgan, dpsgd, library_optimizer
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.clipping import add_noise, clipped_sum, in_passes

BATCH, SIGNALS, BINS = 64, 6, 210
SHAPE = Shape(classes=2, time=60, channels=SIGNALS)
CLIP_NORM, NOISE_MULTIPLIER, LEARNING_RATE = 1.0, 1.0, 1e-3
PASSES = (16, 64)
DETECTORS = {"cnn": "cnn", "cnn_lstm": "cnn_lstm", "transformer_detector": "transformer"}
# Steps of a round: about a second.
STEPS = {"lstm": 20, "fcn": 80, "transformer": 16, "cnn": 2, "cnn_lstm": 2, "transformer_detector": 4}
LIBRARY_BATCH = {"cnn": 16, "cnn_lstm": 16}
SLOW_ROUNDS = 2

Rows = tuple[tf.Tensor, ...]
Parameters = Sequence[tf.Tensor]
Losses = Callable[[Parameters, Rows, tf.Tensor, Note], tf.Tensor]
Sums = Callable[[Parameters, Rows, tf.Tensor], list[tf.Tensor]]
Run = Callable[[int], Any]


class Problem(NamedTuple):
    """A network's first parameters, 64 rows, losses of rows `(parameters, rows, seed, note) -> (n)`.

    `compiles` is what XLA compiles in production: the loop, a step, or parts that the network chooses.
    """

    start: list[tf.Tensor]
    rows: Rows
    losses: Losses
    compiles: str

    @property
    def bins(self) -> int:
        """Length of the rows: bins of a detector's spectra."""
        return int(self.rows[0].shape[-1])


class Program(NamedTuple):
    """`run(steps)` of so many rows each gives the state after them; `slow` ones get few steps."""

    run: Run
    rows: int = BATCH
    slow: bool = False


def discriminator(name: str) -> Problem:
    random = np.random.default_rng(0)
    start = [tf.constant(value) for value in start_discriminator(name, random, SHAPE)]
    windows = random.uniform(size=(BATCH, SHAPE.time, SHAPE.channels)).astype(np.float32)
    codes = random.integers(0, SHAPE.classes, BATCH).astype(np.int32)
    real = np.arange(BATCH, dtype=np.float32) % 2

    def losses(parameters: Parameters, rows: Rows, seed: tf.Tensor, note: Note) -> tf.Tensor:
        windows, codes, real = rows
        logits = discriminate(name, parameters, windows, codes, note)
        return tf.nn.sigmoid_cross_entropy_with_logits(real, logits)

    return Problem(start, tuple(map(tf.constant, (windows, codes, real))), losses, "loop")


def detector_network(name: str, bins: int) -> Network:
    settings = registry.load("detectors", DETECTORS[name]).Settings()
    model = registry.model("detectors", DETECTORS[name])
    network: Network = model.private_network(settings, SIGNALS, bins)
    return network


def detector(name: str, bins: int) -> Problem:
    random, network = np.random.default_rng(0), detector_network(name, bins)
    start = [tf.constant(value) for value in network.start(random).parameters]
    x = random.normal(size=(BATCH, SIGNALS, bins)).astype(np.float32)
    target = np.eye(2, dtype=np.float32)[(np.arange(BATCH) % 7 < 2).astype(int)]
    rows = tuple(map(tf.constant, (x, target, np.ones(BATCH, np.float32))))

    def losses(parameters: Parameters, rows: Rows, seed: tf.Tensor, note: Note) -> tf.Tensor:
        batch = Examples(*rows)
        drop = layers.dropping(network.dropout, seed)
        logits, _ = network.train_logits(
            Weights(parameters, []), batch.x, tf.ones_like(batch.weight), drop, note
        )
        return row_losses(logits, batch)

    return Problem(start, rows, losses, "step" if network.compiles_step else "parts")


def not_private(problem: Problem, at_once: int) -> Program:
    """Steps along the mean gradient."""

    def gradient_sums(parameters: Parameters, rows: Rows, seed: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            total = tf.reduce_sum(problem.losses(parameters, rows, seed, unnoted))
        # The embedding's gradient comes as slices.
        return [tf.convert_to_tensor(value) for value in tape.gradient(total, parameters)]

    return _loop(problem, at_once, gradient_sums, lambda sums, seed: sums)


def private_discriminator(problem: Problem, at_once: int = dpgan.ROWS_A_PASS) -> Program:
    """Private steps from the pieces of `privacy.clipping`."""

    def clipped_sums(parameters: Parameters, rows: Rows, seed: tf.Tensor) -> list[tf.Tensor]:
        def losses(note: Note) -> tf.Tensor:
            return problem.losses(parameters, rows, seed, note)

        return clipped_sum(losses, parameters, present=tf.ones(at_once), clip_norm=CLIP_NORM)

    def noised(sums: list[tf.Tensor], seed: tf.Tensor) -> list[tf.Tensor]:
        return add_noise(sums, seed, NOISE_MULTIPLIER * CLIP_NORM)[0]

    return _loop(problem, at_once, clipped_sums, noised)


def _loop(
    problem: Problem,
    at_once: int,
    one_pass: Sums,
    after: Callable[[list[tf.Tensor], tf.Tensor], list[tf.Tensor]],
) -> Program:
    """A program of steps, each the sum of its passes, what comes `after`, and Adam."""

    def finish(
        parameters: Parameters, sums: list[tf.Tensor], moments: adam.AdamState, seed: tf.Tensor
    ) -> tuple[list[tf.Tensor], adam.AdamState]:
        gradients = [value / BATCH for value in after(sums, seed)]
        return adam.update(parameters, gradients, moments, learning_rate=LEARNING_RATE)

    if problem.compiles == "parts":
        finish = layers.fused(finish)

    def step(
        parameters: Parameters, moments: adam.AdamState, rows: Rows, numbers: tf.Tensor, seed: tf.Tensor
    ) -> tuple[list[tf.Tensor], adam.AdamState]:
        def sums_of(i: tf.Tensor) -> list[tf.Tensor]:
            own = tf.ensure_shape(tf.slice(numbers, [i * at_once], [at_once]), (at_once,))
            return one_pass(parameters, tuple(tf.gather(x, own) for x in rows), draws.child_seed(seed, i))

        sums = (
            sums_of(tf.constant(0)) if at_once == BATCH else in_passes(sums_of, parameters, BATCH // at_once)
        )
        return finish(parameters, sums, moments, seed)

    inner = tf.function(step, jit_compile=True, autograph=False) if problem.compiles == "step" else step

    @tf.function(jit_compile=problem.compiles == "loop", autograph=False)  # type: ignore[untyped-decorator]
    def loop(
        parameters: Parameters, moments: adam.AdamState, rows: Rows, numbers: tf.Tensor, steps: tf.Tensor
    ) -> tuple[list[tf.Tensor], adam.AdamState]:
        def body(
            i: tf.Tensor, parameters: Parameters, moments: adam.AdamState
        ) -> tuple[tf.Tensor, list[tf.Tensor], adam.AdamState]:
            seed = draws.child_seed(tf.constant([1, 2]), moments.step)
            return i + 1, *inner(parameters, moments, rows, numbers, seed)

        start = (tf.constant(0), list(parameters), moments)
        _, *after = tf.while_loop(lambda i, *_: i < steps, body, start)
        return after[0], after[1]

    parameters, moments = problem.start, adam.start(problem.start)
    numbers = tf.constant(np.random.default_rng(1).permutation(BATCH).astype(np.int32))

    def run(steps: int) -> tuple[list[tf.Tensor], adam.AdamState]:
        nonlocal parameters, moments
        parameters, moments = loop(parameters, moments, problem.rows, numbers, tf.constant(steps))
        moments.step.numpy()
        return parameters, moments

    return Program(run)


def mechanism(rows: int) -> Mechanism:
    return Mechanism("step", "window", rows, 1.0, rows, 1, CLIP_NORM, NOISE_MULTIPLIER)


def private_detector(name: str, problem: Problem) -> Program:
    """Private steps by `dpsgd`, all records drawn in each."""
    recipe = dpsgd.Recipe(detector_network(name, problem.bins), mechanism(BATCH), LEARNING_RATE)
    program = dpsgd.program(recipe.network, 1, recipe.optimizer)
    examples = Examples(*(tf.expand_dims(value, 1) for value in problem.rows))
    state = dpsgd.start(Weights(problem.start, []))
    random = np.random.default_rng(1)

    def run(steps: int) -> dpsgd.State:
        nonlocal state
        order = random.permuted(np.tile(np.arange(BATCH, dtype=np.int32), (steps, 1)), axis=1)
        seeds = random.integers(2**31, size=(steps, 2)).astype(np.int32)
        chance = dpsgd.Chance(tf.constant(order), tf.constant(seeds))
        state = program(state, examples, chance, tf.constant([1, 2]), dpsgd.scales(recipe))
        state.noised.numpy()
        return state

    return Program(run)


def keras_model(name: str, bins: int) -> Any:
    """The network of a problem in tf-keras; `bins` of a detector's spectra."""
    if name in DISCRIMINATORS:
        given = [keras.layers.Input((SHAPE.time, SHAPE.channels)), keras.layers.Input((1,))]
        # As in the published step, which calls its discriminators outside training mode.
        return keras.Model(given, keras_cgan.discriminator(name, SHAPE.classes)(given, training=False))
    return keras.models.clone_model(
        keras_detectors.NETWORKS[DETECTORS[name]](bins), clone_function=_layer_normalised
    )


def _layer_normalised(layer: Any) -> Any:
    if isinstance(layer, keras.layers.BatchNormalization):
        return keras.layers.LayerNormalization(epsilon=1e-6)
    return layer.__class__.from_config(layer.get_config())


def plain_keras(name: str, problem: Problem) -> Program:
    optimizer = keras.optimizers.Adam(LEARNING_RATE)
    return Program(_fit(name, problem, optimizer, "sum_over_batch_size", BATCH))


def library(name: str, problem: Problem) -> Program:
    """tensorflow-privacy's steps; its optimizer does not look at the recipe's network."""
    batch = LIBRARY_BATCH.get(name, BATCH)
    recipe = dpsgd.Recipe(detector_network("cnn", BINS), mechanism(batch), LEARNING_RATE)
    run = _fit(name, problem, library_optimizer.optimizer(recipe, batch), "none", batch)
    return Program(run, batch, slow=True)


def _fit(name: str, problem: Problem, optimizer: Any, reduction: str, batch: int) -> Run:
    is_discriminator = name in DISCRIMINATORS
    model = keras_model(name, problem.bins)
    loss = keras.losses.BinaryCrossentropy(from_logits=is_discriminator, reduction=reduction)
    model.compile(optimizer, loss)
    x, *others = (value[:batch].numpy() for value in problem.rows)
    given = ([x, others[0][:, np.newaxis]], others[1][:, np.newaxis]) if is_discriminator else (x, others[0])

    def run(steps: int) -> None:
        epoch = tf.nest.map_structure(
            lambda value: np.tile(value, (steps, *(1 for _ in value.shape[1:]))), given
        )
        model.fit(*epoch, batch_size=batch, shuffle=False, verbose=0)

    return run


def cpu_seconds(run: Run, steps: int) -> float:
    start = time.process_time()
    run(steps)
    return time.process_time() - start


def compare(
    name: str, bins: int, steps: int, rounds: int, take: Callable[[list[float]], float], slow: bool
) -> None:
    """Print the rates of all programs of a network, and the price of privacy."""
    is_discriminator = name in DISCRIMINATORS
    problem = discriminator(name) if is_discriminator else detector(name, bins)
    plain = {f"not private, {rows} rows": not_private(problem, rows) for rows in PASSES}
    ours = private_discriminator(problem) if is_discriminator else private_detector(name, problem)
    programs = {"private": ours, **plain, "Keras": plain_keras(name, problem)}
    if slow:
        programs["tensorflow-privacy"] = library(name, problem)
    first = {label: cpu_seconds(program.run, 1) for label, program in programs.items()}
    seconds: dict[str, list[float]] = {label: [] for label in programs}
    for i in range(rounds):
        for label, (run, rows, is_slow) in programs.items():
            if not is_slow or i < SLOW_ROUNDS:
                count = 1 if is_slow else steps
                seconds[label].append(cpu_seconds(run, count) / (count * rows))
    rate = {label: 1 / take(values) for label, values in seconds.items()}
    for label, value in rate.items():
        print(
            f"{name:20} {label:20} {value:8.0f} rows/CPU s   "
            f"private / this, cost {value / rate['private']:6.3f}   first step {first[label]:5.1f} CPU s"
        )
    reference = max(plain, key=lambda label: rate[label])
    others = [label for label in ("Keras", "tensorflow-privacy") if label in rate]
    times = ", ".join(f"{rate['private'] / rate[label]:.2f} times as fast as {label}" for label in others)
    price = rate[reference] / rate["private"]
    print(f"{name:20} PRICE {price:.2f} ({reference}); private {times}\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--network",
        nargs="+",
        choices=STEPS,
        default=[name for name in STEPS if name != "transformer_detector"],
    )
    parser.add_argument("--bins", type=int, default=BINS, help="of the detectors' spectra; sound: 16")
    parser.add_argument("--steps", type=int, help="of a round; default: about a second's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--take", choices=("median", "best"), default="median", help="of the rounds")
    parser.add_argument(
        "--library", nargs="*", default=["lstm", "cnn"], help="networks that tensorflow-privacy trains, too"
    )
    arguments = parser.parse_args()
    # Not `tensorflow.start`: Keras' own steps do not need repeatable operations.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    take = np.median if arguments.take == "median" else min
    for name in arguments.network:
        steps = arguments.steps or STEPS[name]
        compare(name, arguments.bins, steps, arguments.rounds, take, name in arguments.library)


if __name__ == "__main__":
    main()
