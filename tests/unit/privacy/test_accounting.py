import itertools
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

from pulseveil.core.errors import InputError
from pulseveil.privacy import accounting
from pulseveil.privacy.accounting import (
    calibrate,
    epsilon_of_groups,
    epsilon_pld,
    epsilon_rdp,
    epsilon_replace_one,
    epsilon_unamplified,
    gaussian_mu,
)
from pulseveil.privacy.budget import NOT_PRIVATE, Budget, Mechanism

Q = 64 / 495


def full_batch(multiplier, steps=1, unit="window", n=495):
    return Mechanism("full", unit, n, 1, n, steps, 1.0, multiplier)


def sampled(multiplier, steps=160, q=Q, n=495, capacity=None):
    return Mechanism("sampled", "window", n, q, capacity or n, steps, 1.0, multiplier)


def epsilon_of_windows(mechanisms, k, delta):
    """Of k windows of one person that change together."""
    return epsilon_of_groups([(mechanism, k) for mechanism in mechanisms], delta)


def calibrated(epsilon, delta, steps, q=1.0, n=14, capacity=None):
    budget = Budget(epsilon, delta, "subject")
    return calibrate(budget, name="x", n=n, q=q, capacity=capacity or n, steps=steps, clip_norm=0.5)


def hockey_stick(epsilon, first, second):
    """max P(A) - exp(epsilon) Q(A) of two mixtures of normals {(shift, deviation): weight}, by quadrature."""

    def density(x, mixture):
        return sum(w * stats.norm.pdf(x, m, s) for (m, s), w in mixture.items())

    x = np.linspace(-40, 40, 80_001)
    excess = np.maximum(density(x, first) - np.exp(epsilon) * density(x, second), 0)
    return integrate.simpson(excess, x=x)


def delta_of(epsilon, first, second):
    return max(hockey_stick(epsilon, first, second), hockey_stick(epsilon, second, first))


@pytest.mark.parametrize(
    ("epsilon", "delta", "multiplier", "mu"),
    [
        (10, 1e-3, 0.406, 2.463),
        (1, 1e-3, 2.575, 0.388),
        (0.1, 1e-3, 17.40, 0.0575),
        (10, 1e-5, 0.500, 2.000),
        (8, 1e-5, 0.600, 1.666),
        (1, 1e-5, 3.731, 0.268),
        (0.1, 1e-5, 30.75, 0.0325),
    ],
)
def test_one_query_of_published_noise(epsilon, delta, multiplier, mu):
    found = calibrated(epsilon, delta, steps=1)
    assert found.noise_multiplier == pytest.approx(multiplier, rel=2e-3)
    assert gaussian_mu([found]) == pytest.approx(mu, rel=2e-3)
    assert gaussian_mu([found]) == 1 / found.noise_multiplier


@pytest.mark.parametrize(
    ("epsilon", "steps", "delta", "scale"),
    [
        (1, 20, 1e-5, 16.7),
        (1, 50, 1e-5, 26.4),
        (8, 20, 1e-5, 2.68),
        (8, 50, 1e-5, 4.24),
        (10, 20, 1e-5, 2.24),
        (10, 50, 1e-5, 3.53),
        (1, 20, 1e-3, 11.5),
        (10, 50, 1e-3, 2.87),
    ],
)
def test_full_batch_steps_of_published_sum_scale(epsilon, steps, delta, scale):
    found = calibrated(epsilon, delta, steps)
    assert found.noise_multiplier == pytest.approx(scale, rel=3e-3)
    assert 0.9999 * epsilon < epsilon_pld([found], delta) <= epsilon


@pytest.mark.parametrize("multiplier", [0.3, 1.0, 5.0])
def test_one_query_has_the_delta_of_two_normals(multiplier):
    epsilon = epsilon_pld([full_batch(multiplier)], 1e-3)
    assert delta_of(epsilon, {(0, multiplier): 1}, {(1, multiplier): 1}) == pytest.approx(1e-3, rel=1e-4)


@pytest.mark.parametrize(
    ("epsilon", "at_1e2", "at_1e5", "at_1e6"), [(10, 8.07, 13.0, 14.2), (1, 0.656, 1.51, 1.71)]
)
def test_the_same_run_read_at_other_deltas(epsilon, at_1e2, at_1e5, at_1e6):
    run = [calibrated(epsilon, 1e-3, steps=1)]
    found = [epsilon_pld(run, delta) for delta in (1e-2, 1e-5, 1e-6)]
    assert found == pytest.approx([at_1e2, at_1e5, at_1e6], rel=5e-3)


@pytest.mark.parametrize(
    ("epsilon", "groups"),
    [
        (10, {2: 26.6, 3: 49.3, 4: 78.1, 36: 4203}),
        (1, {2: 2.30, 3: 3.80, 4: 5.46, 36: 140}),
        (0.1, {2: 0.234, 3: 0.38, 4: 0.54, 36: 7.9}),
    ],
)
def test_k_windows_of_one_person_in_one_query(epsilon, groups):
    run = [full_batch(calibrated(epsilon, 1e-3, steps=1).noise_multiplier)]
    for k, published in groups.items():
        assert epsilon_of_windows(run, k, 1e-3) == pytest.approx(published, rel=1e-2)
    assert epsilon_replace_one(run, 1e-3) == pytest.approx(groups[2], rel=1e-2)


@pytest.mark.parametrize(("epsilon", "multiplier"), [(10, 0.915), (1, 4.34), (0.1, 28.6)])
def test_poisson_steps_of_published_noise(epsilon, multiplier):
    found = calibrated(epsilon, 1e-3, steps=160, q=Q, n=495)
    assert found.noise_multiplier == pytest.approx(multiplier, rel=4e-3)


@pytest.mark.parametrize(
    ("capacity", "published"), [(495, 0.999), (112, 0.999), (88, 1.009), (80, 1.16), (72, 1.91), (64, 3.20)]
)
def test_a_small_capacity_costs_privacy(capacity, published):
    assert epsilon_pld([sampled(4.34, capacity=capacity)], 1e-3) == pytest.approx(published, rel=2e-3)


@pytest.mark.parametrize(("epsilon", "capacity"), [(10, 495), (10, 80), (1, 112), (0.1, 495), (0.1, 80)])
def test_calibration_keeps_to_the_budget_and_wastes_little(epsilon, capacity):
    found = calibrated(epsilon, 1e-5, steps=160, q=Q, n=495, capacity=capacity)
    assert 0.995 * epsilon <= epsilon_pld([found], 1e-5) <= epsilon


@pytest.mark.parametrize("steps", [1, 20_000])
def test_calibration_of_few_and_of_many_sampled_steps(steps):
    found = calibrated(10, 1e-3, steps, q=Q, n=495)
    assert 9.95 <= epsilon_pld([found], 1e-3) <= 10
    if steps == 1:
        assert found.noise_multiplier < 0.5


def test_calibration_takes_less_than_two_seconds_once():
    calibrated(2, 1e-5, steps=1)
    started = time.process_time()
    found = calibrated(2, 1e-5, steps=1000, q=Q, n=495, capacity=112)
    first, started = time.process_time() - started, time.process_time()
    again = calibrated(2, 1e-5, steps=1000, q=Q, n=495, capacity=112)
    assert first < 2
    assert time.process_time() - started < 0.01
    assert again == found


def test_calibrated_mechanism_is_the_one_asked_for():
    budget = Budget(3, 1e-5, "window")
    found = calibrate(budget, name="cnn", n=495, q=Q, capacity=112, steps=20, clip_norm=0.25)
    assert replace(found, noise_multiplier=1.0) == Mechanism("cnn", "window", 495, Q, 112, 20, 0.25, 1.0)
    with pytest.raises(ValueError, match="epsilon inf needs no noise"):
        calibrate(NOT_PRIVATE, name="cnn", n=495, q=Q, capacity=112, steps=20, clip_norm=0.25)


@pytest.mark.parametrize(("multiplier", "q"), [(0.5, 0.1), (1.0, Q), (3.0, 0.5)])
def test_one_poisson_step_has_the_delta_of_its_mixture(multiplier, q):
    step = [sampled(multiplier, steps=1, q=q)]
    without = {(0, multiplier): 1.0}
    one = {(0, multiplier): 1 - q, (1, multiplier): q}
    other = {(0, multiplier): 1 - q, (-1, multiplier): q}
    assert delta_of(epsilon_pld(step, 1e-3), one, without) == pytest.approx(1e-3, rel=5e-3)
    assert delta_of(epsilon_replace_one(step, 1e-3), one, other) == pytest.approx(1e-3, rel=5e-3)
    three = {(j, multiplier): stats.binom.pmf(j, 3, q) for j in range(4)}
    assert delta_of(epsilon_of_windows(step, 3, 1e-3), three, without) == pytest.approx(1e-3, rel=5e-3)


def test_160_poisson_steps_have_the_delta_of_simulated_losses():
    """Delta of 200,000 simulated losses: the difference exceeds 4 standard errors with probability 1e-4."""
    rng = np.random.default_rng(1)
    sigma, steps, losses = 4.34, 160, np.zeros(200_000)
    for _ in range(steps):
        x = rng.normal(0, sigma, len(losses)) + (rng.random(len(losses)) < Q)
        losses += np.log1p(Q * np.expm1((x - 0.5) / sigma**2))
    epsilon = epsilon_pld([sampled(sigma, steps)], 1e-2)
    gains = np.maximum(-np.expm1(epsilon - losses), 0)
    assert abs(gains.mean() - 1e-2) < 4 * gains.std() / np.sqrt(len(gains))


def cut_draw(taken, others, capacity, direction):
    """All cut draws of `taken` records at +1 and `others` at `direction`, each drawn with probability 1/2.

    The sum's distribution {value: weight}, where the subset kept is uniformly random.
    """
    sums: dict[float, float] = {}
    records = [1.0] * taken + [direction] * others
    for drawn in itertools.product([False, True], repeat=len(records)):
        members = [record for record, is_in in zip(records, drawn, strict=True) if is_in]
        kept = list(itertools.combinations(members, min(capacity, len(members))))
        for subset in kept:
            value = sum(subset)
            sums[value] = sums.get(value, 0) + 0.5 ** len(records) / len(kept)
    return sums


@pytest.mark.parametrize("direction", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("group", [1, 2])
def test_cut_draws_are_never_accounted_below_all_draws_of_a_small_set(group, direction):
    n, capacity, sigma = 5, 3, 1.0
    step = [sampled(sigma, steps=1, q=0.5, n=n, capacity=capacity)]
    first, second = (
        {(value, sigma): weight for value, weight in cut_draw(k, n - group, capacity, direction).items()}
        for k in (group, 0)
    )
    for delta in (1e-1, 1e-3):
        assert delta_of(epsilon_of_windows(step, group, delta), first, second) <= delta * (1 + 1e-6)


@pytest.mark.parametrize("capacity", [495, 64])
def test_more_windows_of_a_person_never_cost_less(capacity):
    step = [sampled(4.34, capacity=capacity)]
    found = [epsilon_of_windows(step, k, 1e-3) for k in (1, 2, 3, 5)]
    assert found[0] == epsilon_pld(step, 1e-3)
    assert found == sorted(found)


def test_seeing_a_person_in_sampled_windows_is_close_to_a_ten_times_finer_grid():
    from dp_accounting.pld import privacy_loss_distribution as losses

    taken = np.arange(13)
    mixture = losses.from_mixture_gaussian_mechanism(
        4.34, taken, stats.binom.pmf(taken, 12, Q), value_discretization_interval=2e-3
    )
    truth = mixture.self_compose(160).get_epsilon_for_delta(1e-3)
    assert truth <= epsilon_of_windows([sampled(4.34)], 12, 1e-3) < 1.002 * truth


@pytest.mark.parametrize("multiplier", [0.915, 4.34, 28.6])
@pytest.mark.parametrize("capacity", [495, 88])
def test_order_of_the_printed_values(multiplier, capacity):
    step = [sampled(multiplier, capacity=capacity)]
    pld, rdp = epsilon_pld(step, 1e-5), epsilon_rdp(step, 1e-5)
    assert pld < rdp < 1.6 * pld
    assert 5 * pld < epsilon_unamplified(step, 1e-5)
    assert 1.5 * pld < epsilon_replace_one(step, 1e-5) < 5 * pld


def test_unamplified_is_the_exact_value_of_full_batches():
    in_each_step = pytest.approx(epsilon_pld([full_batch(4.34, 160)], 1e-3))
    assert epsilon_unamplified([sampled(4.34)], 1e-3) == in_each_step
    assert epsilon_unamplified([full_batch(4.34, 160)], 1e-3) == in_each_step


def test_rdp_of_full_batches_by_hand():
    """Gaussian RDP is order mu^2 / 2; the conversion is minimised over a fine range of orders."""
    mu, delta = 20**0.5 / 5, 1e-5
    a = np.linspace(1.01, 200, 200_000)
    converted = a * mu**2 / 2 + np.log1p(-1 / a) - np.log(delta * a) / (a - 1)
    assert epsilon_rdp([full_batch(5.0, 20)], delta) == pytest.approx(converted.min(), rel=2e-3)


def test_rdp_of_a_cut_draw_that_never_overflows_is_that_of_poisson_draws():
    found = epsilon_rdp([sampled(4.34, capacity=494)], 1e-5)
    assert found == pytest.approx(epsilon_rdp([sampled(4.34)], 1e-5), rel=1e-9)
    assert epsilon_rdp([sampled(4.34, capacity=70)], 1e-5) > 1.2 * found


def test_small_orders_that_do_not_converge_do_not_fill_the_log(caplog):
    epsilon_rdp([sampled(0.9151)], 1e-5)
    assert "converge" not in caplog.text


@pytest.mark.parametrize(("epsilon", "one_seed", "ten_seeds"), [(1, 5.0, 24.0), (10, 70.1, 514)])
def test_all_fold_models_of_a_study_compose(epsilon, one_seed, ten_seeds):
    model = (calibrated(epsilon, 1e-3, steps=1),)
    assert epsilon_pld(model * 14, 1e-3) == pytest.approx(one_seed, rel=5e-3)
    assert epsilon_pld(model * 14 * 10, 1e-3) == pytest.approx(ten_seeds, rel=5e-3)


def test_full_batches_compose_as_one_gaussian():
    parts = [full_batch(2.0, 3), full_batch(5.0, 10)]
    mu = (3 / 4 + 10 / 25) ** 0.5
    assert gaussian_mu(parts) == pytest.approx(mu)
    assert epsilon_pld(parts, 1e-4) == pytest.approx(epsilon_pld([full_batch(1 / mu)], 1e-4))


def test_generator_and_detector_compose_as_in_the_library():
    import dp_accounting as dp

    generator, detector = sampled(1.5, 300), full_batch(4.0, 20)
    poisson = dp.PoissonSampledDpEvent(Q, dp.GaussianDpEvent(1.5))
    parts = [dp.SelfComposedDpEvent(poisson, 300), dp.SelfComposedDpEvent(dp.GaussianDpEvent(4.0), 20)]
    truth = dp.pld.PLDAccountant().compose(dp.ComposedDpEvent(parts)).get_epsilon(1e-5)
    together = epsilon_pld([generator, detector], 1e-5)
    assert truth * (1 - 1e-6) <= together < 1.002 * truth
    assert gaussian_mu([generator, detector]) is None
    alone = [epsilon_pld([part], 1e-5) for part in (generator, detector)]
    assert max(alone) < together < sum(alone)
    replaced = dp.pld.PLDAccountant(dp.NeighboringRelation.REPLACE_ONE, 1e-3)
    truth = replaced.compose(dp.ComposedDpEvent(parts)).get_epsilon(1e-5)
    assert epsilon_replace_one([generator, detector], 1e-5) == pytest.approx(truth, rel=2e-3)


def test_equal_mechanisms_count_as_often_as_they_run():
    assert epsilon_pld([sampled(4.34, 80)] * 2, 1e-3) == epsilon_pld([sampled(4.34, 160)], 1e-3)
    assert epsilon_pld([sampled(4.34, 159)], 1e-3) < epsilon_pld([sampled(4.34, 160)], 1e-3)


def test_parts_with_different_strides_compose_for_a_minute():
    generator, detector = full_batch(3.0, 10), full_batch(4.0, 20)
    mu = (10 * (4 / 3) ** 2 + 20 * (2 / 4) ** 2) ** 0.5
    found = epsilon_of_groups([(generator, 4), (detector, 2)], 1e-5)
    assert found == pytest.approx(epsilon_pld([full_batch(1 / mu)], 1e-5))


def test_a_person_counts_once_where_people_are_the_records():
    people = full_batch(4.0, 20, unit="subject", n=14)
    windows = full_batch(40.0, 20)
    assert epsilon_of_groups([(people, 1)], 1e-5) == epsilon_pld([people], 1e-5)
    both = epsilon_of_groups([(people, 1), (windows, 36)], 1e-5)
    assert both > epsilon_of_windows([windows], 36, 1e-5)
    with pytest.raises(ValueError, match="different units"):
        epsilon_pld([people, windows], 1e-5)


def test_nothing_costs_nothing():
    assert epsilon_pld([], 1e-5) == epsilon_of_groups([], 1e-5) == gaussian_mu([]) == 0


def test_a_whole_study_of_both_units_fits_into_time_and_memory():
    """Whole persons in 70 models of each cell; a fixed fine grid of losses would need gigabytes."""
    cells = [(full_batch(2.2, 20, unit="subject", n=14), 1)]
    cells += [(sampled(s, steps, capacity=112), 37) for s, steps in ((1.06, 160), (2.1, 1000), (48.2, 160))]
    started = time.process_time()
    assert epsilon_of_groups(cells * 70, 1e-5) > 1e4
    assert time.process_time() - started < 5


def test_a_large_group_at_little_noise_has_the_bound_of_full_batches():
    """All 74 windows of a person, in 50 steps: there dp-accounting ends in an error of rounding."""
    run = sampled(1.866, steps=50, q=500 / 1036, n=1036)
    found = epsilon_of_groups([(run, 74)], 1e-5)
    assert found == pytest.approx(epsilon_of_groups([(full_batch(1.866, 50, n=1036), 74)], 1e-5))
    assert found > epsilon_of_groups([(run, 4)], 1e-5)


def test_planning_without_epsilon_imports_neither_dp_accounting_nor_scipy():
    code = (
        "import sys, pulseveil.privacy.accounting\n"
        "print({'dp_accounting', 'scipy.stats', 'tensorflow'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_missing_library_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    accounting._epsilon.cache_clear()
    with pytest.raises(InputError, match="pip install dp-accounting"):
        epsilon_pld([full_batch(1.2345)], 1e-5)
