"""Joint training steps of TimeGAN with the published sizes: compiled loop against a plain tf-keras loop.

    python tests/benchmarks/timegan.py [--models 4] [--trainings 15]

One thread, one process, the loops in turns; seconds of a model's step, of the CPU, so that other work on the
machine matters less, and of the clock. The phases before the joint one are timed too. `axis` takes joint
steps of that many models side by side in one program. The last lines set the joint phases of `--trainings`
trainings, which share one compilation, and of as many as an axis holds, against as many Keras trainings, each
with its own first step.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests import keras_timegan
from tests.turns import Seconds, in_turns, one_process

from pulseveil.generators.timegan import training
from pulseveil.generators.timegan.steps import DRAWS, start
from pulseveil.generators.timegan.training import Batches
from pulseveil.networks.loop import side_by_side

SIZES = {"channels": 6, "hidden": 10, "depth": 3}
TIME, BATCH = 60, 128
PUBLISHED_STEPS = 6000


def batches(phase, steps, seed=0):
    rng = np.random.default_rng(seed)
    shape = (steps, DRAWS[phase], BATCH, TIME, SIZES["channels"])
    noise = (steps, DRAWS[phase] if phase == "joint" else 0, *shape[2:])
    windows = rng.uniform(size=shape).astype(np.float32)
    return Batches(tf.constant(windows), tf.constant(rng.normal(size=noise).astype(np.float32)))


def ours(phase, steps, models=1):
    program = training.program(phase, 1e-3)
    seeds = range(models)
    state = side_by_side([start(np.random.default_rng(seed), **SIZES) for seed in seeds])
    data = side_by_side([batches(phase, steps, seed) for seed in seeds], axis=2)

    def run(steps):
        nonlocal state
        state, losses = program(state, data, tf.constant(steps))
        losses.numpy()
        return state

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
    parser.add_argument("--models", nargs="*", type=int, default=[], help="models side by side")
    parser.add_argument("--trainings", type=int, default=15)
    arguments = parser.parse_args()
    one_process()
    steps = arguments.steps
    axes = {f"axis of {n}": n for n in arguments.models}
    loops = {
        **{phase: ours(phase, steps) for phase in DRAWS},
        **{name: ours("joint", steps, n) for name, n in axes.items()},
        "joint in Keras": plain(steps),
    }
    timed = in_turns(loops, steps, arguments.rounds)
    # Seconds of a model's step.
    each = {name: Seconds(*(np.array(step) / axes.get(name, 1))) for name, (_, step) in timed.items()}
    for name, value in each.items():
        print(
            f"{name:14} {value.cpu:7.4f} CPU s a model's step {value.wall:7.4f} s   "
            f"first step {timed[name].first.cpu:5.1f} CPU s",
            flush=True,
        )
    print(f"the compiled joint step is {each['joint in Keras'].cpu / each['joint'].cpu:.2f} times as fast")
    for name, trainings in {"joint": arguments.trainings, **axes}.items():
        ours_all, keras_all = (
            compilations * timed[loop].first.cpu + trainings * PUBLISHED_STEPS * each[loop].cpu
            for loop, compilations in ((name, 1), ("joint in Keras", trainings))
        )
        print(
            f"{trainings} times {PUBLISHED_STEPS} joint steps, {name}: "
            f"{keras_all / ours_all:.2f} times as fast as in Keras"
        )


if __name__ == "__main__":
    main()
