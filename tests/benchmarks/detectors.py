"""The neural detectors' compiled training against the plain tf-keras fit of the same networks.

    python tests/benchmarks/detectors.py --network cnn cnn_lstm transformer --bins 210 16

One thread, one process, the programs in turns; examples per CPU second after the first step, with dropout and
class weights, at batch 50. `bfloat16` is the same training with `precision: bfloat16`. The last column is
the CPU time of one seed of the published test, which leaves each subject out in turn.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from pulseveil.core import randomness, registry
from pulseveil.networks import training

sys.path.insert(0, str(Path(__file__).parents[1]))
import keras_detectors

FOLDS, ROWS = 15, 495


def cpu_seconds(function, *arguments):
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def ours(name, x, stress, precision):
    settings = registry.load("detectors", name).Settings()
    network = registry.model("detectors", name).network(settings, *x.shape[1:])

    def run(rows, epochs):
        training.fit(
            network,
            x[:rows],
            stress[:rows],
            epochs=epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            stream=randomness.root_stream(0),
            precision=precision,
        )

    return run


def plain(name, x, stress):
    settings = registry.load("detectors", name).Settings()
    model = keras_detectors.NETWORKS[name](x.shape[2])
    model.compile(keras_detectors.keras.optimizers.Adam(settings.learning_rate), "binary_crossentropy")
    target = np.eye(2, dtype=np.float32)[stress.astype(int)]
    weight = {0: 1.0, 1: (~stress).sum() / stress.sum()}

    def run(rows, epochs):
        model.fit(
            x[:rows],
            target[:rows],
            epochs=epochs,
            batch_size=settings.batch_size,
            class_weight=weight,
            verbose=0,
        )

    return run


def compare(name, bins, epochs, rounds):
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, 6, bins)).astype(np.float32)
    stress = np.arange(ROWS) % 7 < 2
    loops = {
        "compiled": ours(name, x, stress, "float32"),
        "bfloat16": ours(name, x, stress, "bfloat16"),
        "keras": plain(name, x, stress),
    }
    first = {loop: cpu_seconds(run, 50, 1) for loop, run in loops.items()}
    seconds = {loop: [] for loop in loops}
    for _ in range(rounds):
        for loop, run in loops.items():
            seconds[loop].append(cpu_seconds(run, ROWS, epochs))
    rate = {loop: ROWS * epochs / np.median(values) for loop, values in seconds.items()}
    whole = FOLDS * ROWS * registry.load("detectors", name).Settings().epochs
    for loop in loops:
        print(
            f"{name:12} {bins:4} bins {loop:9} {rate[loop]:7.0f} examples/CPU s   "
            f"compiled {rate['compiled'] / rate[loop]:5.2f} times that   "
            f"first step {first[loop]:5.1f} CPU s   one seed {whole / rate[loop]:6.0f} CPU s",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--network", nargs="+", default=["cnn", "cnn_lstm", "transformer"])
    parser.add_argument("--bins", nargs="+", type=int, default=[210, 16])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    # Not `tensorflow.start`: Keras' own fit does not need repeatable operations.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for bins in arguments.bins:
        for name in arguments.network:
            compare(name, bins, arguments.epochs, arguments.rounds)


if __name__ == "__main__":
    main()
