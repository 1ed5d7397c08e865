"""Engines of DP-SGD that were broken on purpose: a check that the whole engine passes stops each of them."""

import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from pulseveil.networks import per_example
from pulseveil.networks.training import Weights
from pulseveil.privacy import clipping, dpsgd, records
from tests.unit import dpsgd_cases as cases

MICRO_BATCH = 4


def fresh_programs(patch):
    """Programs of the broken engine are compiled afresh, and gone with the patch."""
    patch.setattr(dpsgd, "program", lru_cache(dpsgd.program.__wrapped__))


def without_noise(patch):
    """No noise, although each step says it had some."""
    fresh_programs(patch)
    patch.setattr(dpsgd, "add_noise", lambda sums, seed, deviation: (list(sums), tf.constant(1)))


def without_deviation(patch):
    """Noise of deviation 0, counted by the program."""
    scales = dpsgd.scales
    patch.setattr(dpsgd, "scales", lambda recipe: scales(recipe)._replace(noise_deviation=tf.constant(0.0)))


def with_noise_on_the_mean(patch):
    """The deviation divided by the expected batch, as if the noise came after the division."""
    scales = dpsgd.scales

    def smaller(recipe):
        whole = scales(recipe)
        return whole._replace(noise_deviation=whole.noise_deviation / whole.divisor)

    patch.setattr(dpsgd, "scales", smaller)


def _with_a_silent_step(patch, count):
    fresh_programs(patch)
    original = dpsgd._update_by

    def update_by(optimizer):
        update = original(optimizer)

        def silent_once(state, sums, noise_seed, scales):
            deviation = tf.where(tf.equal(state.moments.step, 1), 0.0, scales.noise_deviation)
            after = update(state, sums, noise_seed, scales._replace(noise_deviation=deviation))
            return after._replace(noised=count(state, after))

        return silent_once

    patch.setattr(dpsgd, "_update_by", update_by)


def with_a_silent_step(patch):
    """The second step has no noise, and says it had some."""
    _with_a_silent_step(patch, lambda before, after: before.noised + 1)


def with_an_honest_silent_step(patch):
    """The second step has no noise, counted by the program."""
    _with_a_silent_step(patch, lambda before, after: after.noised)


def with_one_noise_for_all_steps(patch):
    """Each step has the normals of the same seed."""
    fresh_programs(patch)
    add_noise = dpsgd.add_noise
    patch.setattr(
        dpsgd, "add_noise", lambda sums, seed, deviation: add_noise(sums, tf.constant([1, 2]), deviation)
    )


def with_one_noise_for_all_tensors(patch):
    """Each tensor has the first of the same normals."""
    fresh_programs(patch)

    def add_noise(sums, seed, deviation):
        return [clipping.add_noise([value], seed, deviation)[0][0] for value in sums], tf.constant(1)

    patch.setattr(dpsgd, "add_noise", add_noise)


def without_clipping(patch):
    fresh_programs(patch)

    def whole_sum(losses, parameters, *, present, clip_norm):
        gradients = per_example.record_gradients(losses, parameters, present.shape[0])
        return gradients.weighted_sum(present)

    patch.setattr(dpsgd, "clipped_sum", whole_sum)


def with_micro_batches(patch):
    """The mean of some records is clipped once, in the place of each."""
    fresh_programs(patch)

    def sum_of_means(losses, parameters, *, present, clip_norm):
        groups = present.shape[0] // MICRO_BATCH

        def present_losses(note):
            rows = losses(note)
            return rows * tf.repeat(present, rows.shape[0] // present.shape[0])

        means = clipping.clipped_sum(
            lambda note: present_losses(note) / MICRO_BATCH,
            parameters,
            present=tf.ones(groups),
            clip_norm=clip_norm,
        )
        return [MICRO_BATCH * mean for mean in means]

    patch.setattr(dpsgd, "clipped_sum", sum_of_means)


def with_norms_of_rows(patch):
    """`|a|^2 |d|^2` of each row, added up over the rows of a record: right for records of one row."""
    fresh_programs(patch)

    def squared_norms(self):
        inputs = tf.add_n([tf.reduce_sum(tf.square(a), axis=2) for a in self.inputs])
        if self.bias is not None:
            inputs = inputs + 1
        return tf.reduce_sum(inputs * tf.reduce_sum(tf.square(self.signal), axis=2), axis=1)

    patch.setattr(per_example._Factored, "squared_norms", squared_norms)


def with_the_drawn_divisor(patch):
    original = dpsgd.program

    def program(network, rows, optimizer):
        run = original(network, rows, optimizer)

        def step_by_step(state, data, chance, seed, scales):
            for order, noise_seed in zip(chance.order, chance.noise_seeds, strict=True):
                drawn = tf.reduce_sum(tf.cast(order != records.ABSENT, tf.float32))
                own_chance = dpsgd.Chance(order[tf.newaxis], noise_seed[tf.newaxis])
                state = run(state, data, own_chance, seed, scales._replace(divisor=drawn))
            return state

        return step_by_step

    patch.setattr(dpsgd, "program", program)


def with_shuffling(patch):
    """Batches of one size, cut from shuffled passes over all records."""

    def draw(mechanism, rng):
        size = round(mechanism.expected_batch)
        passes = -(-mechanism.steps * size // mechanism.n)
        numbers = np.concatenate([rng.permutation(mechanism.n) for _ in range(passes)])
        order = np.full((mechanism.steps, mechanism.capacity), records.ABSENT, np.int32)
        order[:, :size] = numbers[: mechanism.steps * size].reshape(mechanism.steps, size)
        return order

    patch.setattr(records, "draw", draw)


def with_batches_of_one_size(patch):
    """Batches drawn anew in each step, all of the expected size."""

    def draw(mechanism, rng):
        size = round(mechanism.expected_batch)
        order = np.full((mechanism.steps, mechanism.capacity), records.ABSENT, np.int32)
        for row in order:
            row[:size] = rng.permutation(mechanism.n)[:size]
        return order

    patch.setattr(records, "draw", draw)


def with_one_draw(patch):
    """One Poisson draw for all steps."""
    draw = records.draw
    patch.setattr(
        records, "draw", lambda mechanism, rng: np.tile(draw(mechanism, rng)[:1], (mechanism.steps, 1))
    )


def with_the_first_rows_of_a_draw(patch):
    def draw(mechanism, rng):
        order = np.full((mechanism.steps, mechanism.capacity), records.ABSENT, np.int32)
        for row in order:
            drawn = np.flatnonzero(rng.random(mechanism.n) < mechanism.q)[: mechanism.capacity]
            row[: len(drawn)] = drawn
        return order

    patch.setattr(records, "draw", draw)


def with_a_constant_fingerprint(patch):
    patch.setattr(dpsgd, "fingerprint", lambda recipe, data, weights: "constant")


def with_a_fingerprint_of_the_settings(patch):
    """The old noise and draws come back for other data."""
    patch.setattr(dpsgd, "fingerprint", lambda recipe, data, weights: repr(recipe))


def with_a_fingerprint_without_weights(patch):
    """The old noise and draws come back for other parameters."""
    fingerprint = dpsgd.fingerprint
    patch.setattr(
        dpsgd,
        "fingerprint",
        lambda recipe, data, weights: fingerprint(recipe, data, Weights([], [])),
    )


def with_draws_of_the_key_alone(patch):
    """Noise hangs on the data, draws do not."""

    def draw(recipe, noise, fingerprint, attempt=0):
        run = recipe.mechanism
        order = records.draw(run, noise.generator(run.name, attempt, "draws"))
        return dpsgd.Chance(order, noise.seeds(run.name, fingerprint, attempt, "noise", shape=(run.steps,)))

    patch.setattr(dpsgd, "draw", draw)


class Stop(NamedTuple):
    """A check that stops a broken engine, and what it says."""

    check: Callable[[], None]
    says: str
    error: type[Exception] = AssertionError


BY_DEVIATION = Stop(cases.check_noise, "times the accounted deviation")
BY_TENSORS = Stop(cases.check_noise, "two tensors share their noise")
BY_LEDGER = Stop(cases.check_ledger, "were noised", ValueError)
BY_SENSITIVITY = Stop(cases.check_sensitivity, "one record moves the sum by")
BY_SUM = Stop(cases.check_sum_of_clipped_records, "does not release the sum of clipped records")
BY_SUBJECTS = tuple(stop._replace(check=partial(stop.check, k=3)) for stop in (BY_SENSITIVITY, BY_SUM))
BY_DIVISOR = Stop(cases.check_divisor, "does not release the drawn records over the expected batch")
BY_STEPS = Stop(cases.check_draws, "draws of steps hang together")
BY_SIZES = Stop(cases.check_draws, "sizes of draws vary by")
BY_CUT = Stop(cases.check_cut, "some records are cut more often than others")
BY_FRESH_NOISE = Stop(cases.check_fresh_noise, "x: changed, but the noise is the old one")
BY_FRESH_DRAWS = Stop(cases.check_fresh_noise, "x: changed, but the old draws")
BY_WEIGHTS = Stop(cases.check_fresh_noise, "first weights: changed, but the noise is the old one")

MUTATIONS = {
    without_noise: (BY_DEVIATION,),
    without_deviation: (BY_DEVIATION, BY_LEDGER),
    with_noise_on_the_mean: (BY_DEVIATION,),
    with_a_silent_step: (BY_DEVIATION,),
    with_an_honest_silent_step: (BY_DEVIATION, BY_LEDGER),
    with_one_noise_for_all_steps: (BY_DEVIATION,),
    with_one_noise_for_all_tensors: (BY_TENSORS,),
    without_clipping: (BY_SENSITIVITY, BY_SUM),
    with_micro_batches: (BY_SENSITIVITY, BY_SUM),
    with_norms_of_rows: BY_SUBJECTS,
    with_the_drawn_divisor: (BY_DIVISOR,),
    with_shuffling: (BY_STEPS,),
    with_batches_of_one_size: (BY_SIZES,),
    with_one_draw: (BY_STEPS,),
    with_the_first_rows_of_a_draw: (BY_CUT,),
    with_a_constant_fingerprint: (BY_FRESH_NOISE,),
    with_a_fingerprint_of_the_settings: (BY_FRESH_NOISE,),
    with_a_fingerprint_without_weights: (BY_WEIGHTS,),
    with_draws_of_the_key_alone: (BY_FRESH_DRAWS,),
}


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_a_broken_engine_is_stopped(mutate, monkeypatch):
    for stop in MUTATIONS[mutate]:
        stop.check()
    mutate(monkeypatch)
    for stop in MUTATIONS[mutate]:
        with pytest.raises(stop.error, match=re.escape(stop.says)):
            stop.check()
