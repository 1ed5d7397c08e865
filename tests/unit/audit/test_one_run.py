import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pulseveil.audit.bounds import CanaryGuesses, canaries_needed
from pulseveil.audit.trade_off import GaussianTradeOff, ProfileTradeOff, claimed_curve, epsilon_of_mu
from pulseveil.privacy.budget import Mechanism


@st.composite
def outcomes(draw):
    canaries = draw(st.integers(1, 300))
    guesses = draw(st.integers(1, canaries))
    return CanaryGuesses(canaries, guesses, draw(st.integers(0, guesses)))


@pytest.mark.parametrize(("canaries", "ceiling"), [(100, 3.49), (1000, 5.81)])
def test_ceilings_are_the_published_ones(canaries, ceiling):
    bound = CanaryGuesses(canaries, canaries, 40).flawless.epsilon_lower_bound(delta=0)
    assert bound == pytest.approx(ceiling, abs=0.005)
    assert bound == pytest.approx(math.log(1 / (0.05 ** (-1 / canaries) - 1)))


def test_epsilon_ten_needs_the_published_number_of_canaries():
    assert canaries_needed(10.0) == 65_987
    assert CanaryGuesses(65_987, 65_987, 65_987).epsilon_lower_bound(0) >= 10
    assert CanaryGuesses(65_986, 65_986, 65_986).epsilon_lower_bound(0) < 10


def plain_p_value(m, r, v, epsilon, delta):
    """The bound of Steinke et al., section 5, one term after another."""
    right = math.exp(epsilon) / (1 + math.exp(epsilon))
    pmf = [math.comb(r, k) * right**k * (1 - right) ** (r - k) for k in range(r + 1)]
    slack = max((sum(pmf[max(v - i, 0) : v]) / i for i in range(1, m + 1)), default=0.0)
    return min(1.0, sum(pmf[v:]) + 2 * m * delta * slack)


@pytest.mark.parametrize("delta", [0.0, 1e-5, 1e-3])
@pytest.mark.parametrize(("m", "r", "v"), [(20, 20, 15), (50, 30, 27), (40, 10, 10), (7, 5, 0)])
def test_p_values_are_those_of_a_plain_sum(m, r, v, delta):
    for epsilon in (0.0, 0.7, 2.0):
        expected = plain_p_value(m, r, v, epsilon, delta)
        assert CanaryGuesses(m, r, v).p_value(epsilon, delta) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_randomised_response_is_bounded_from_below_in_95_percent(epsilon):
    """Randomised response is the tight case: the exact error rate must lie under 5 %, and near it."""
    m = 200
    counts = stats.binom.pmf(np.arange(m + 1), m, 1 / (1 + math.exp(-epsilon)))
    wrong = [CanaryGuesses(m, m, v).epsilon_lower_bound(0) > epsilon for v in range(m + 1)]
    curve = ProfileTradeOff((epsilon,), (0.0,))
    refuted = [CanaryGuesses(m, m, v).refutes(curve) for v in range(m + 1)]
    assert 0.02 < counts[wrong].sum() <= 0.05
    assert 0.02 < counts[refuted].sum() <= 0.05


def test_many_canaries_find_the_epsilon_of_randomised_response():
    m = 20_000
    correct = int(m / (1 + math.exp(-2.0)))
    assert CanaryGuesses(m, m, correct).epsilon_lower_bound(0) == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(("mu", "guesses"), [(0.5, 100), (1.0, 30), (2.0, 30)])
def test_a_gaussian_mechanism_is_bounded_from_below(mu, guesses):
    """Real noise on 100 coordinates, one canary each; at level 50 % an unsound bound would show.

    A bound that erred with 50 % would be too high 100 times in 200; more than 130 of them has p < 1e-5.
    """
    random = np.random.default_rng(8)
    epsilon = epsilon_of_mu(mu, 1e-5)
    too_high = np.zeros(3, int)
    for _ in range(200):
        included = random.random(100) < 0.5
        seen = (included - 0.5) * mu + random.normal(size=100)
        surest = np.argsort(-np.abs(seen))[:guesses]
        correct = int(((seen > 0) == included)[surest].sum())
        found = CanaryGuesses(100, guesses, correct)
        too_high += [
            found.mu_lower_bound(0.5) > mu,
            found.refutes(GaussianTradeOff(mu), 0.5),
            found.epsilon_lower_bound(1e-5, 0.5) > epsilon,
        ]
    assert too_high.max() <= 130


def test_a_shared_leak_does_not_break_the_bounds():
    """Canaries that stand or fall together: a mechanism that shows all coins with probability delta."""
    random = np.random.default_rng(4)
    delta, m, wrong = 0.1, 50, 0
    curve = ProfileTradeOff((0.0,), (delta,))
    for _ in range(2000):
        correct = m if random.random() < delta else int(random.binomial(m, 0.5))
        found = CanaryGuesses(m, m, correct)
        wrong += found.epsilon_lower_bound(delta) > 0 or found.refutes(curve)
    # A bound that is blind to delta is wrong in every leak, 10 %; five standard errors above 5 % are 7.4 %.
    assert wrong / 2000 < 0.05 + 5 * math.sqrt(0.05 * 0.95 / 2000)


def test_curves_reach_epsilons_beyond_the_ceiling():
    found = CanaryGuesses(1000, 1000, 1000)
    assert found.epsilon_lower_bound(1e-5) < 6 < 10 < epsilon_of_mu(found.mu_lower_bound(), 1e-5)
    assert found.refutes(GaussianTradeOff(2.0))  # epsilon 10 at delta 1e-5
    assert not found.refutes(GaussianTradeOff(4.0))


def linear_program(found, curve_of_pair, tail):
    """Whether any distribution of the number of correct guesses allows `tail`, by a solver."""
    from scipy.optimize import linprog

    epsilon, delta = curve_of_pair
    m, r, v = found.canaries, found.guesses, found.correct
    counts = np.arange(r + 1)
    rows, limits = [], []
    for c in range(1, r + 1):
        right = np.where(counts >= c, counts, 0) / m
        wrong = np.where(counts >= c - 1, r - counts, 0) / m
        # F(x) = min(delta + e^epsilon x, 1 - e^-epsilon (1 - delta - x))
        rows += [right - math.exp(epsilon) * wrong, right - math.exp(-epsilon) * wrong]
        limits += [delta, 1 - math.exp(-epsilon) * (1 - delta)]
    best = linprog(-(counts >= v).astype(float), rows, limits, np.ones((1, r + 1)), [1.0], method="highs")
    return -best.fun > tail


@pytest.mark.parametrize(("m", "r", "v"), [(10, 10, 9), (10, 6, 6), (20, 12, 10), (15, 15, 12)])
@pytest.mark.parametrize("pair", [(0.3, 0.0), (1.0, 0.01), (2.0, 1e-3)])
def test_curves_are_refuted_where_no_distribution_fits(m, r, v, pair):
    """The step-by-step minimum against a linear program over all distributions."""
    found = CanaryGuesses(m, r, v)
    curve = ProfileTradeOff((pair[0],), (pair[1],))
    for level in (0.5, 0.8, 0.95):
        assert found.refutes(curve, level) != linear_program(found, pair, 1 - level)


@settings(max_examples=60, deadline=None)
@given(outcomes(), st.sampled_from([0.0, 1e-5]))
def test_better_guesses_never_prove_less(found, delta):
    bound = found.epsilon_lower_bound(delta)
    if found.correct < found.guesses:
        better = CanaryGuesses(found.canaries, found.guesses, found.correct + 1)
        assert better.epsilon_lower_bound(delta) >= bound
        assert better.mu_lower_bound() >= found.mu_lower_bound() - 1e-5
    assert found.flawless.epsilon_lower_bound(delta) >= bound
    assert found.epsilon_lower_bound(delta, 0.99) <= bound
    assert found.epsilon_lower_bound(delta) <= found.epsilon_lower_bound(0) + 1e-9


def test_impossible_guesses_are_refused():
    for canaries, guesses, correct in ((5, 6, 1), (5, 3, 4), (5, 0, 0)):
        with pytest.raises(ValueError, match="impossible"):
            CanaryGuesses(canaries, guesses, correct)


def test_gaussian_curve_is_the_envelope_of_its_own_pairs():
    epsilons = np.linspace(0, 14, 200)
    deltas = tuple(
        float(stats.norm.cdf(-e / 1.3 + 0.65) - math.exp(e) * stats.norm.cdf(-e / 1.3 - 0.65))
        for e in epsilons
    )
    envelope = ProfileTradeOff(tuple(epsilons), deltas)
    for true in (0.02, 0.3, 0.8, 0.99):
        assert envelope.least_false(true) == pytest.approx(GaussianTradeOff(1.3).least_false(true), rel=0.01)


def test_the_curve_of_mechanisms_is_gaussian_or_that_of_the_accountant():
    full = Mechanism("full", "subject", 14, 1.0, 14, 20, 1.0, 2.24)
    assert claimed_curve([full]) == GaussianTradeOff(pytest.approx(math.sqrt(20) / 2.24))
    drawn = Mechanism("drawn", "window", 500, 0.1, 500, 1, 1.0, 1.0)
    curve = claimed_curve([drawn])
    # One Poisson step is a mixture: with a chance of .1 the record moves the sum by one deviation. Its power
    # at a threshold t is .9 sf(t) + .1 sf(t - 1) for a false positive rate of sf(t).
    for t in (-1.0, 0.5, 2.0):
        power = 0.9 * stats.norm.sf(t) + 0.1 * stats.norm.sf(t - 1)
        assert curve.least_false(power) == pytest.approx(stats.norm.sf(t), rel=0.03)
        assert curve.least_false(power) <= stats.norm.sf(t) + 1e-9
