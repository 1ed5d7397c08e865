"""Stored states of trainings: what is kept, what is used after damage, and when a job leaves."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import Interrupted, never_requested, stop_signals

STATE = {"a": np.arange(3.0), "b": np.ones((2, 2), np.float32)}


def stored(path, steps=(250, 500)):
    """A checkpoint that was saved after these steps."""
    checkpoint = Checkpoint(path, "cell", 250)
    for step in steps:
        checkpoint.save(step, {"a": np.array(step)})
    return checkpoint


def test_a_state_comes_back_as_it_was(tmp_path):
    checkpoint = Checkpoint(tmp_path / "s.npz", "cell", 250)
    checkpoint.save(250, STATE)
    step, arrays, older = checkpoint.load()
    assert (step, older, set(arrays)) == (250, False, {"a", "b"})
    for name, value in STATE.items():
        np.testing.assert_array_equal(arrays[name], value)
        assert arrays[name].dtype == value.dtype


@pytest.mark.parametrize(
    ("before", "done", "kept"), [(0, 249, False), (0, 250, True), (200, 260, True), (250, 499, False)]
)
def test_states_are_kept_on_a_cadence(tmp_path, before, done, kept):
    checkpoint = Checkpoint(tmp_path / "s.npz", "cell", 250)
    checkpoint.keep(before, done, lambda: STATE)
    assert (checkpoint.load() is not None) == kept


def test_a_job_that_is_told_to_end_leaves_its_state_at_once(tmp_path):
    checkpoint = Checkpoint(tmp_path / "s.npz", "cell", 250, lambda: True)
    with pytest.raises(Interrupted, match="state stored after step 10"):
        checkpoint.keep(0, 10, lambda: STATE)
    assert checkpoint.load().step == 10


def test_nothing_and_other_trainings_states_are_not_resumed(tmp_path):
    assert Checkpoint(tmp_path / "s.npz", "cell", 250).load() is None
    stored(tmp_path / "s.npz")
    assert Checkpoint(tmp_path / "s.npz", "other cell", 250).load() is None


@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "gone"])
def test_a_damaged_state_gives_way_to_the_one_before_it_and_that_is_said(tmp_path, damage, caplog):
    checkpoint = stored(tmp_path / "s.npz")
    content = checkpoint.path.read_bytes()
    damaged = {"cut": content[: len(content) // 2], "empty": b"", "noise": bytes(len(content))}
    checkpoint.path.unlink()
    if damage in damaged:
        checkpoint.path.write_bytes(damaged[damage])
    step, arrays, older = checkpoint.load()
    assert (step, int(arrays["a"]), older) == (250, 250, True)
    assert "cannot be read: the state before it is used, of step 250" in caplog.text


def test_with_both_states_damaged_the_training_starts_over(tmp_path):
    checkpoint = stored(tmp_path / "s.npz")
    for path in (checkpoint.path, checkpoint.previous):
        path.write_bytes(b"PK")
    assert checkpoint.load() is None


def test_a_failed_save_leaves_the_states_as_they_were(tmp_path):
    checkpoint = stored(tmp_path / "s.npz")
    with pytest.raises(ValueError, match="cannot be stored"):
        checkpoint.save(750, {"a": Unsavable()})
    assert checkpoint.load().step == 500
    assert len(list(tmp_path.iterdir())) == 2


class Unsavable:
    def __array__(self, dtype=None, copy=None):
        raise ValueError("cannot be stored")


def test_finished_trainings_leave_nothing_behind(tmp_path):
    stored(tmp_path / "s.npz").clear()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_signals_tell_and_do_not_kill_while_somebody_listens(number):
    before = signal.getsignal(number)
    with stop_signals() as stop_requested:
        assert not stop_requested()
        os.kill(os.getpid(), number)
        assert stop_requested()
    assert signal.getsignal(number) == before
    assert not never_requested()


def test_a_command_that_was_told_to_end_leaves_with_its_own_code_and_one_line():
    code = """
from pulseveil.core.errors import run_command
from pulseveil.core.errors import Interrupted
def main():
    raise Interrupted("state stored after step 7")
run_command(main)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (75, "interrupted: state stored after step 7\n")


def test_parts_share_a_file_and_keep_their_own_states(tmp_path):
    checkpoint = Checkpoint(tmp_path / "s.npz", "cell", 250)
    first, second = checkpoint.part("first"), checkpoint.part("second")
    assert first.load() is None
    first.keep(0, 7, lambda: STATE)
    assert second.load() is None
    second.keep(0, 3, lambda: {"a": np.zeros(2)})
    (step, arrays, older), (other_step, other, _) = first.load(), second.load()
    assert (step, older, set(arrays), other_step, set(other)) == (7, False, {"a", "b"}, 3, {"a"})
    np.testing.assert_array_equal(arrays["b"], STATE["b"])
    first.save(9, {})
    assert (first.load().step, set(first.load().arrays), second.load().step) == (9, set(), 3)


def test_a_part_stays_an_older_one_after_another_part_was_stored(tmp_path):
    checkpoint = Checkpoint(tmp_path / "s.npz", "cell", 250)
    first, second = checkpoint.part("first"), checkpoint.part("second")
    first.save(7, STATE)
    second.save(50, STATE)
    second.save(100, STATE)
    checkpoint.path.write_bytes(b"damaged")
    assert (second.load().step, second.load().older) == (50, True)
    first.save(7, STATE)
    assert (second.load().step, second.load().older, first.load().older) == (50, True, False)
    assert set(second.load().arrays) == set(STATE)
    second.save(100, STATE)
    assert not second.load().older


def test_a_part_that_is_told_to_end_leaves_its_state(tmp_path):
    part = Checkpoint(tmp_path / "s.npz", "cell", 250, lambda: True).part("first")
    with pytest.raises(Interrupted, match="state of first stored after step 10"):
        part.keep(0, 10, lambda: STATE)
    assert part.load().step == 10
