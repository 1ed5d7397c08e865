import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pulseveil.audit.bounds import (
    AttackCounts,
    area_under_curve,
    auc_interval,
    corrected_level,
    counts_without_false_alarm,
    rate_interval,
)
from pulseveil.audit.trade_off import GaussianTradeOff, ProfileTradeOff, epsilon_of_mu

DELTA = 1e-5


@st.composite
def attack_counts(draw):
    members, non_members = draw(st.integers(1, 200)), draw(st.integers(1, 200))
    return AttackCounts(
        members, draw(st.integers(0, members)), non_members, draw(st.integers(0, non_members))
    )


@pytest.mark.parametrize(
    ("trainings_in", "trainings_out", "ceiling"), [(15, 15, 1.28), (140, 10, 1.15), (70, 5, 0.60)]
)
def test_ceilings_of_a_perfect_attack_are_the_published_ones(trainings_in, trainings_out, ceiling):
    """Two-sided 95 % limits of both rates, and the calls of "in" only."""
    counts = AttackCounts(trainings_in, trainings_in, trainings_out, 0)
    assert counts.epsilon_lower_bound(DELTA) == pytest.approx(ceiling, abs=0.005)
    assert AttackCounts(trainings_in, 3, trainings_out, 2).flawless == counts


def test_the_ceiling_is_that_of_the_closed_formula():
    # No error in n trainings leaves rates up to 1 - .025^(1/n).
    missed, alarmed = 1 - 0.025 ** (1 / 40), 1 - 0.025 ** (1 / 25)
    expected = math.log((1 - missed - DELTA) / alarmed)
    assert AttackCounts(40, 40, 25, 0).epsilon_lower_bound(DELTA) == pytest.approx(expected)


def test_no_bound_is_below_zero():
    assert AttackCounts(50, 40, 50, 20).epsilon_lower_bound(delta=0.3) == 0
    assert AttackCounts(50, 20, 50, 40).epsilon_lower_bound(delta=0.0) == 0


def test_calls_of_out_have_a_bound_of_their_own():
    assert AttackCounts(140, 140, 10, 0).mirrored == AttackCounts(10, 10, 140, 0)
    assert AttackCounts(140, 140, 10, 0).mirrored.epsilon_lower_bound(DELTA) == pytest.approx(3.28, abs=0.005)
    assert AttackCounts(9, 7, 8, 3).mirrored.mirrored == AttackCounts(9, 7, 8, 3)


@pytest.mark.parametrize("count", [0, 1, 7, 15])
def test_exact_intervals_are_those_of_the_binomial_test(count):
    expected = stats.binomtest(count, 15).proportion_ci(0.9, method="exact")
    assert rate_interval(count, 15, 0.9) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_exact_intervals_cover_at_every_rate():
    for rate in (0.01, 0.1, 0.5, 0.93):
        counts = np.arange(16)
        covers = [low <= rate <= high for low, high in (rate_interval(int(c), 15) for c in counts)]
        assert stats.binom.pmf(counts, 15, rate)[covers].sum() >= 0.95


@pytest.mark.parametrize("mu", [0.0, 0.5, 1.5])
def test_bounds_stay_below_the_truth_as_often_as_they_say(mu):
    """Exact error rates: summed over all counts of 12 + 12 trainings of a Gaussian mechanism."""
    n, threshold = 12, mu / 2
    hits = stats.binom.pmf(np.arange(n + 1), n, stats.norm.sf(threshold - mu))
    alarms = stats.binom.pmf(np.arange(n + 1), n, stats.norm.sf(threshold))
    epsilon = epsilon_of_mu(mu, DELTA)
    too_high = {"epsilon": 0.0, "mu": 0.0, "curve": 0.0}
    for h in range(n + 1):
        for a in range(n + 1):
            counts = AttackCounts(n, h, n, a)
            weight = hits[h] * alarms[a]
            too_high["epsilon"] += weight * (counts.epsilon_lower_bound(DELTA) > epsilon)
            too_high["mu"] += weight * (counts.mu_lower_bound() > mu + 1e-9)
            too_high["curve"] += weight * counts.refutes(GaussianTradeOff(mu + 1e-9))
    assert max(too_high.values()) <= 0.05


def test_many_trainings_find_the_mu_of_a_gaussian_mechanism():
    hits, alarms = 100_000 * stats.norm.sf([-1.0, 1.0])
    counts = AttackCounts(100_000, int(hits), 100_000, int(alarms))
    assert counts.mu_lower_bound() == pytest.approx(2.0, abs=0.03)
    assert counts.refutes(GaussianTradeOff(1.9))
    assert not counts.refutes(GaussianTradeOff(2.0))
    assert counts.refutes(ProfileTradeOff((1.5,), (DELTA,)))
    assert not counts.refutes(ProfileTradeOff((10.0,), (DELTA,)))


@given(attack_counts())
def test_a_better_attack_never_has_a_lower_bound(counts):
    bound = counts.epsilon_lower_bound(DELTA)
    if counts.hits < counts.members:
        better = AttackCounts(counts.members, counts.hits + 1, counts.non_members, counts.false_alarms)
        assert better.epsilon_lower_bound(DELTA) >= bound
    assert counts.flawless.epsilon_lower_bound(DELTA) >= bound
    assert counts.epsilon_lower_bound(DELTA, 0.99) <= bound
    assert counts.epsilon_lower_bound(0.1) <= bound


@given(attack_counts(), st.floats(0.01, 8))
def test_a_single_pair_is_refuted_where_its_epsilon_lies_below_a_bound(counts, epsilon):
    bound = max(counts.epsilon_lower_bound(DELTA), counts.mirrored.epsilon_lower_bound(DELTA))
    if abs(epsilon - bound) > 1e-6:
        assert counts.refutes(ProfileTradeOff((epsilon,), (DELTA,))) == (epsilon < bound)


def test_the_level_is_shared_by_all_audits():
    assert corrected_level(1) == pytest.approx(0.95)
    assert corrected_level(20) == pytest.approx(0.9975)


def test_auc_is_the_share_of_pairs_in_order():
    members, others = np.array([3.0, 1.0, 2.0, 2.0]), np.array([0.0, 2.0, 1.0])
    pairs = [(m > o) + 0.5 * (m == o) for m in members for o in others]
    assert area_under_curve(members, others) == pytest.approx(np.mean(pairs))
    assert area_under_curve(np.ones(4), np.ones(3)) == 0.5


@pytest.mark.parametrize(("members", "others"), [(15, 15), (70, 5)])
@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_auc_intervals_cover_the_truth(members, others, shift):
    """About 95 %: 400 intervals fall below 90 % with probability under 1e-4 if they cover with 95 %."""
    random = np.random.default_rng(3)
    truth = stats.norm.cdf(shift / math.sqrt(2))
    covered = 0
    for _ in range(400):
        auc = area_under_curve(random.normal(shift, size=members), random.normal(size=others))
        low, high = auc_interval(auc, members, others)
        covered += low <= truth <= high
    assert covered / 400 > 0.9


def test_auc_intervals_have_a_length_at_the_ends():
    assert auc_interval(1.0, 15, 15)[1] == 1
    assert 0.8 < auc_interval(1.0, 15, 15)[0] < 0.95
    assert auc_interval(0.0, 15, 15) == pytest.approx((0.0, 1 - auc_interval(1.0, 15, 15)[0]))


def test_the_smallest_false_positive_rate_leaves_out_ties():
    counts = counts_without_false_alarm(np.array([5.0, 4.0, 4.0, 1.0]), np.array([4.0, 0.0]))
    assert counts == AttackCounts(4, 1, 2, 0)


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="impossible"):
        AttackCounts(3, 4, 2, 0)
    with pytest.raises(ValueError, match="with and without"):
        AttackCounts(3, 2, 0, 0)
