"""Training steps of DGAN with the published sizes: compiled passes against a plain tf-keras loop.

    python tests/benchmarks/dgan.py [--models 4 15] [--threads 2]

One process, the loops in turns; CPU seconds of a model's pass, so that other work on the machine matters
less, and seconds of the clock, for several threads. A pass over the 1,083 published windows is one step of
1,000 and one of 83. `axis` trains that many models side by side in one program.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests import keras_dgan
from tests.turns import Seconds, in_turns, one_process

from pulseveil.generators.dgan import steps, training
from pulseveil.generators.dgan.networks import Shape
from pulseveil.generators.dgan.steps import Objective, Rows
from pulseveil.generators.dgan.training import Draws
from pulseveil.networks.loop import side_by_side

ROWS, BATCH = 1083, 1000
SHAPE = Shape(
    steps=1, values=420, codes=0, noise=10, units=100, discriminator_units=200, discriminator_layers=5
)


def data(passes, seed=0):
    rng = np.random.default_rng(seed)
    windows = rng.uniform(size=(ROWS, SHAPE.values)).astype(np.float32)
    order = np.stack([rng.permutation(ROWS) for _ in range(passes)]).astype(np.int32)
    noise = rng.normal(size=(passes, ROWS, SHAPE.steps, SHAPE.noise)).astype(np.float32)
    interpolation = rng.uniform(size=(passes, ROWS)).astype(np.float32)
    rows = Rows(tf.constant(windows), tf.zeros((ROWS, 0)))
    return rows, Draws(*map(tf.constant, (order, noise, interpolation)))


def ours(passes, models=1):
    program = training.program(Objective(1e-4, 0.5, "each_window", 10.0), BATCH)
    state = side_by_side([steps.start(np.random.default_rng(seed), SHAPE) for seed in range(models)])
    rows, draws = zip(*(data(passes, seed) for seed in range(models)), strict=True)
    rows, draws = side_by_side(rows), side_by_side(draws, axis=1)

    def run(passes):
        nonlocal state
        state, losses = program(state, rows, draws, tf.constant(passes))
        losses.numpy()
        return state

    return run


def plain(passes):
    generator = keras_dgan.generator(steps=SHAPE.steps, noise=SHAPE.noise, units=SHAPE.units, values=420)
    discriminator = keras_dgan.discriminator(
        inputs=420, units=SHAPE.discriminator_units, layers=SHAPE.discriminator_layers
    )
    update = tf.function(keras_dgan.Step(generator, discriminator).update)
    rows, draws = data(passes)

    def run(passes):
        for i in range(passes):
            for part in (slice(0, BATCH), slice(BATCH, ROWS)):
                windows = tf.gather(rows.windows, draws.order[i, part])
                losses = update(windows, draws.noise[i, part], draws.interpolation[i, part])
        losses.numpy()

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--passes", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="*", type=int, default=[], help="models side by side")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    one_process(arguments.threads)
    passes, models = arguments.passes, {f"axis of {n}": n for n in arguments.models}
    loops = {"compiled": ours(passes), **{name: ours(passes, n) for name, n in models.items()}}
    timed = in_turns({**loops, "in Keras": plain(passes)}, passes, arguments.rounds)
    # Seconds of a model's pass.
    each = {name: Seconds(*(np.array(step) / models.get(name, 1))) for name, (_, step) in timed.items()}
    for name, value in each.items():
        print(
            f"{name:10} {value.cpu:7.4f} CPU s {value.wall:7.4f} s a model's pass   CPU time "
            f"{value.cpu / each['compiled'].cpu:5.2f} times the compiled loop's   "
            f"first pass {timed[name].first.cpu:5.1f} CPU s",
            flush=True,
        )
    print(f"the compiled pass is {each['in Keras'].cpu / each['compiled'].cpu:.2f} times as fast as in Keras")


if __name__ == "__main__":
    main()
