"""Joint training steps of TimeGAN with the published sizes: compiled loop against a plain tf-keras loop.

    python tests/benchmarks/timegan.py [--models 15]

One thread, one process, the two loops in turns; CPU seconds, so that other work on the machine matters less.
The phases before the joint one are timed too. The last line sets the joint phases of `--models` trainings,
which share one compilation, against as many Keras trainings, each with its own first step.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests import keras_timegan
from tests.turns import in_turns, one_process

from pulseveil.networks import timegan_training
from pulseveil.networks.timegan_training import DRAWS, Batches

SIZES = {"channels": 6, "hidden": 10, "depth": 3}
TIME, BATCH = 60, 128
PUBLISHED_STEPS = 6000


def batches(phase, steps):
    rng = np.random.default_rng(0)
    shape = (steps, DRAWS[phase], BATCH, TIME, SIZES["channels"])
    noise = (steps, DRAWS[phase] if phase == "joint" else 0, *shape[2:])
    windows = rng.uniform(size=shape).astype(np.float32)
    return Batches(tf.constant(windows), tf.constant(rng.normal(size=noise).astype(np.float32)))


def ours(phase, steps):
    program = timegan_training.program(phase, 1e-3)
    state = timegan_training.start(np.random.default_rng(0), **SIZES)
    data = batches(phase, steps)

    def run(steps):
        nonlocal state
        state, losses = program(state, data, tf.constant(steps))
        losses.numpy()

    return run


def plain(steps):
    networks = {name: keras_timegan.network(name, time=TIME, **SIZES) for name in keras_timegan.NETWORKS}
    update = tf.function(keras_timegan.Step(networks).update)
    data = batches("joint", steps)

    def run(steps):
        for i in range(steps):
            losses = update(data.windows[i], data.noise[i])
        losses.numpy()

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", type=int, default=15)
    arguments = parser.parse_args()
    one_process()
    steps, models = arguments.steps, arguments.models
    loops = {phase: ours(phase, steps) for phase in DRAWS} | {"joint in Keras": plain(steps)}
    timed = in_turns(loops, steps, arguments.rounds)
    for name, (first, each) in timed.items():
        print(f"{name:14} {each.cpu:7.4f} CPU s a step   first step {first.cpu:5.1f} CPU s", flush=True)
    ratio = timed["joint in Keras"].step.cpu / timed["joint"].step.cpu
    print(f"the compiled joint step is {ratio:.2f} times as fast")
    compilations = {"joint": 1, "joint in Keras": models}
    ours_all, keras_all = (
        n * timed[name].first.cpu + models * PUBLISHED_STEPS * timed[name].step.cpu
        for name, n in compilations.items()
    )
    print(
        f"{models} times {PUBLISHED_STEPS} joint steps: {keras_all / ours_all:.2f} times as fast as in Keras"
    )


if __name__ == "__main__":
    main()
