import numpy as np
import pytest

from pulseveil.privacy.mechanism import Mechanism
from pulseveil.privacy.noise import reproducible
from pulseveil.privacy.resume import Progress, opened, sealed
from pulseveil.randomness import root_stream

MECHANISM = Mechanism("m", "window", 40, 0.5, 40, 100, 1.0, 1.0)
NOISE, OTHER_NOISE = (reproducible(root_stream(key)) for key in (0, 1))
STATE = {"a": np.arange(4.0), "b": np.ones((2, 2), np.float32)}


def open_again(stored, fingerprint="f", noise=NOISE):
    return opened(stored, MECHANISM, fingerprint, noise, at_risk=10)


def test_nothing_stored_starts_at_the_beginning():
    assert open_again(None) == (Progress(0, 0, 0), None)


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
