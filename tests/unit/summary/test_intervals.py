import numpy as np
import pytest
from scipy import stats

from pulseveil.core.randomness import child, root_stream
from pulseveil.summary.intervals import mean_intervals, sign_flip_p

STREAM = root_stream(3)


def accuracies(rows, subjects, seed=0):
    """Skewed like accuracies of people: most near 1, a few much lower. Mean 8 / 9.2."""
    return np.random.default_rng(seed).beta(8, 1.2, (rows, subjects))


def covered(low, high, mean=8 / 9.2):
    return np.mean((low <= mean) & (mean <= high))


def test_bootstrap_t_covers_95_percent_of_15_skewed_subjects_and_percentile_does_not():
    # The share of 2,000 intervals has a standard error of .005: .03 is six of them.
    values = accuracies(2000, 15)
    found = mean_intervals(values, STREAM)
    percentile = stats.bootstrap(
        (values,), np.mean, axis=1, n_resamples=499, method="percentile", random_state=1, batch=50
    ).confidence_interval
    assert abs(covered(found.low, found.high) - 0.95) < 0.03
    assert covered(percentile.low, percentile.high) < 0.925


def test_limits_equal_a_plain_loop_over_resamples():
    values = accuracies(1, 15)[0]
    rng = np.random.default_rng(5)
    t = []
    for _ in range(20_000):
        drawn = values[rng.integers(0, 15, 15)]
        t.append((drawn.mean() - values.mean()) / (drawn.std(ddof=1) / np.sqrt(15)))
    low, high = values.mean() - np.quantile(t, [0.975, 0.025]) * stats.sem(values)
    found = mean_intervals(values[None], STREAM)
    assert (found.low[0], found.high[0]) == pytest.approx((low, high), abs=0.004)
    assert found.method[0] == "bootstrap-t"


def test_three_folds_get_students_t():
    values = np.array([[0.7, 0.8, 0.75]])
    found = mean_intervals(values, STREAM)
    truth = stats.t.interval(0.95, 2, loc=0.75, scale=stats.sem(values[0]))
    assert (found.low[0], found.high[0]) == pytest.approx(truth)
    assert found.method[0] == "t"


def test_equal_values_give_a_point_one_value_none_and_no_value_nan():
    values = np.array([[0.9] * 6, [0.9] + [np.nan] * 5, [np.nan] * 6])
    found = mean_intervals(values, STREAM)
    assert (found.low[0], found.high[0]) == (0.9, 0.9)
    assert found.method.tolist() == ["constant", "none", "none"]
    assert np.isnan(found.low[1:]).all()
    assert found.mean[:2].tolist() == [0.9, 0.9]
    assert np.isnan(found.mean[2])


def test_undefined_values_are_left_out():
    values = accuracies(1, 12)
    with_gaps = np.insert(values, [0, 4, 12], np.nan, axis=1)
    assert mean_intervals(with_gaps, STREAM).low == pytest.approx(mean_intervals(values, STREAM).low)


def test_the_open_end_of_nearly_equal_values_is_closed_by_hoeffding():
    values = np.array([[1.0] * 14 + [0.6]])
    found = mean_intervals(values, STREAM)
    widest = np.sqrt(np.log(2 / 0.05) / (2 * 15))
    assert found.low[0] == pytest.approx(values.mean() - widest)
    assert values.mean() <= found.high[0] <= 1


def test_a_row_does_not_depend_on_the_others():
    values = accuracies(6, 15)
    together, alone = mean_intervals(values, STREAM), mean_intervals(values[3:4], STREAM)
    assert together.low[3] == pytest.approx(alone.low[0], abs=1e-12)
    assert mean_intervals(values, child(STREAM, "other")).low[3] != together.low[3]


def test_sign_flip_equals_scipy():
    differences = np.random.default_rng(2).normal(0.3, 1, (4, 9))
    truth = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", vectorized=True, n_resamples=np.inf, axis=1
    )
    assert sign_flip_p(differences, STREAM) == pytest.approx(truth.pvalue)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        (np.full(15, 0.1), 2 / 2**15),
        (np.arange(1, 4), 2 / 2**3),
        (np.zeros(15), 1),
        ([1, -1], 1),
        ([3, 0, np.nan, 0], 1),
        ([np.nan, np.nan], np.nan),
    ],
)
def test_sign_flip_by_hand(differences, p):
    assert sign_flip_p(np.array([differences], dtype=float), STREAM) == pytest.approx(p, nan_ok=True)


def test_above_20_subjects_signs_are_drawn():
    # 24 differences of one size: the sum is a shifted binomial. Standard error of the drawn p: .0007.
    differences = np.repeat([0.2, -0.2], [17, 7])[None]
    truth = 2 * stats.binom.sf(16, 24, 0.5)
    assert sign_flip_p(differences, STREAM) == pytest.approx(truth, abs=0.003)


def test_sign_flip_rejects_5_percent_of_true_nulls():
    # 2,000 tests have a standard error of .005.
    differences = np.random.default_rng(4).laplace(size=(2000, 15))
    assert abs(np.mean(sign_flip_p(differences, STREAM) <= 0.05) - 0.05) < 0.02
