import math

import numpy as np
import pytest

from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.generators import Training
from pulseveil.generators.moments import Moments, MomentsSettings
from pulseveil.privacy.budget import Budget
from tests.trainings import plain

STREAM = root_stream(0)


def windows_of_two_conditions(n=400):
    """Correlated windows (n, 5, 2) whose mean and covariance differ between the codes 0 and 1."""
    rng = np.random.default_rng(3)
    code = np.arange(n) % 2
    mixing = rng.normal(size=(2, 10, 10))
    flat = np.einsum("ni,nij->nj", rng.normal(size=(n, 10)), mixing[code]) + 3.0 * code[:, np.newaxis]
    return flat.reshape(n, 5, 2).astype(np.float32), code.astype(np.int8)


def fitted(rank=30, residual="white", classes=2):
    windows, code = windows_of_two_conditions()
    settings = MomentsSettings(rank=rank, residual=residual)
    return Moments.fit(settings, plain(windows, code, STREAM, classes=classes))


def drawn(model, code, n=20000):
    noise = np.random.default_rng(1).standard_normal((n, model.noise_size), dtype=np.float32)
    return model.sample(np.full(n, code, np.int8), noise).reshape(n, -1)


@pytest.mark.parametrize("code", [0, 1])
def test_full_rank_has_mean_and_covariance_of_its_condition(code):
    windows, codes = windows_of_two_conditions()
    rows = windows[codes == code].reshape(200, -1)
    samples = drawn(fitted(), code)
    # Five standard errors of a mean and of a covariance estimated from 20,000 draws.
    deviation = rows.std(axis=0)
    assert np.all(np.abs(samples.mean(axis=0) - rows.mean(axis=0)) < 5 * deviation / math.sqrt(20000))
    error = np.abs(np.cov(samples.T) - np.cov(rows.T))
    assert np.all(error < 5 * np.sqrt(2 / 20000) * np.outer(deviation, deviation))


def test_low_rank_keeps_each_values_variance_and_the_largest_direction():
    windows, codes = windows_of_two_conditions()
    rows = windows[codes == 1].reshape(200, -1)
    samples = drawn(fitted(rank=2), 1)
    np.testing.assert_allclose(samples.var(axis=0), rows.var(axis=0, ddof=1), rtol=0.06)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    assert np.var(samples @ vectors[:, -1]) > 0.9 * values[-1]


def test_without_a_residual_windows_lie_in_the_kept_directions():
    windows, codes = windows_of_two_conditions()
    rows = windows[codes == 1].reshape(200, -1)
    samples = drawn(fitted(rank=2, residual="none"), 1)
    found = np.linalg.eigvalsh(np.cov(samples.T))[::-1]
    known = np.linalg.eigvalsh(np.cov(rows.T))[::-1]
    np.testing.assert_allclose(found[:2], known[:2], rtol=0.06)
    assert np.all(np.abs(found[2:]) < 1e-6 * known[0])


def test_a_window_depends_on_its_own_noise_only():
    model = fitted()
    noise = np.random.default_rng(0).standard_normal((6, model.noise_size), dtype=np.float32)
    codes = np.array([0, 1, 0, 1, 1, 0], np.int8)
    changed = noise.copy()
    changed[3:] = 0
    np.testing.assert_array_equal(model.sample(codes, noise)[:3], model.sample(codes, changed)[:3])


def test_zero_noise_gives_the_mean_window():
    windows, codes = windows_of_two_conditions()
    model = fitted()
    made = model.sample(np.array([1], np.int8), np.zeros((1, model.noise_size), np.float32))
    np.testing.assert_allclose(made[0], windows[codes == 1].mean(axis=0), atol=1e-5)


def test_rank_above_the_number_of_windows_is_no_error():
    windows, codes = windows_of_two_conditions(12)
    model = Moments.fit(MomentsSettings(), plain(windows, codes, STREAM))
    assert drawn(model, 0, 10).shape == (10, 10)


def test_arrays_round_trip():
    model = fitted()
    again = Moments.from_arrays(MomentsSettings(), model.arrays())
    np.testing.assert_array_equal(drawn(again, 1, 5), drawn(model, 1, 5))


def test_absent_conditions_are_refused():
    with pytest.raises(InputError, match="condition 2 has 0 windows"):
        fitted(classes=3)


def test_a_training_needs_to_know_whose_windows_these_are():
    windows, code = windows_of_two_conditions()
    with pytest.raises(TypeError, match="'subject'"):
        Training(windows, code, classes=2, budget=Budget(1.0, 1e-5, "subject"), stream=STREAM)
