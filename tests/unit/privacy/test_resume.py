import numpy as np
import pytest

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import Interrupted
from pulseveil.core.randomness import root_stream
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.noise import reproducible
from pulseveil.privacy.resume import BLOCK_STEPS, Course, Progress, Resumable, opened, sealed

MECHANISM = Mechanism("m", "window", 40, 0.5, 40, 100, 1.0, 1.0)
NOISE, OTHER_NOISE = (reproducible(root_stream(key)) for key in (0, 1))
STATE = {"a": np.arange(4.0), "b": np.ones((2, 2), np.float32)}


def open_again(stored, fingerprint="f", noise=NOISE):
    return opened(stored, MECHANISM, fingerprint, noise, at_risk=10)


def test_an_unchanged_training_replays():
    progress, state = open_again((30, sealed(STATE, Progress(30, 5, 2), "f", NOISE)))
    assert progress == Progress(30, 5, 2)
    assert set(state) == set(STATE)
    np.testing.assert_array_equal(state["b"], STATE["b"])


@pytest.mark.parametrize("change", ["fingerprint", "key", "state", "steps", "lost"])
def test_any_change_spends_the_steps_at_risk_and_draws_fresh_noise(change):
    arrays = sealed(STATE, Progress(30, 5, 2), "f", NOISE)
    if change == "state":
        arrays["a"] = arrays["a"] + 1e-12
    if change == "lost":
        arrays["__lost__"] = np.array(6)
    progress, _ = open_again(
        (31 if change == "steps" else 30, arrays),
        fingerprint="g" if change == "fingerprint" else "f",
        noise=OTHER_NOISE if change == "key" else NOISE,
    )
    assert progress.lost == (16 if change == "lost" else 15)
    assert progress.attempt == 3


def test_no_more_steps_are_lost_than_there_are():
    progress, _ = open_again((97, sealed(STATE, Progress(97), "f", NOISE)), fingerprint="g")
    assert progress == Progress(97, 3, 1)
    assert progress.spent == MECHANISM.steps


STEPS = 3 * BLOCK_STEPS + 20


class Counting:
    """A training whose state is the sum over its steps of (step + 1000 attempts)."""

    def __init__(self):
        self.ran = []

    def begin(self, attempt):
        def advance(state, first, last):
            self.ran += [(attempt, step) for step in range(first, last)]
            return state + sum(range(first, last)) + 1000 * attempt * (last - first)

        return advance

    def train(self, checkpoint, fingerprint="f"):
        mechanism = Mechanism("m", "window", 40, 0.5, 40, STEPS, 1.0, 1.0)
        course = Course(0, lambda arrays: int(arrays["x"]), lambda state: {"x": np.array(state)}, self.begin)
        return Resumable(mechanism, fingerprint, NOISE, checkpoint).train(course)


def stop_after(checks):
    """A stop requested at the given check."""
    left = iter(range(checks))
    return lambda: next(left, None) is None


def broken(path, blocks=2):
    """What is left of a training that was stopped after some blocks."""
    with pytest.raises(Interrupted, match=f"after step {blocks * BLOCK_STEPS}"):
        Counting().train(Checkpoint(path, "cell", 1000, stop_after(blocks - 1)))
    return Checkpoint(path, "cell", 1000)


def test_a_training_that_was_stopped_goes_on_where_it_was(tmp_path):
    training = Counting()
    assert training.train(broken(tmp_path / "s.npz")) == (sum(range(STEPS)), 0)
    assert training.ran == [(0, step) for step in range(2 * BLOCK_STEPS, STEPS)]


def test_after_a_change_the_training_stops_with_the_planned_steps_spent(tmp_path):
    training = Counting()
    _, lost = training.train(broken(tmp_path / "s.npz"), fingerprint="other data")
    assert lost == BLOCK_STEPS
    assert training.ran == [(1, step) for step in range(2 * BLOCK_STEPS, STEPS - BLOCK_STEPS)]


def test_a_damaged_state_is_replaced_by_the_one_before_and_replayed(tmp_path):
    checkpoint = broken(tmp_path / "s.npz")
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-40])
    training = Counting()
    assert training.train(checkpoint) == (sum(range(STEPS)), 0)
    assert training.ran[0] == (0, BLOCK_STEPS)


def test_behind_a_damaged_state_two_blocks_can_have_been_lost(tmp_path):
    checkpoint = broken(tmp_path / "s.npz")
    checkpoint.path.write_bytes(b"")
    training = Counting()
    _, lost = training.train(checkpoint, fingerprint="other data")
    assert lost == 2 * BLOCK_STEPS
    assert training.ran == [(1, step) for step in range(BLOCK_STEPS, STEPS - 2 * BLOCK_STEPS)]
