"""DP-SGD: what a step releases, against plain loops, closed formulas and tensorflow-privacy."""

import math
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pulseveil import randomness
from pulseveil.errors import InputError
from pulseveil.networks import layers
from pulseveil.networks.convolutional import CNN, CNNLSTM
from pulseveil.networks.training import Examples, Weights, row_losses
from pulseveil.privacy import dpsgd, library_optimizer, sampling
from pulseveil.privacy.clipping import add_noise, clipped_sum
from pulseveil.privacy.dpsgd import Recipe
from pulseveil.privacy.mechanism import Mechanism
from pulseveil.privacy.noise import Noise
from pulseveil.privacy.normals import standard_normals, threefry

NETWORK = CNN(6, 8, 3, (5, 4), 0.0)
STREAM = randomness.root_stream(4)
NOISE = Noise(bytes(range(32)), secret=False)
RATE = 0.5


def mechanism(n=12, q=1.0, steps=1, clip=0.05, multiplier=1e-6, unit="window", room=None):
    return Mechanism("cnn", unit, n, q, room or n, steps, clip, multiplier)


def examples(n=12, k=1, seed=0):
    rng = np.random.default_rng(seed)
    stress = rng.random((n, k)) < 0.4
    x = rng.normal(size=(n, k, 6, 8)) + stress[..., np.newaxis, np.newaxis]
    weight = np.where(stress, 2.0, 1.0)
    return Examples(
        x.astype(np.float32), np.eye(2, dtype=np.float32)[stress.astype(int)], weight.astype(np.float32)
    )


def recipe(run, **changes):
    return Recipe(NETWORK, run, RATE, **({"optimizer": "sgd"} | changes))


def start_parameters():
    stream = randomness.child(STREAM, "initial")
    return [tf.constant(value) for value in NETWORK.start(randomness.generator(stream)).parameters]


def record_gradient(parameters, data, record):
    """A plain gradient of one record."""
    x, target, weight = (tf.constant(values[record]) for values in data)
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        drop = layers.keeping
        logits, _ = NETWORK.train_logits(Weights(parameters, []), x, tf.ones(len(weight)), drop)
        loss = tf.reduce_sum(row_losses(logits, Examples(x, target, weight)))
    return np.concatenate([np.ravel(g) for g in tape.gradient(loss, parameters)])


def plain_clipped_sum(parameters, data, clip, records):
    gradients = [record_gradient(parameters, data, record) for record in records]
    sizes = [np.linalg.norm(g) for g in gradients]
    assert not gradients or min(sizes) < clip or max(sizes) > clip
    return np.sum([g * min(1, clip / size) for g, size in zip(gradients, sizes, strict=True)], axis=0)


def flat(tensors):
    return np.concatenate([np.ravel(value) for value in tensors])


def released(run, data, noise=NOISE):
    """The noised sum of a single SGD step: what the step moved, times divisor over rate."""
    weights, _ = dpsgd.fit(recipe(run), data, noise, STREAM)
    return (flat(start_parameters()) - flat(weights.parameters)) * run.expected_batch / RATE


@pytest.mark.parametrize(("unit", "k"), [("window", 1), ("subject", 3)])
def test_a_step_is_the_sum_of_clipped_records_over_the_expected_batch(unit, k):
    run, data = mechanism(unit=unit), examples(k=k)
    expected = plain_clipped_sum(start_parameters(), data, run.clip_norm, range(12))
    np.testing.assert_allclose(released(run, data), expected, rtol=2e-3, atol=2e-4)


def test_the_divisor_is_the_expected_batch_whatever_was_drawn():
    run, data = mechanism(q=0.4), examples()
    fingerprint = dpsgd.fingerprint(
        recipe(run), data, NETWORK.start(randomness.generator(randomness.child(STREAM, "initial")))
    )
    (drawn,) = dpsgd.draw(recipe(run), NOISE, fingerprint).order
    records = drawn[drawn >= 0]
    assert len(records) != run.expected_batch
    expected = plain_clipped_sum(start_parameters(), data, run.clip_norm, records)
    np.testing.assert_allclose(released(run, data), expected, rtol=2e-3, atol=2e-4)


def test_an_empty_draw_releases_noise_alone():
    run = mechanism(q=1e-9, multiplier=2.0, clip=0.1)
    noise = released(run, examples())
    # Some 500 normals of SD 0.2: their SD is within 15 % but for one case in a million.
    assert np.std(noise) == pytest.approx(0.2, rel=0.15)


def test_every_step_is_noised_and_counted():
    run = mechanism(steps=7, multiplier=1.0)
    _, noised = dpsgd.fit(recipe(run), examples(), NOISE, STREAM)
    assert noised == 7


def test_a_step_without_noise_is_not_counted():
    seed = tf.constant(NOISE.seeds("a", shape=()))
    sums = [tf.zeros((3, 4)), tf.zeros(5)]
    assert int(add_noise(sums, seed, 1.0)[1]) == 1
    assert int(add_noise(sums, seed, 0.0)[1]) == 0


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_published_words(key, counter, expected):
    """Known answers of the Random123 library (Salmon et al. 2011)."""
    words = [tuple(tf.constant(word, tf.uint32) for word in pair) for pair in (key, counter)]
    assert tuple(int(word) for word in threefry(*words)) == expected


def test_noise_is_standard_normal_and_independent_over_steps_and_coordinates():
    seeds = NOISE.seeds("noise", shape=(200,))
    drawn = np.array([standard_normals(500, tf.constant(seed)) for seed in seeds])
    # Each of four tests errs once in a hundred thousand; the key is fixed.
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 1e-5
    assert abs(drawn.mean()) < 4.4 / math.sqrt(drawn.size)
    assert abs(drawn.var() - 1) < 4.4 * math.sqrt(2 / drawn.size)
    for left, right in ((drawn[:-1], drawn[1:]), (drawn[:, :-1], drawn[:, 1:])):
        assert abs(np.mean(left * right)) < 4.4 / math.sqrt(left.size)


def test_each_record_is_drawn_independently_with_probability_q():
    run = mechanism(n=40, q=0.3, steps=3000)
    order = sampling.draw(run, np.random.default_rng(1))
    present = np.zeros((3000, 40))
    for row, numbers in zip(present, order, strict=True):
        row[numbers[numbers >= 0]] = 1
    assert stats.chisquare(present.sum(axis=0), np.full(40, present.sum() / 40)).pvalue > 1e-5
    assert abs(present.mean() - 0.3) < 4.4 * math.sqrt(0.3 * 0.7 / present.size)
    # Shuffled batches have one size; Poisson draws have a binomial one.
    sizes = present.sum(axis=1)
    assert np.var(sizes) == pytest.approx(40 * 0.3 * 0.7, rel=0.15)


def test_a_draw_above_the_room_is_cut_at_random():
    run = mechanism(n=40, q=0.9, steps=2000, room=20)
    order = sampling.draw(run, np.random.default_rng(1))
    counts = np.bincount(order[order >= 0], minlength=40)
    assert (order >= 0).sum(axis=1).max() == 20
    assert stats.chisquare(counts).pvalue > 1e-5


@settings(max_examples=25, deadline=None)
@given(
    record=st.integers(0, 5), scale=st.floats(-1e4, 1e4), clip=st.floats(1e-3, 10), k=st.sampled_from([1, 2])
)
def test_one_record_moves_the_clipped_sum_by_at_most_the_clip_norm(record, scale, clip, k):
    parameters, data = start_parameters(), examples(n=6, k=k)
    x = data.x.copy()
    x[record] *= np.float32(scale)
    present = np.ones(6, np.float32)
    absent = present.copy()
    absent[record] = 0

    def total(mask):
        batch = Examples(*(tf.constant(v.reshape(6 * k, *v.shape[2:])) for v in data._replace(x=x)))

        def losses(note):
            logits, _ = NETWORK.train_logits(
                Weights(parameters, []), batch.x, tf.ones(6 * k), layers.keeping, note
            )
            return row_losses(logits, batch)

        return flat(clipped_sum(losses, parameters, present=tf.constant(mask), clip_norm=clip))

    assert np.linalg.norm(total(present) - total(absent)) <= clip


def test_a_record_without_finite_gradient_counts_as_zero():
    run, data = mechanism(), examples()
    x = data.x.copy()
    x[3, 0, 0, 0] = np.nan
    others = [record for record in range(12) if record != 3]
    expected = plain_clipped_sum(start_parameters(), data, run.clip_norm, others)
    np.testing.assert_allclose(released(run, data._replace(x=x)), expected, rtol=2e-3, atol=2e-4)


def test_the_library_takes_the_same_step():
    run, data = mechanism(), examples()
    ours, _ = dpsgd.fit(recipe(run), data, NOISE, STREAM)
    theirs, taken = library_optimizer.fit(recipe(run), data, NOISE, STREAM)
    assert taken == 1
    np.testing.assert_allclose(flat(theirs.parameters), flat(ours.parameters), rtol=1e-4, atol=1e-5)


def test_other_data_never_meet_the_same_noise():
    run, data = mechanism(multiplier=5.0, steps=2), examples()
    weights = NETWORK.start(np.random.default_rng(0))
    changed = data._replace(x=data.x + np.float32(1e-3))
    prints = {
        dpsgd.fingerprint(recipe(run), data, weights),
        dpsgd.fingerprint(recipe(run), changed, weights),
        dpsgd.fingerprint(recipe(replace(run, clip_norm=0.06)), data, weights),
        dpsgd.fingerprint(recipe(replace(run, noise_multiplier=4.0)), data, weights),
    }
    assert len(prints) == 4
    seeds = [dpsgd.draw(recipe(run), NOISE, name).noise_seeds.tobytes() for name in prints]
    assert len(set(seeds)) == 4


def test_batch_normalisation_is_refused_with_its_cure():
    mixing = CNNLSTM(6, 8, 3, (4, 3), (5, 4), 0.0)
    with pytest.raises(InputError, match=r"mixes records.*layer normalisation"):
        dpsgd.fit(Recipe(mixing, mechanism(), RATE), examples(), NOISE, STREAM)
