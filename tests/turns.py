"""Training loops that take turns on one CPU, timed: what the benchmarks of the GANs have in common."""

import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Seconds(NamedTuple):
    """Of one core's work, and of the clock."""

    cpu: float
    wall: float


class Timed(NamedTuple):
    """A loop's first step, compilation included, and one of its later steps."""

    first: Seconds
    step: Seconds


def one_process(threads=1):
    """So many threads for an operation, one operation at a time."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def seconds(function, *arguments):
    """Of one call."""
    cpu, wall = time.process_time(), time.monotonic()
    function(*arguments)
    return Seconds(time.process_time() - cpu, time.monotonic() - wall)


def in_turns(loops, steps, rounds):
    """`Timed` of each loop by name, which runs as many steps as it is told; medians of `rounds`."""
    first = {name: seconds(run, 1) for name, run in loops.items()}
    taken = {name: [] for name in loops}
    for _ in range(rounds):
        for name, run in loops.items():
            taken[name].append(np.array(seconds(run, steps)) / steps)
    return {name: Timed(first[name], Seconds(*np.median(taken[name], axis=0))) for name in loops}
