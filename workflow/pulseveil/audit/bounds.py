"""Statistics of a membership attack on independent trainings: AUC, rates with exact intervals, epsilon."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from pulseveil.audit.trade_off import TradeOff

LEVEL = 0.95
_STEP = 1e-12

Floats = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class AttackCounts:
    """How often an attack called `members` trainings with a record and `non_members` without it "in".

    `hits` of the members and `false_alarms` of the non-members were called "in". Each training counts once
    and is independent of the others; the rule that calls was fixed without their answers.
    """

    members: int
    hits: int
    non_members: int
    false_alarms: int

    def __post_init__(self) -> None:
        if not (0 <= self.hits <= self.members and 0 <= self.false_alarms <= self.non_members):
            raise ValueError(f"impossible counts: {self}")
        if not (self.members and self.non_members):
            raise ValueError("an attack needs trainings with and without the record")

    @property
    def flawless(self) -> AttackCounts:
        """The counts of an attack without an error on the same trainings: its bounds are the ceilings."""
        return AttackCounts(self.members, self.members, self.non_members, 0)

    @property
    def mirrored(self) -> AttackCounts:
        """The same attack read as one that calls "out": differential privacy bounds both directions."""
        return AttackCounts(
            self.non_members,
            self.non_members - self.false_alarms,
            self.members,
            self.members - self.hits,
        )

    def true_positive_rate(self, level: float = LEVEL) -> Interval:
        """Exact interval of the rate of hits."""
        return rate_interval(self.hits, self.members, level)

    def false_positive_rate(self, level: float = LEVEL) -> Interval:
        """Exact interval of the rate of false alarms."""
        return rate_interval(self.false_alarms, self.non_members, level)

    def epsilon_lower_bound(self, delta: float, level: float = LEVEL) -> float:
        """The epsilon that these counts refute: 0 or the largest with true > e^epsilon false + delta.

        Below the true epsilon with probability `level`: the error 1 - level is shared by the lower limit of
        the true and the upper limit of the false positive rate, each one-sided at 1 - (1 - level) / 2.

        Source: Jagielski, Ullman and Oprea 2020; Nasr et al. 2021, for (epsilon, delta) and exact intervals.
        """
        true, false = self.true_positive_rate(level)[0], self.false_positive_rate(level)[1]
        if true - delta <= false:
            return 0.0
        return math.log((true - delta) / false)

    def refutes(self, curve: TradeOff, level: float = LEVEL) -> bool:
        """Whether the attack is better than a trade-off curve allows; a true curve is refuted with 1 - level.

        Source: Nasr et al. 2023, Tight auditing of differentially private machine learning.
        """
        true, false = self.true_positive_rate(level)[0], self.false_positive_rate(level)[1]
        return curve.least_false(true) > false

    def mu_lower_bound(self, level: float = LEVEL) -> float:
        """The mu of Gaussian differential privacy that these counts refute, with error 1 - level."""
        true, false = self.true_positive_rate(level)[0], self.false_positive_rate(level)[1]
        return max(0.0, float(special.ndtri(true) - special.ndtri(false)))


def rate_interval(count: int, trials: int, level: float = LEVEL) -> Interval:
    """Exact interval of a binomial rate; it covers with at least probability `level`.

    Source: Clopper and Pearson 1934, by quantiles of the beta distribution.
    """
    tail = (1 - level) / 2
    low = special.betaincinv(count, trials - count + 1, tail) if count > 0 else 0.0
    high = special.betaincinv(count + 1, trials - count, 1 - tail) if count < trials else 1.0
    return float(low), float(high)


def corrected_level(audits: int, level: float = LEVEL) -> float:
    """The level of each of `audits` audits, so that all of them are right together with probability `level`.

    Source: Bonferroni's inequality.
    """
    return 1 - (1 - level) / audits


def area_under_curve(members: Floats, non_members: Floats) -> float:
    """AUC: the probability that a member's score (n) exceeds a non-member's (k); a draw counts half."""
    statistic = stats.mannwhitneyu(members, non_members, method="asymptotic").statistic
    return float(statistic) / (len(members) * len(non_members))


def auc_interval(auc: float, members: int, non_members: int, level: float = LEVEL) -> Interval:
    """Approximate interval of an AUC from `members` and `non_members` independent scores.

    Score interval on the variance of Hanley and McNeil 1982: it has a length at AUC 0 and 1 too.

    Source: Newcombe 2006, Statistics in Medicine 25, 559-573, method 5.
    """
    z = float(stats.norm.isf((1 - level) / 2))
    half = (members + non_members) / 2 - 1

    def distance(theta: float, side: int) -> float:
        shape = 1 + half * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return auc - theta + side * z * math.sqrt(theta * (1 - theta) * shape / (members * non_members))

    # At AUC 0 and 1 the value itself is a root, too: the limit is the other one.
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
    """Counts at the smallest false positive rate that the trainings can show: none of the non-members.

    The threshold is the highest score of a non-member, so the counts describe; they bound no epsilon.
    """
    return counts_above(float(np.max(non_members)), members, non_members)
