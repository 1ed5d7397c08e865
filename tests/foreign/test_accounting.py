"""Epsilon against the accountants of Opacus, which share no code with ours, and of jax-privacy."""

from __future__ import annotations

import pytest
from jax_privacy.accounting import DpParams, DpsgdTrainingAccountant, PldAccountantConfig
from opacus.accountants import PRVAccountant, RDPAccountant

from pulseveil.privacy import accounting
from pulseveil.privacy.budget import Budget, Mechanism

pytestmark = pytest.mark.foreign

# People and windows of 14 and of 28 people; small and large noise.
CASES = [
    (14, 1.0, 1, 3.73, 1e-5),
    (14, 0.5, 50, 8.0, 1e-5),
    (28, 0.25, 200, 2.0, 1e-3),
    (518, 64 / 518, 160, 4.34, 1e-3),
    (1036, 0.05, 300, 1.1, 1e-5),
    (1036, 0.01, 3000, 0.8, 1e-6),
]
# Opacus' own error of epsilon, which it adds to its bound.
PRV_ERROR = 0.01


def mechanism(n: int, q: float, steps: int, noise: float, capacity: int | None = None) -> Mechanism:
    return Mechanism("case", "window", n, q, capacity or n, steps, clip_norm=1.0, noise_multiplier=noise)


@pytest.mark.parametrize(("n", "q", "steps", "noise", "delta"), CASES)
def test_epsilon_is_that_of_the_prv_accountant_of_opacus(
    n: int, q: float, steps: int, noise: float, delta: float
) -> None:
    theirs = PRVAccountant()
    theirs.history = [(noise, q, steps)]
    expected = theirs.get_epsilon(delta, eps_error=PRV_ERROR)
    ours = accounting.epsilon_pld([mechanism(n, q, steps, noise)], delta)
    # Both are upper bounds of the same number; ours has a grid.
    assert abs(ours - expected) < 2 * PRV_ERROR + 0.005 * expected


@pytest.mark.parametrize(("n", "q", "steps", "noise", "delta"), CASES)
def test_renyi_bound_is_that_of_opacus(n: int, q: float, steps: int, noise: float, delta: float) -> None:
    theirs = RDPAccountant()
    theirs.history = [(noise, q, steps)]
    expected = theirs.get_epsilon(delta)
    run = [mechanism(n, q, steps, noise)]
    # The orders differ, over which both take the least bound.
    assert accounting.epsilon_rdp(run, delta) == pytest.approx(expected, rel=0.03)
    assert accounting.epsilon_pld(run, delta) <= expected * 1.001


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 8.0])
def test_calibrated_noise_keeps_to_the_budget_by_opacus(epsilon: float) -> None:
    budget = Budget(epsilon, 1e-5, "window")
    run = accounting.calibrate(budget, name="case", n=518, q=0.1, capacity=518, steps=100, clip_norm=1.0)
    theirs = PRVAccountant()
    theirs.history = [(run.noise_multiplier, run.q, run.steps)]
    found = theirs.get_epsilon(1e-5, eps_error=PRV_ERROR)
    assert 0.99 * epsilon - 2 * PRV_ERROR < found < 1.005 * epsilon + 2 * PRV_ERROR


@pytest.mark.parametrize("capacity", [518, 80])
def test_epsilon_is_that_of_jax_privacy_also_for_draws_cut_to_their_capacity(capacity: int) -> None:
    run = mechanism(518, 64 / 518, 160, 4.34, capacity)
    theirs = DpsgdTrainingAccountant(PldAccountantConfig())
    known = DpParams(
        noise_multipliers=4.34,
        num_samples=518,
        delta=1e-3,
        batch_size=64,
        truncated_batch_size=None if capacity == 518 else capacity,
    )
    assert accounting.epsilon_pld([run], 1e-3) == pytest.approx(theirs.compute_epsilon(160, known), rel=0.01)
