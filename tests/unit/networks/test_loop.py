"""The loop of trainings without noise, on a state that is a number."""

import logging
from itertools import count

import numpy as np
import pytest
import tensorflow as tf

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import Interrupted
from pulseveil.networks import loop

PHASES = {"first": 25, "second": 7}
BLOCKS = loop.blocks(["a", "b"], PHASES, 10)


def advance(block, state):
    """A state that depends on the order of the steps, and on each step once."""
    for step in range(block.first, block.last):
        state = (state * 1.5 + step + len(block.phase)) % 97
    return state, {"remainder": state}


def train(checkpoint=None, blocks=BLOCKS):
    states = {"a": tf.constant(1.0), "b": tf.constant(2.0)}
    return {key: float(value) for key, value in loop.train("t", states, blocks, advance, checkpoint).items()}


def stops_at(block):
    calls = count(1)
    return lambda: next(calls) == block


def test_blocks_cover_all_steps_of_all_phases_in_order():
    for key in "ab":
        own = [block for block in BLOCKS if block.key == key]
        for phase, steps in PHASES.items():
            covered = [range(block.first, block.last) for block in own if block.phase == phase]
            assert [step for steps in covered for step in steps] == list(range(steps))
            assert [block.number for block in own if block.phase == phase] == list(range(len(covered)))
    assert [block.key for block in BLOCKS] == sorted(block.key for block in BLOCKS)


@pytest.mark.parametrize("block", range(1, len(BLOCKS) + 1))
def test_a_training_that_is_stopped_after_any_block_ends_in_the_same_states(tmp_path, block):
    path = tmp_path / "state.npz"
    with pytest.raises(Interrupted):
        train(Checkpoint(path, "cell", 1000, stops_at(block)))
    assert train(Checkpoint(path, "cell", 1000)) == train()


def test_a_state_of_another_form_or_from_within_a_block_starts_over(tmp_path):
    checkpoint = Checkpoint(tmp_path / "state.npz", "cell", 1000)
    two = {"state_000": np.array(5.0, np.float32), "state_001": np.array(5.0, np.float32)}
    for step, arrays in ((10, two | {"best": np.array(0.0)}), (9, two)):
        checkpoint.save(step, arrays)
        assert train(checkpoint) == train()
    checkpoint.save(10, two)
    assert train(checkpoint) != train()


def test_the_end_of_each_phase_is_reported_for_each_model(caplog):
    blocks = loop.blocks([""], {"step": 4}, 2)

    def two_models(block, state):
        return state, {"loss": tf.constant([1.0, 2.0])}

    with caplog.at_level(logging.INFO):
        loop.train("gan", {"": tf.constant(0.0)}, blocks, two_models, None)
    assert [record.getMessage() for record in caplog.records] == [
        "gan: model 1 of 2, step 4 of 4, loss 1.000",
        "gan: model 2 of 2, step 4 of 4, loss 2.000",
    ]


def test_repeat_is_a_plain_loop_over_the_first_steps():
    inputs = np.arange(12.0, dtype=np.float32).reshape(6, 2)

    def step(state, own):
        return state + own, tf.reduce_sum(own)[tf.newaxis]

    run = tf.function(lambda n: loop.repeat(step, tf.zeros(2), [tf.constant(inputs)], n, tf.zeros(1)))
    for n in (1, 4, 6):
        state, losses = run(tf.constant(n))
        np.testing.assert_array_equal(state, inputs[:n].sum(axis=0))
        np.testing.assert_allclose(losses, [inputs[:n].sum() / n])


def test_models_side_by_side_come_apart_again_and_a_single_one_has_no_axis():
    models = [(tf.constant(float(i)), {"w": tf.fill((2, 3), float(i))}) for i in range(3)]
    joined = loop.side_by_side(models)
    assert joined[1]["w"].shape == (3, 2, 3)
    for found, expected in zip(loop.each(joined, 3), models, strict=True):
        np.testing.assert_array_equal(found[1]["w"], expected[1]["w"])
    assert loop.side_by_side(models[:1]) is models[0]
