"""Statistics of attacks: AUC, rates with exact intervals, and lower bounds on epsilon.

Counts come from a membership attack on independent trainings, or from the guesses of a one-run canary audit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from pulseveil.audit.trade_off import LARGEST_MU, GaussianTradeOff, TradeOff
from pulseveil.core.arrays import Floats

LEVEL = 0.95
# Distance that keeps a root finder off the trivial root of `auc_interval`.
_STEP = 1e-12

ConfidenceInterval = tuple[float, float]


@dataclass(frozen=True)
class AttackCounts:
    """Counts of a membership attack on `members` trainings with a record and `non_members` without it.

    The attack called `hits` of the members and `false_alarms` of the non-members "in". Bounds assume that
    trainings are independent, and that the attack's rule was fixed without them.

    Raises:
        ValueError: the counts are impossible, or a side has no training.

    Examples:
        >>> counts = AttackCounts(members=15, hits=15, non_members=15, false_alarms=0)
        >>> round(counts.epsilon_lower_bound(delta=0), 2), round(counts.mu_lower_bound(), 2)
        (1.28, 1.56)
    """

    members: int
    hits: int
    non_members: int
    false_alarms: int

    def __post_init__(self) -> None:
        if not (0 <= self.hits <= self.members and 0 <= self.false_alarms <= self.non_members):
            raise ValueError(f"impossible counts, expected hits and false alarms within trainings: {self}")
        if not (self.members and self.non_members):
            raise ValueError(f"an attack needs trainings with and without the record, found {self}")

    @property
    def flawless(self) -> AttackCounts:
        """Counts of an attack without an error on the same trainings, whose bounds are the ceilings."""
        return AttackCounts(self.members, self.members, self.non_members, 0)

    @property
    def mirrored(self) -> AttackCounts:
        """Counts of the same attack on "out": differential privacy bounds both directions."""
        return AttackCounts(
            self.non_members,
            self.non_members - self.false_alarms,
            self.members,
            self.members - self.hits,
        )

    def true_positive_rate(self, level: float = LEVEL) -> ConfidenceInterval:
        """Exact confidence interval of the rate of hits."""
        return rate_interval(self.hits, self.members, level)

    def false_positive_rate(self, level: float = LEVEL) -> ConfidenceInterval:
        """Exact confidence interval of the rate of false alarms."""
        return rate_interval(self.false_alarms, self.non_members, level)

    def epsilon_lower_bound(self, delta: float, level: float = LEVEL) -> float:
        """Largest epsilon that these counts refute at `delta`, by true > e^epsilon false + delta; at least 0.

        The bound is below the true epsilon with probability `level`. The error 1 - level is shared by the
        lower limit of the true and the upper limit of the false positive rate, both one-sided.

        Source: Jagielski, Ullman and Oprea 2020; Nasr et al. 2021, for (epsilon, delta) and exact intervals.
        """
        # Two-sided intervals at `level` have one-sided limits at half of its error: their sum is the error.
        true, false = self.true_positive_rate(level)[0], self.false_positive_rate(level)[1]
        if true - delta <= false:
            return 0.0
        return math.log((true - delta) / false)

    def refutes(self, curve: TradeOff, level: float = LEVEL) -> bool:
        """Whether the attack is better than a trade-off curve allows.

        A true curve is refuted with probability at most 1 - level.

        Source: Nasr et al. 2023, Tight auditing of differentially private machine learning.
        """
        true, false = self.true_positive_rate(level)[0], self.false_positive_rate(level)[1]
        return curve.least_false(true) > false

    def mu_lower_bound(self, level: float = LEVEL) -> float:
        """Largest mu of Gaussian differential privacy that these counts refute, with error 1 - level."""
        true, false = self.true_positive_rate(level)[0], self.false_positive_rate(level)[1]
        # Without a hit the lower limit is 0, whose quantile is minus infinity.
        return max(0.0, float(special.ndtri(true) - special.ndtri(false)))


def rate_interval(count: int, trials: int, level: float = LEVEL) -> ConfidenceInterval:
    """Exact confidence interval of a binomial rate; it covers the rate with at least probability `level`.

    Source: Clopper and Pearson 1934, by quantiles of the beta distribution.

    Examples:
        >>> [round(limit, 3) for limit in rate_interval(count=15, trials=15)]
        [0.782, 1.0]
    """
    tail = (1 - level) / 2
    # The beta distribution has no parameter 0: at both ends of the counts, the limit is 0 or 1 itself.
    low = special.betaincinv(count, trials - count + 1, tail) if count > 0 else 0.0
    high = special.betaincinv(count + 1, trials - count, 1 - tail) if count < trials else 1.0
    return float(low), float(high)


def corrected_level(audits: int, level: float = LEVEL) -> float:
    """Level of each of `audits` audits, for a family-wise error of 1 - `level` (Bonferroni).

    Examples:
        >>> corrected_level(audits=10)
        0.995
    """
    return 1 - (1 - level) / audits


def area_under_curve(members: Floats, non_members: Floats) -> float:
    """AUC: the probability that a member's score (n) exceeds a non-member's (k); a tie counts half.

    Examples:
        >>> area_under_curve(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
        0.875
    """
    # Only the statistic is used: an exact p-value would take long for many scores.
    statistic = stats.mannwhitneyu(members, non_members, method="asymptotic").statistic
    return float(statistic) / (len(members) * len(non_members))


def auc_interval(auc: float, members: int, non_members: int, level: float = LEVEL) -> ConfidenceInterval:
    """Approximate confidence interval of an AUC from `members` and `non_members` independent scores.

    A score interval with the variance of Hanley and McNeil 1982; at AUC 0 and 1 its width is positive, too.

    Source: Newcombe 2006, Statistics in Medicine 25, 559-573, method 5.
    """
    z = float(stats.norm.isf((1 - level) / 2))
    half = (members + non_members) / 2 - 1

    def distance(theta: float, side: int) -> float:
        shape = 1 + half * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return auc - theta + side * z * math.sqrt(theta * (1 - theta) * shape / (members * non_members))

    # At AUC 0 and 1 the value itself is a root, too: the limit is the other root.
    low = 0.0 if auc == 0 else optimize.brentq(distance, 0.0, auc - _STEP, args=(-1,))
    high = 1.0 if auc == 1 else optimize.brentq(distance, auc + _STEP, 1.0, args=(1,))
    return float(low), float(high)


def counts_above(threshold: float, members: Floats, non_members: Floats) -> AttackCounts:
    """Counts of the attack that calls a score above `threshold` "in"; members (n), non_members (k)."""
    return AttackCounts(
        len(members),
        int((members > threshold).sum()),
        len(non_members),
        int((non_members > threshold).sum()),
    )


def counts_without_false_alarm(members: Floats, non_members: Floats) -> AttackCounts:
    """Counts at the smallest false positive rate that the trainings can show: no false alarm.

    They are descriptive and bound no epsilon: the threshold is the highest score of a non-member.
    """
    return counts_above(float(np.max(non_members)), members, non_members)


LARGEST_EPSILON = 50.0
"""Upper end of the search for bounds, far above the ceiling of any practical number of canaries."""


@dataclass(frozen=True)
class CanaryGuesses:
    """Guesses of an attack on one training with `canaries`, each included by its own secret fair coin.

    The attack guesses the coins of `guesses` canaries, a number fixed beforehand, and abstains from the
    others; `correct` guesses are right.

    Raises:
        ValueError: the numbers are impossible, or there is no guess.

    Examples:
        >>> guesses = CanaryGuesses(canaries=100, guesses=100, correct=100)
        >>> round(guesses.epsilon_lower_bound(delta=0), 2)
        3.49
    """

    canaries: int
    guesses: int
    correct: int

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.guesses <= self.canaries or self.guesses == 0:
            raise ValueError(f"impossible guesses, expected 0 <= correct <= guesses <= canaries: {self}")

    @property
    def flawless(self) -> CanaryGuesses:
        """Guesses of an attack without an error, whose bounds are the ceilings."""
        return CanaryGuesses(self.canaries, self.guesses, self.guesses)

    def p_value(self, epsilon: float, delta: float) -> float:
        """P-value of (epsilon, delta): an upper bound of the probability of at least so many correct guesses.

        With delta 0, the number of correct guesses is stochastically at most W, that of randomised response,
        a binomial number. Delta adds 2 m delta max_i P[v - i <= W < v] / i for v correct guesses and m
        canaries.

        Source: Steinke, Nasr and Jagielski 2023 (arXiv 2305.08846), section 5 and appendix D.
        """
        right = float(special.expit(epsilon))
        tail = float(stats.binom.sf(self.correct - 1, self.guesses, right))
        if delta == 0 or self.correct == 0:
            return min(1.0, tail)
        below = stats.binom.pmf(np.arange(self.correct)[::-1], self.guesses, right)
        # below[i - 1] is P[W = v - i]: sums over its first i values are the numerators.
        slack = float(np.max(np.cumsum(below) / np.arange(1, self.correct + 1)))
        return min(1.0, tail + 2 * self.canaries * delta * slack)

    def epsilon_lower_bound(self, delta: float, level: float = LEVEL) -> float:
        """Largest epsilon that these guesses refute at `delta`, with error 1 - level."""
        error = 1 - level

        def excess(epsilon: float) -> float:
            return self.p_value(epsilon, delta) - error

        # The p-value rises with epsilon: if the guesses do not refute 0, they refute nothing.
        if excess(0.0) >= 0:
            return 0.0
        if excess(LARGEST_EPSILON) < 0:
            return LARGEST_EPSILON
        return float(optimize.brentq(excess, 0.0, LARGEST_EPSILON, xtol=1e-9))

    def refutes(self, curve: TradeOff, level: float = LEVEL) -> bool:
        """Whether so many correct guesses have a probability of at most 1 - level under `curve`.

        Source: Mahloujifar, Melis and Chaudhuri 2025 (ICML; arXiv 2410.22235), for two choices per canary and
        a fixed number of guesses.
        """
        return self._least_total(curve, 1 - level) > 1

    def mu_lower_bound(self, level: float = LEVEL) -> float:
        """Largest mu of Gaussian differential privacy that these guesses refute, with error 1 - level."""

        def excess(mu: float) -> float:
            return self._least_total(GaussianTradeOff(mu), 1 - level) - 1

        if excess(0.0) <= 0:
            return 0.0
        if excess(LARGEST_MU) > 0:
            return LARGEST_MU
        return float(optimize.brentq(excess, 0.0, LARGEST_MU, xtol=1e-6))

    def _least_total(self, curve: TradeOff, tail: float) -> float:
        """Least total probability that `curve` needs for a probability `tail` of so many correct guesses.

        Let C be the number of correct guesses of r, m the number of canaries, and F the curve's largest true
        positive rate. Then E[C; C >= c] / m <= F(E[r - C; C >= c - 1] / m) for each c: if its coin turns, a
        correct guess becomes wrong, and the others stay as they are. The recursion starts with all of `tail`
        at the observed number. Each step downwards takes the least probability that satisfies the inequality.
        A total above 1 makes the tail impossible.
        """
        m, r, v = self.canaries, self.guesses, self.correct
        right, wrong = tail * v / m, tail * (r - v) / m
        for c in range(v, 0, -1):
            needed = max(wrong, curve.least_false(min(right, 1.0)))
            right += (needed - wrong) * (c - 1) / (r - c + 1)
            wrong = needed
        return (right + wrong) * m / r


def canaries_needed(epsilon: float, level: float = LEVEL) -> float:
    """Fewest canaries whose ceiling at delta 0 reaches `epsilon`, if all are guessed right.

    Examples:
        >>> canaries_needed(epsilon=10.0)
        65987
    """
    # Log of a correct guess's probability by log1p: near 1, the probability itself would lose digits.
    miss = math.log1p(math.exp(-epsilon))
    return math.ceil(-math.log(1 - level) / miss) if miss > 0 else math.inf
