import time
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from pulseveil.core.randomness import root_stream
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.gaussian import clip_rows, discrete_gaussian, grid_step, on_grid, release
from pulseveil.privacy.noise import Noise, reproducible

SECRET = Noise(bytes(32), secret=True)
REPRODUCIBLE = reproducible(root_stream(5))
rows = arrays(np.float64, (3, 4), elements=st.floats(-1e308, 1e308))


def query(multiplier=1.0, clip_norm=1.5, n=14, **changes):
    values = {"name": "means", "unit": "subject", "n": n, "q": 1, "capacity": n, "steps": 1}
    values |= {"clip_norm": clip_norm, "noise_multiplier": multiplier}
    return Mechanism(**(values | changes))


def test_clipping_equals_a_plain_loop():
    values = np.random.default_rng(0).normal(size=(50, 7)) * np.geomspace(1e-3, 1e3, 50)[:, None]
    for row, clipped in zip(values, clip_rows(values, 1.5), strict=True):
        limit = 1.5 * (1 - 1e-6)
        scale = min(1.0, limit / sum(x * x for x in row) ** 0.5)
        np.testing.assert_allclose(clipped, row * scale, rtol=1e-12)


@settings(max_examples=200, deadline=None)
@given(rows, st.floats(1e-3, 1e3))
def test_no_row_is_longer_than_the_clip_norm(values, norm):
    clipped = clip_rows(values, norm)
    assert np.isfinite(clipped).all()
    assert (np.linalg.norm(clipped, axis=1) < norm).all()


def test_short_rows_stay_and_broken_rows_become_zero():
    values = np.array([[0.3, 0.4], [np.nan, 0.1], [np.inf, 0.0], [0.0, 0.0], [3e200, 4e200]])
    clipped = clip_rows(values, 1.0)
    assert clipped[:4].tolist() == [[0.3, 0.4], [0, 0], [0, 0], [0, 0]]
    assert clipped[4] == pytest.approx([0.6, 0.8], rel=2e-6)


@pytest.mark.parametrize("width", [1, 8, 5000])
@pytest.mark.parametrize("clip_norm", [0.25, 1.0, 1.7])
def test_neighbours_differ_by_less_than_the_clip_norm_in_whole_numbers(width, clip_norm):
    """Replacing a row by zero moves the sum by that row: its exact norm, in Python's whole numbers."""
    values = np.random.default_rng(1).normal(size=(20, width)) * np.geomspace(0.01, 100, 20)[:, None]
    # Rounding adds most to a row whose values are all half way between two grid points.
    step = grid_step(clip_norm, width)
    values[0] = step / 2 + np.rint(clip_norm / width**0.5 / step) * step
    whole = on_grid(clip_rows(values, clip_norm), step)
    longest = max(sum(int(x) ** 2 for x in row) for row in whole)
    allowed = (clip_norm / step) ** 2
    assert 0.99 * allowed < longest < allowed


@pytest.mark.parametrize("sigma", [1, 3, 20])
def test_discrete_gaussian_has_exactly_its_distribution(sigma):
    """Chi-square over the values within 4 sigma, two tails pooled: false alarm with probability 1e-4."""
    random = Random(sigma)
    drawn = np.array([discrete_gaussian(sigma, random) for _ in range(20_000)])
    support = np.arange(-60 * sigma, 60 * sigma + 1)
    weights = np.exp(-(support**2) / (2 * sigma**2))
    weights /= weights.sum()
    edges = np.r_[-60 * sigma, np.arange(-3 * sigma, 3 * sigma + 1), 60 * sigma + 1] - 0.5
    expected = np.histogram(support, edges, weights=weights)[0] * len(drawn)
    assert stats.chisquare(np.histogram(drawn, edges)[0], expected).pvalue > 1e-4


def test_discrete_gaussian_of_a_fine_grid_has_the_moments_of_a_normal():
    """Mean and variance of 5,000 draws, Kolmogorov-Smirnov: false alarm with probability 1e-4 each."""
    sigma, random = 10**8, Random(2)
    drawn = np.array([discrete_gaussian(sigma, random) for _ in range(5000)]) / sigma
    assert abs(drawn.mean()) < 3.9 / np.sqrt(5000)
    assert abs(drawn.var() - 1) < 3.9 * np.sqrt(2 / 5000)
    assert stats.kstest(drawn, "norm").pvalue > 1e-4


@pytest.mark.parametrize("noise", [SECRET, REPRODUCIBLE])
def test_the_noise_on_the_sum_is_multiplier_times_clip_norm(noise):
    """Variance over 5,000 coordinates, normality, independence: false alarm with probability 1e-6 each."""
    noised = release(np.zeros((14, 5000)), query(multiplier=2.0, clip_norm=1.5), noise) / 3.0
    assert abs(noised.var() - 1) < 4.9 * np.sqrt(2 / 5000)
    assert stats.kstest(noised, "norm").pvalue > 1e-6
    assert abs(np.corrcoef(noised[1:], noised[:-1])[0, 1]) < 4.9 / np.sqrt(5000)


@pytest.mark.parametrize("noise", [SECRET, REPRODUCIBLE])
def test_the_rest_of_a_release_is_the_clipped_sum(noise):
    values = np.random.default_rng(3).normal(size=(14, 6))
    found = release(values, query(multiplier=1e-4), noise)
    assert found == pytest.approx(clip_rows(values, 1.5).sum(axis=0), abs=1e-3)
    assert (found != clip_rows(values, 1.5).sum(axis=0)).all()


def test_secret_releases_differ_and_reproducible_ones_repeat():
    values = np.ones((14, 4))
    assert (release(values, query(), SECRET) != release(values, query(), SECRET)).all()
    repeated = release(values, query(), REPRODUCIBLE)
    np.testing.assert_array_equal(repeated, release(values, query(), REPRODUCIBLE))
    assert (repeated != release(values, query(name="other"), REPRODUCIBLE)).all()


def test_a_release_lies_on_its_grid():
    found = release(np.random.default_rng(4).normal(size=(14, 9)), query(), SECRET)
    steps = found / grid_step(1.5, 9)
    np.testing.assert_array_equal(steps, np.rint(steps))


def test_nobody_and_broken_people_are_noise_alone():
    for values in (np.zeros((0, 3)), np.full((2, 3), np.nan)):
        assert np.isfinite(release(values, query(), SECRET)).all()


@pytest.mark.parametrize(
    "changes", [{"steps": 2}, {"q": 0.5, "steps": 3}, {"n": 13, "capacity": 13, "steps": 3}]
)
def test_steps_beyond_the_mechanism_draws_and_too_many_records_are_refused(changes):
    with pytest.raises(ValueError, match="steps over all of at most"):
        release(np.zeros((14, 3)), query(**changes), SECRET, step=2)


def test_each_step_has_noise_of_its_own():
    values, mechanism = np.zeros((14, 50)), query(steps=2)
    for noise in (SECRET, REPRODUCIBLE):
        first, second = (release(values, mechanism, noise, step) for step in (0, 1))
        # Fifty independent normals: the correlation errs once in a hundred thousand.
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.57


def test_five_thousand_secret_values_take_less_than_two_seconds():
    started = time.process_time()
    release(np.zeros((14, 5000)), query(), SECRET)
    assert time.process_time() - started < 2
