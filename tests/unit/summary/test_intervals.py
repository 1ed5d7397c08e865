import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from pulseveil.core.randomness import child, root_stream
from pulseveil.summary.intervals import mean_intervals, paired_claims

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


def people(least, most):
    """Differences of a few people in steps of a window of 36, with ties and gaps."""
    values = st.one_of(st.integers(-36, 36).map(lambda windows: windows / 36), st.just(np.nan))
    return arrays.arrays(np.float64, st.tuples(st.just(3), st.integers(least, most)), elements=values)


@settings(max_examples=40, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(people(1, 16))
def test_p_is_at_most_a_twentieth_exactly_where_the_interval_leaves_out_0(differences):
    found = paired_claims(differences, STREAM)
    tested = found.method != "none"
    beyond = (found.low > 0) | (found.high < 0)
    assert np.array_equal(found.p[tested] <= 0.05, beyond[tested])
    assert np.isnan(found.p[~tested]).all()


def test_p_equals_a_plain_loop_over_resamples():
    # 20,000 resamples: the standard error of p is below .002.
    values = accuracies(1, 15)[0] - 0.8
    centred, t = values - values.mean(), values.mean() / stats.sem(values)
    rng = np.random.default_rng(6)
    drawn = centred[rng.integers(0, 15, (20_000, 15))]
    more = np.mean([sample.mean() / stats.sem(sample) >= t for sample in drawn])
    assert 0.02 < 2 * more < 0.5
    assert paired_claims(values[None], STREAM).p[0] == pytest.approx(2 * more, abs=0.01)


def test_p_of_four_people_is_that_of_a_t_test():
    values = np.array([[0.1, 0.25, 0.05, -0.02]])
    assert paired_claims(values, STREAM).p == pytest.approx(stats.ttest_1samp(values[0], 0).pvalue)


@pytest.mark.parametrize(("value", "n", "shown"), [(0.3, 15, True), (0.3, 5, False), (0.0, 15, False)])
def test_equal_differences_leave_room_for_people_who_differ(value, n, shown):
    found = paired_claims(np.full((1, n), value), STREAM)
    # The largest share of others that hides from n people with a chance of 2.5 %.
    others = 1 - stats.binomtest(n, n).proportion_ci(0.95).low
    assert found.low[0] == pytest.approx((1 - others) * value - others)
    assert found.high[0] == pytest.approx((1 - others) * value + others)
    assert (found.p[0] <= 0.05) == shown == (found.low[0] > 0)


def test_two_people_decide_a_claim_that_fails_without_them():
    of_all = [0.1, 0.12, 0.15, 0.2, 0.11, 0.18, 0.14, 0.13, 0.16, 0.12]
    of_two = [0.01, 0.0, 0.01, -0.01, 0.01, 0.01, -0.01, 0.0, 0.4, 0.4]
    hidden_by_two = [*of_all[:8], -0.5, -0.3]
    found = paired_claims(np.array([of_all, of_two, hidden_by_two]), STREAM)
    assert found.two_people.tolist() == [False, False, True]
    with_one_more = paired_claims(np.array([[*of_all[:3], -0.02, -0.02]]), STREAM)
    assert with_one_more.two_people.tolist() == [True]


def test_false_claims_are_rarer_than_those_of_t_under_skew_to_the_left():
    # Differences of accuracies to their mean. 800 draws have a standard error below .012.
    rng = np.random.default_rng(8)
    values = rng.binomial(36, rng.beta(4, 0.4, (800, 15))) / 36 - 4 / 4.4
    better = np.mean(paired_claims(values, STREAM).low > 0)
    of_t = np.mean(stats.ttest_1samp(values, 0, axis=1, alternative="greater").pvalue <= 0.025)
    assert better < 0.06
    assert of_t > 0.08


def test_two_people_decide_where_an_interval_without_them_lies_on_another_side():
    rng = np.random.default_rng(8)
    skewed = rng.normal(0.03, 0.06, (150, 9))
    tied = rng.integers(-1, 3, (150, 9)) * 0.05
    equal = np.repeat(rng.uniform(-0.2, 0.9, (20, 1)), 9, axis=1)
    differences = np.concatenate([skewed, tied, equal, np.where(rng.random((80, 9)) < 0.8, 0.1, tied[:80])])

    def sides(values):
        found = paired_claims(values, STREAM)
        return np.where(found.low > 0, 1, 0) - np.where(found.high < 0, 1, 0)

    ordered = np.sort(differences, axis=1)
    expected = (sides(ordered[:, 2:]) != sides(ordered)) | (sides(ordered[:, :-2]) != sides(ordered))
    assert 0.1 < expected.mean() < 0.9
    assert np.array_equal(paired_claims(ordered, STREAM).two_people, expected)
