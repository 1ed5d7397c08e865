"""Whole training steps of the conditional GAN at batch 8: compiled loop against a plain tf-keras loop.

    python tests/benchmarks/cgan.py --discriminator lstm fcn transformer

One thread, one process, the two loops in turns; examples per CPU second (real windows), so that other work on
the machine matters less. `published` makes the three generator calls of the published step, `lean` one.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests import keras_cgan

from pulseveil.networks import gan_training
from pulseveil.networks.gan import Shape

BATCH = 8


def batches(steps):
    rng = np.random.default_rng(0)
    return gan_training.Batches(
        tf.constant(rng.uniform(size=(steps, BATCH, 60, 6)).astype(np.float32)),
        tf.constant(rng.integers(0, 2, (steps, BATCH)).astype(np.int32)),
        tf.constant(rng.normal(size=(steps, 2, BATCH, 60)).astype(np.float32)),
    )


def ours(discriminator, data):
    objective = gan_training.Objective(discriminator, 2e-4, 0.5, "published", 8.0, "relu", 0.3)
    program = gan_training.program(objective)
    state = gan_training.start(np.random.default_rng(0), objective, Shape(2, 60, 6))

    def run(steps):
        nonlocal state
        state, losses = program(state, data, tf.constant(1.0), tf.constant(0), tf.constant(steps))
        losses.numpy()

    return run


def plain(discriminator, data, extra_calls):
    networks = keras_cgan.generator(2), keras_cgan.discriminator(discriminator, 2)
    step = tf.function(keras_cgan.Step(*networks, extra_calls=extra_calls).update)

    def run(steps):
        for i in range(steps):
            losses = step(data.windows[i], data.condition[i][:, tf.newaxis], data.noise[i])
        losses.numpy()

    return run


def cpu_seconds(function, *arguments):
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def compare(discriminator, steps, rounds):
    data = batches(steps)
    loops = {
        "compiled": ours(discriminator, data),
        "published": plain(discriminator, data, True),
        "lean": plain(discriminator, data, False),
    }
    first = {name: cpu_seconds(run, 1) for name, run in loops.items()}
    seconds = {name: [] for name in loops}
    for _ in range(rounds):
        for name, run in loops.items():
            seconds[name].append(cpu_seconds(run, steps))
    rate = {name: BATCH * steps / np.median(values) for name, values in seconds.items()}
    for name in loops:
        print(
            f"{discriminator:12} {name:10} {rate[name]:8.0f} examples/CPU s   "
            f"compiled {rate['compiled'] / rate[name]:5.2f} times that   first step {first[name]:5.1f} CPU s",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--discriminator", nargs="+", default=["lstm"])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for discriminator in arguments.discriminator:
        compare(discriminator, arguments.steps, arguments.rounds)


if __name__ == "__main__":
    main()
