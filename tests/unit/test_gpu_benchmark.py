"""The benchmark of a GPU works, although it is seldom run: on a CPU, with small networks."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pulseveil.networks import layers
from tests.benchmarks import gpu, private

ROOT = Path(__file__).parents[2]
TIME, INPUTS, UNITS = 4, 3, 5


def problem(seed: int = 0) -> private.Problem:
    """An LSTM and a dense layer, whose first parameters depend on the seed, on the same rows."""
    shapes = (INPUTS, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,), (UNITS, 1), (1,)
    random = np.random.default_rng(seed)
    start = [tf.constant(random.normal(size=shape), tf.float32) for shape in shapes]
    rows = np.random.default_rng(1).normal(size=(private.BATCH, TIME, INPUTS))

    def losses(parameters, rows, seed, note):
        hidden = layers.lstm(rows[0], parameters[:3], note)
        return tf.reduce_mean(tf.square(layers.dense(hidden, parameters[3:], note)), axis=(1, 2))

    return private.Problem(start, (tf.constant(rows, tf.float32),), losses, "loop")


def case(*seeds: int, name: str = "small") -> gpu.Case:
    """Steps from the starts of these seeds, one after the other: of the device, then of the CPU."""
    starts = iter(seeds)
    return gpu.Case(
        name,
        lambda: private.not_private(problem(next(starts)), private.BATCH).run,
        private.BATCH,
        flops=lambda: gpu.step_flops(problem()),
        compared=True,
    )


def table(
    capsys: pytest.CaptureFixture[str], *cases: gpu.Case, seconds: float = 600
) -> tuple[bool, list[str]]:
    """Whether all is good, and the lines below the header."""
    good = gpu.run(cases, gpu.CPU, 1e9, 0.01, time.monotonic() + seconds)
    return good, capsys.readouterr().out.splitlines()[1:]


def test_only_steps_from_one_start_are_equal(capsys: pytest.CaptureFixture[str]) -> None:
    good, (first, second) = table(capsys, case(0, 1), case(2, 2))
    assert not good
    assert first.endswith(" NOT EQUAL")
    assert second.endswith(" 0.0e+00 equal")


def test_cells_of_a_line_agree(capsys: pytest.CaptureFixture[str]) -> None:
    _, (line,) = table(capsys, case(0, 0)._replace(models=2))
    _, ms, core, times, rows, limit, memory, *_ = line.split()
    step = 2 * float(ms) / 1000
    assert (core, times, memory) == ("-", "-", "-")
    assert float(rows.replace(",", "")) == pytest.approx(2 * private.BATCH / step, rel=0.01)
    share = 2 * gpu.step_flops(problem()) / step / 1e9
    assert float(limit.rstrip("%")) / 100 == pytest.approx(share, rel=0.01)


def test_a_step_counts_three_times_its_forward_products() -> None:
    recurrent, dense = 4 * UNITS * (INPUTS + UNITS), UNITS
    assert gpu.step_flops(problem()) == 3 * 2 * private.BATCH * TIME * (recurrent + dense)


def test_differences_against_rounding_of_zero_gradients_and_a_nan() -> None:
    expected = [np.array([30.0, 40.0]), np.array([1e-9])]
    # The second tensor is divided by a hundredth of 50, and not by itself.
    assert gpu.difference([expected[0], np.array([0.005])], expected) == pytest.approx(0.01)
    assert gpu.difference([np.array([30.0, 45.0]), expected[1]], expected) == pytest.approx(0.1)
    assert np.isnan(gpu.difference([np.array([np.nan, 40.0]), expected[1]], expected))


def test_a_failed_case_and_a_late_one_leave_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> private.Run:
        tf.reshape(tf.ones(3), (2, 2))
        raise AssertionError

    good, (failed, other) = table(capsys, case()._replace(name="broken", make=broken), case(0, 0))
    assert not good
    assert failed.startswith("broken ")
    assert "FAILED: InvalidArgumentError" in failed
    assert other.endswith(" equal")
    good, (late,) = table(capsys, case(0, 0), seconds=0)
    assert good
    assert late == f"{'small':{gpu.NAME}} skipped: no time left"


def test_steps_on_another_device_are_refused() -> None:
    with pytest.raises(RuntimeError, match="and not on GPU:0"):
        gpu.require_device([tf.ones(1)], "GPU:0")


def test_names_of_cases_are_unique() -> None:
    names = [case.name for case in gpu.cases(gpu.Work())]
    assert len(set(names)) == len(names)
    assert {"fcn", "cnn, 31 bins, private", "dgan, 150 models", "timegan, private"} <= set(names)


@pytest.mark.slow
def test_the_command_prints_device_and_table() -> None:
    command = [sys.executable, ROOT / "tests/benchmarks/gpu.py", "--quick", "--only", "dgan, 1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "TensorFloat-32 in the library: off" in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("dgan, 1 model "))
    assert line.endswith(" equal")
