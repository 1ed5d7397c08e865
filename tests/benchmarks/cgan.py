"""Whole training steps of the conditional GAN at batch 8: compiled loop against a plain tf-keras loop.

    python tests/benchmarks/cgan.py --discriminator lstm fcn transformer
    python tests/benchmarks/cgan.py --discriminator lstm fcn --models 4 15 [--threads 2]

One process, the loops in turns; examples (real windows) of all models per CPU second, so that other work on
the machine matters less, and per second of the clock, for several threads. `published` makes the three
generator calls of the published step, `lean` one. `axis` trains that many models side by side in one program;
the last lines set whole trainings against as many Keras trainings one after the other, each with its own
first step.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests import keras_cgan
from tests.turns import Seconds, in_turns, one_process

from pulseveil.generators.cgan import steps as cgan
from pulseveil.generators.cgan import training
from pulseveil.generators.cgan.networks import Shape
from pulseveil.networks.loop import side_by_side

BATCH = 8
PUBLISHED_STEPS = 57_120


def batches(steps, seed=0):
    rng = np.random.default_rng(seed)
    return training.Batches(
        tf.constant(rng.uniform(size=(steps, BATCH, 60, 6)).astype(np.float32)),
        tf.constant(rng.integers(0, 2, (steps, BATCH)).astype(np.int32)),
        *(tf.constant(rng.normal(size=(steps, BATCH, 60)).astype(np.float32)) for _ in range(2)),
    )


def ours(discriminator, steps, models=1):
    objective = cgan.Objective(discriminator, 2e-4, 0.5, "published", 8.0, "relu", 0.3)
    program = training.program(objective, objective.learning_rate, 0.0)
    seeds = range(models)
    starts = [cgan.start(np.random.default_rng(i), objective, Shape(2, 60, 6)) for i in seeds]
    state = training.Averaged(side_by_side(starts), [])
    data = side_by_side([batches(steps, seed) for seed in seeds], axis=1)
    bound = tf.constant(1.0) if models == 1 else tf.ones(models)

    def run(steps):
        nonlocal state
        state, losses = program(state, data, bound, tf.constant(steps))
        losses.numpy()
        return state

    return run


def plain(discriminator, steps, extra_calls):
    networks = keras_cgan.generator(2), keras_cgan.discriminator(discriminator, 2)
    step = tf.function(keras_cgan.Step(*networks, extra_calls=extra_calls).update)
    data = batches(steps)

    def run(steps):
        for i in range(steps):
            noise = tf.stack([data.discriminator_noise[i], data.generator_noise[i]])
            losses = step(data.windows[i], data.condition[i][:, tf.newaxis], noise)
        losses.numpy()

    return run


def compare(discriminator, steps, rounds, models):
    at_once = {"compiled": 1, "published": 1, "lean": 1} | {f"axis of {n}": n for n in models}
    loops = {
        "compiled": ours(discriminator, steps),
        **{f"axis of {n}": ours(discriminator, steps, n) for n in models},
        "published": plain(discriminator, steps, True),
        "lean": plain(discriminator, steps, False),
    }
    timed = in_turns(loops, steps, rounds)
    # Seconds of a model's step.
    each = {name: Seconds(*(np.array(step) / at_once[name])) for name, (_, step) in timed.items()}
    for name, value in each.items():
        print(
            f"{discriminator:12} {name:10} {BATCH / value.cpu:8.0f} examples/CPU s {BATCH / value.wall:8.0f} "
            f"examples/s   CPU time {value.cpu / each['compiled'].cpu:5.2f} times the compiled loop's   "
            f"first step {timed[name].first.cpu:5.1f} CPU s",
            flush=True,
        )
    for n in models:
        for measure in Seconds._fields:
            print_totals(discriminator, n, measure, timed, each)


def print_totals(discriminator, models, measure, timed, each):
    """Whole trainings: Keras compiles each, the compiled loop once for all that follow each other."""
    steps = models * PUBLISHED_STEPS

    def total(name, compilations):
        return compilations * getattr(timed[name].first, measure) + steps * getattr(each[name], measure)

    keras = total("published", models)
    alone, axis = total("compiled", 1), total(f"axis of {models}", 1)
    print(
        f"{discriminator:12} {models} trainings of {PUBLISHED_STEPS} steps, {measure} time: Keras "
        f"{keras / 3600:.1f} h; compiled, one after the other, {keras / alone:.2f} times as fast; "
        f"side by side {keras / axis:.2f} times",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--discriminator", nargs="+", default=["lstm"])
    parser.add_argument("--models", nargs="*", type=int, default=[], help="models side by side")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    one_process(arguments.threads)
    for discriminator in arguments.discriminator:
        compare(discriminator, arguments.steps, arguments.rounds, arguments.models)


if __name__ == "__main__":
    main()
