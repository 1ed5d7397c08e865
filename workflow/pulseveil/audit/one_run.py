"""What the guesses of a one-run canary audit prove, for epsilon and for trade-off curves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from pulseveil.audit.bounds import LEVEL
from pulseveil.audit.trade_off import LARGEST_MU, GaussianTradeOff, TradeOff

LARGEST_EPSILON = 50.0
"""Bounds end here; no number of canaries that anyone trains with comes near."""


@dataclass(frozen=True)
class CanaryGuesses:
    """Outcome of one training with `canaries`, each included by its own secret fair coin.

    The attacker guesses the coins of `guesses` canaries, a number fixed beforehand, of which `correct` are
    right, and abstains from the others.
    """

    canaries: int
    guesses: int
    correct: int

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.guesses <= self.canaries or self.guesses == 0:
            raise ValueError(f"impossible guesses: {self}")

    @property
    def flawless(self) -> CanaryGuesses:
        """The outcome of an attack without an error: its bounds are the ceilings."""
        return CanaryGuesses(self.canaries, self.guesses, self.guesses)

    def p_value(self, epsilon: float, delta: float) -> float:
        """Upper bound of the probability of so many correct guesses when (epsilon, delta) holds.

        With delta 0, correct guesses are at most as many as those of randomised response. Delta adds
        2 m delta max_i P[v - i <= W < v] / i, W that binomial number and v the correct guesses of m canaries.

        Source: Steinke, Nasr and Jagielski 2023 (arXiv 2305.08846), section 5 and appendix D.
        """
        right = float(special.expit(epsilon))
        tail = float(stats.binom.sf(self.correct - 1, self.guesses, right))
        if delta == 0 or self.correct == 0:
            return min(1.0, tail)
        below = stats.binom.pmf(np.arange(self.correct)[::-1], self.guesses, right)
        slack = float(np.max(np.cumsum(below) / np.arange(1, self.correct + 1)))
        return min(1.0, tail + 2 * self.canaries * delta * slack)

    def epsilon_lower_bound(self, delta: float, level: float = LEVEL) -> float:
        """The epsilon that these guesses refute at `delta`: below the true one with probability `level`."""
        error = 1 - level

        def excess(epsilon: float) -> float:
            return self.p_value(epsilon, delta) - error

        if excess(0.0) >= 0:
            return 0.0
        if excess(LARGEST_EPSILON) < 0:
            return LARGEST_EPSILON
        return float(optimize.brentq(excess, 0.0, LARGEST_EPSILON, xtol=1e-9))

    def refutes(self, curve: TradeOff, level: float = LEVEL) -> bool:
        """Whether so many correct guesses have a probability of at most 1 - level under `curve`.

        Source: Mahloujifar, Melis and Chaudhuri 2025 (ICML; arXiv 2410.22235), for two choices a canary and a
        fixed number of guesses.
        """
        return self._least_total(curve, 1 - level) > 1

    def mu_lower_bound(self, level: float = LEVEL) -> float:
        """The mu of Gaussian differential privacy that these guesses refute, with error 1 - level."""

        def excess(mu: float) -> float:
            return self._least_total(GaussianTradeOff(mu), 1 - level) - 1

        if excess(0.0) <= 0:
            return 0.0
        if excess(LARGEST_MU) > 0:
            return LARGEST_MU
        return float(optimize.brentq(excess, 0.0, LARGEST_MU, xtol=1e-6))

    def _least_total(self, curve: TradeOff, tail: float) -> float:
        """The least total probability that `curve` needs for a probability `tail` of so many correct guesses.

        With C the number of correct guesses of r, m the canaries and F the curve's largest true positive
        rate, E[C; C >= c] / m <= F(E[r - C; C >= c - 1] / m) holds for each c: a correct guess turns into a
        wrong one when its coin turns, while the others stay as right as before. From all of `tail` at the
        observed number downwards, each step takes the least probability that satisfies it; above 1 in total,
        the tail is impossible.
        """
        m, r, v = self.canaries, self.guesses, self.correct
        right, wrong = tail * v / m, tail * (r - v) / m
        for c in range(v, 0, -1):
            needed = max(wrong, curve.least_false(min(right, 1.0)))
            right += (needed - wrong) * (c - 1) / (r - c + 1)
            wrong = needed
        return (right + wrong) * m / r


def canaries_needed(epsilon: float, level: float = LEVEL) -> float:
    """The fewest canaries whose ceiling at delta 0 reaches `epsilon`, all of them guessed right."""
    miss = math.log1p(math.exp(-epsilon))
    return math.ceil(-math.log(1 - level) / miss) if miss > 0 else math.inf
