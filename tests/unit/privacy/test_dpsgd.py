"""DP-SGD: what a step releases, against plain loops, closed formulas and tensorflow-privacy."""

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from pulseveil.core.errors import InputError
from pulseveil.networks import layers
from pulseveil.networks.classifiers import CNN, CNNLSTM
from pulseveil.networks.training import Examples, Weights, row_losses
from pulseveil.privacy import dpsgd, library_optimizer
from pulseveil.privacy.clipping import add_noise, clipped_sum
from pulseveil.privacy.normals import _upper_quantile, standard_normals, threefry
from tests.unit import dpsgd_cases as cases
from tests.unit.dpsgd_cases import DENSE, NOISE, STREAM, Dense, flat

# Both ways of keeping the gradients of single records, in a plain graph; and a step that XLA compiles whole.
CONVOLUTIONS = CNN(6, 8, 3, (5, 4), 0.0)
WHOLE_STEP = Dense(6, 16, 48, compiles_step=True)


@pytest.mark.parametrize(
    ("network", "n", "k"),
    [(DENSE, 30, 1), (DENSE, 30, 3), (WHOLE_STEP, 30, 1), (CONVOLUTIONS, 10, 3)],
    ids=["windows", "subjects", "windows, step compiled", "subjects, convolutions"],
)
def test_a_step_is_the_sum_of_clipped_records_over_the_expected_batch(network, n, k):
    cases.check_sum_of_clipped_records(k, network, n)


def test_the_divisor_is_the_expected_batch_whatever_was_drawn():
    cases.check_divisor()


@pytest.mark.parametrize("q", [1.0, 1e-9], ids=["full batch", "empty draws"])
def test_steps_without_gradients_release_noise_alone(q):
    cases.check_noise(q=q)


def test_every_step_is_noised_and_counted():
    cases.check_ledger()


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


@pytest.mark.parametrize("compiled", [False, True])
def test_normals_are_quantiles_to_the_error_that_the_cost_of_digits_assumes(compiled):
    """SciPy's quantiles (Cephes) of tails from one half down to those of 96 bits."""
    tails = np.concatenate([np.linspace(1e-9, 0.5, 100_001), 2.0 ** -np.linspace(1, 96, 10_001)])
    quantile = tf.function(_upper_quantile, jit_compile=compiled)
    expected = -special.ndtri(tails)
    for sign in (1.0, -1.0):
        found = quantile(tf.constant(tails), tf.constant(sign, tf.float64))
        assert np.abs(found - sign * expected).max() < 2**-45


def test_large_and_small_sums_get_the_numbers_of_one_sequence():
    """Each number of a seed once and in order, whichever loop adds it: equal noise cancels in differences."""
    shapes = [(3,), (2, 5), (2**17 + 1,), (7,), (2**9, 2**9), (4,)]
    seed, sizes = tf.constant([3, 4]), [int(np.prod(shape)) for shape in shapes]
    noised, came = tf.function(add_noise, jit_compile=True)([tf.zeros(shape) for shape in shapes], seed, 1.0)
    whole = standard_normals(sum(sizes), seed).numpy()
    assert int(came) == 1
    found = np.concatenate([np.ravel(value) for value in noised])
    # The grid of deviation 1 has steps of 1/64.
    np.testing.assert_array_equal(found, np.round(whole * 64) / 64)
    assert [tuple(value.shape) for value in noised] == shapes


def test_a_normal_has_ninety_six_bits():
    """Each of 96 bits is fair, and no two are the same: read from the quantile of a number of known bits."""
    word = st.integers(0, 2**32 - 1)

    @settings(max_examples=50, deadline=None)
    @given(word, word, word)
    def check(high, middle, low):
        words = iter([(high, middle), (low, 0)])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "pulseveil.privacy.normals.threefry",
                lambda key, counter: [tf.constant([value], tf.uint32) for value in next(words)],
            )
            (found,) = standard_normals(1, tf.constant([0, 0])).numpy()
        size = Fraction((high % 2**31) * 2**64 + middle * 2**32 + low) + Fraction(1, 2)
        expected = -special.ndtri(float(size / 2**96))
        assert found == pytest.approx(-expected if high >= 2**31 else expected, rel=1e-13, abs=1e-15)

    check()


@pytest.mark.parametrize("deviation", [0.84, 1e-6, 300.0])
def test_noised_sums_are_the_nearest_points_of_a_public_grid(deviation):
    seed = tf.constant(NOISE.seeds("grid", shape=()))
    sums = np.random.default_rng(0).normal(size=1000).astype(np.float32) * deviation * 10
    for noised in (add_noise, tf.function(add_noise, jit_compile=True)):
        (found,), _ = noised([tf.constant(sums)], seed, deviation)
        step = 2.0 ** math.floor(math.log2(deviation)) / 64
        whole = found.numpy().astype(np.float64) / step
        np.testing.assert_array_equal(whole, np.rint(whole))
        exact = sums.astype(np.float64) + deviation * standard_normals(1000, seed).numpy()
        assert np.abs(found - exact).max() <= step / 2 * (1 + 1e-9)


def test_the_finite_bits_of_noise_cost_what_their_module_says():
    """The bound of `normals`, added up from the probabilities of the grid's points themselves."""
    numbers, rare, epsilon = 2**33, 1e-15, 10.0
    # The finest grid is the costliest; the upper half of it, and twice its sums.
    step = 1 / 128
    ends = np.arange(0, 12, step)
    p = -np.diff(stats.norm.sf(ends))
    widest = stats.norm.pdf(ends[:-1] - 2**-44)
    error = 2 * 2**-44 * widest / p + 2**-93 / p
    near = p > 2**-57
    largest = error[near].max()
    assert largest < 2**-34
    ratio = numbers * largest**2 + largest * math.sqrt(2 * numbers * math.log(1 / rare))
    beyond = 2 * (error * p)[~near].sum()
    assert beyond < 2**-82
    assert 2 * ratio < 1e-4
    assert (1 + math.exp(epsilon)) * (rare + numbers * beyond) < 1e-10


def test_noise_is_standard_normal_and_independent_over_steps_and_coordinates():
    seeds = NOISE.seeds("noise", shape=(200,))
    normals = tf.function(lambda seed: standard_normals(500, seed))
    drawn = np.array([normals(tf.constant(seed)) for seed in seeds])
    # Each of four tests errs once in a hundred thousand; the key is fixed.
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 1e-5
    assert abs(drawn.mean()) < 4.4 / math.sqrt(drawn.size)
    assert abs(drawn.var() - 1) < 4.4 * math.sqrt(2 / drawn.size)
    for left, right in ((drawn[:-1], drawn[1:]), (drawn[:, :-1], drawn[:, 1:])):
        assert abs(np.mean(left * right)) < 4.4 / math.sqrt(left.size)


def test_each_record_is_drawn_independently_with_probability_q():
    cases.check_draws()


def test_a_draw_above_the_capacity_is_cut_at_random():
    cases.check_cut()


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("scale", [1.0, -1e4])
def test_one_record_moves_a_step_by_at_most_the_clip_norm(k, scale):
    cases.check_sensitivity(k, record=5, scale=scale)


@settings(max_examples=100, deadline=None)
@given(
    record=st.integers(0, 5), scale=st.floats(-1e4, 1e4), clip=st.floats(1e-3, 10), k=st.sampled_from([1, 2])
)
def test_one_record_moves_the_clipped_sum_by_at_most_the_clip_norm(record, scale, clip, k):
    """Without tolerance: a step's own rounding is not in the way here."""
    x, target, weight = cases.examples(n=6, k=k)
    x[record] *= np.float32(scale)
    present = np.ones(6, np.float32)
    absent = present.copy()
    absent[record] = 0
    batch = Examples(*(tf.constant(v.reshape(6 * k, *v.shape[2:])) for v in (x, target, weight)))
    totals = [
        flat(_clipped_sum(6)(batch, tf.constant(mask), tf.constant(clip))) for mask in (present, absent)
    ]
    assert np.linalg.norm(totals[0] - totals[1]) <= clip


@lru_cache
def _clipped_sum(records):
    parameters = [tf.constant(value) for value in cases.start_parameters()]

    def total(batch, present, clip):
        def losses(note):
            everyone = tf.ones_like(batch.weight)
            logits, _ = DENSE.train_logits(Weights(parameters, []), batch.x, everyone, layers.keeping, note)
            return row_losses(logits, batch)

        return clipped_sum(losses, parameters, present=tf.ensure_shape(present, records), clip_norm=clip)

    return tf.function(total, autograph=False)


@pytest.mark.parametrize(("network", "n"), [(DENSE, 30), (CONVOLUTIONS, 10)], ids=["dense", "convolutions"])
def test_a_record_without_finite_gradient_counts_as_zero(network, n):
    data = cases.examples(n, 3, network)
    others = [g for record, g in enumerate(cases.plain_gradients(data, network)) if record != 3]
    run = cases.mechanism(n, clip_norm=cases.median_norm(others))
    x = data.x.copy()
    x[3, 0, 0, 0] = np.nan
    found = flat(cases.released(run, data._replace(x=x), network))
    cases.require_close(found, cases.plain_clipped_sum(others, run.clip_norm), "the other records' sum")


def test_the_library_takes_the_same_step():
    run, data = cases.mechanism(clip_norm=5.0), cases.examples()
    theirs, taken = library_optimizer.fit(cases.recipe(run), data, NOISE, STREAM)
    assert taken == 1
    moved = flat(cases.start_parameters()) - flat(theirs.parameters)
    cases.require_close(moved, flat(cases.released(run, data)), "the library's step")


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38], ids=str)
def test_the_library_takes_a_record_without_finite_gradient_for_zero(value):
    """Float32 overflows at 3.4e38: the last value is finite, its gradient is not."""
    n = 30
    data = cases.examples(n)
    x = data.x.copy()
    x[3] = value
    others = [g for record, g in enumerate(cases.plain_gradients(data)) if record != 3]
    run = cases.mechanism(n, clip_norm=cases.median_norm(others), noise_multiplier=1e-9)
    theirs, _ = library_optimizer.fit(cases.recipe(run), data._replace(x=x), NOISE, STREAM)
    moved = flat(cases.start_parameters()) - flat(theirs.parameters)
    cases.require_close(moved, cases.plain_clipped_sum(others, run.clip_norm), "the other records' step")


def test_other_data_never_meet_the_same_noise():
    cases.check_fresh_noise()


def test_batch_normalisation_is_refused_with_its_cure():
    mixing = CNNLSTM(6, 8, 3, (4, 3), (5, 4), 0.0)
    recipe = cases.recipe(cases.mechanism(), mixing)
    with pytest.raises(InputError, match=r"mixes records.*layer normalisation"):
        dpsgd.fit(recipe, cases.examples(network=mixing), NOISE, STREAM)
