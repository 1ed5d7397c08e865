"""Verdicts of audits on a claimed epsilon, with a family-wise error over all audits of a run (Bonferroni)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pulseveil.audit.bounds import LEVEL, corrected_level
from pulseveil.audit.trade_off import TradeOff, epsilon_of_mu
from pulseveil.core.identity import number_label
from pulseveil.privacy.budget import Unit

NOT_TESTABLE = "not testable by this audit"
"""End of the verdict on a claim that a perfect attack could not have refuted."""
Neighbours = Literal["zero-out", "replace-one"]


class Evidence(Protocol):
    """Result of an attack, whose statements are each wrong with probability at most 1 - level."""

    @property
    def flawless(self) -> Evidence:
        """Result of an attack without an error, whose bounds are the ceilings."""
        ...

    def epsilon_lower_bound(self, delta: float, level: float = LEVEL) -> float:
        """Largest epsilon that is refuted at `delta`."""
        ...

    def refutes(self, curve: TradeOff, level: float = LEVEL) -> bool:
        """Whether a trade-off curve is refuted."""
        ...

    def mu_lower_bound(self, level: float = LEVEL) -> float:
        """Largest mu of Gaussian differential privacy that is refuted."""
        ...


@dataclass(frozen=True)
class Claim:
    """Privacy claim of a model: (epsilon, delta) at a unit, for a neighbouring relation.

    Models of two folds differ by a swap of two people: an attack that compares them needs a claim for
    replace-one neighbours.
    """

    model: str
    epsilon: float
    delta: float
    unit: Unit
    neighbours: Neighbours = "zero-out"

    def __str__(self) -> str:
        return (
            f"{self.model}, unit {self.unit}, {self.neighbours} neighbours, "
            f"epsilon {number_label(self.epsilon)} at delta {number_label(self.delta)}"
        )


@dataclass(frozen=True)
class Defence:
    """Claim of an audited model, with its trade-off curve if it is known.

    audits: number of verdicts of the whole run that can fail, those of this model included.
    """

    claim: Claim
    curve: TradeOff | None
    audits: int


@dataclass(frozen=True)
class Verdict:
    """Outcome of one audit: a sentence, with bound and ceiling at the corrected level."""

    text: str
    lower_bound: float
    ceiling: float
    level: float


@dataclass(frozen=True)
class AuditPass(Verdict):
    """Verdict without a contradiction, as far as the ceiling reaches."""


@dataclass(frozen=True)
class AuditFailure(Verdict):
    """Verdict that refutes the claim."""


def judge(claim: Claim, attack: str, evidence: Evidence, audits: int) -> AuditPass | AuditFailure:
    """Compare the evidence of `attack` with the claimed epsilon.

    Args:
        audits: the number of all verdicts that can fail a run.

    Guarantee:
        A true claim fails with probability at most 5 % / audits, so that all true claims of a run pass with
        probability at least 95 %. With epsilon infinity nothing is claimed, and nothing fails. A claim that
        passes is not proved.

    Examples:
        >>> from pulseveil.audit.bounds import AttackCounts
        >>> claim, counts = Claim("logistic", 1.0, 1e-5, "subject"), AttackCounts(30, 30, 30, 0)
        >>> print(judge(claim, "membership", counts, audits=1).text.rpartition(": ")[2])
        the claim is refuted
    """
    # Fixed level and fixed number of audits: chosen after the results, they would void the error.
    level = corrected_level(audits)
    bound = evidence.epsilon_lower_bound(claim.delta, level)
    ceiling = evidence.flawless.epsilon_lower_bound(claim.delta, level)
    # No bound exceeds an infinite epsilon: without a claim nothing fails.
    found = f"{attack} on {claim}: lower bound {bound:.2f}, ceiling {ceiling:.2f}, level {level:.4%}"
    if bound > claim.epsilon:
        return AuditFailure(f"{found}: the claim is refuted", bound, ceiling, level)
    return AuditPass(f"{found}: {_reach(ceiling > claim.epsilon)}", bound, ceiling, level)


def judge_curve(
    claim: Claim, curve: TradeOff, attack: str, evidence: Evidence, audits: int
) -> AuditPass | AuditFailure:
    """Compare the evidence of `attack` with the claim's trade-off curve; otherwise as `judge`.

    The curve can be refuted although the claim lies above the ceiling of epsilon. The comparison counts as an
    audit of its own. Bound and ceiling are the epsilons of Gaussian mechanisms with the refuted mu.
    """
    level = corrected_level(audits)
    bound = epsilon_of_mu(evidence.mu_lower_bound(level), claim.delta)
    ceiling = epsilon_of_mu(evidence.flawless.mu_lower_bound(level), claim.delta)
    found = (
        f"{attack} on the trade-off curve of {claim}: as of a Gaussian mechanism of epsilon {bound:.2f}, "
        f"ceiling {ceiling:.2f}, level {level:.4%}"
    )
    if evidence.refutes(curve, level):
        return AuditFailure(f"{found}: the claim is refuted", bound, ceiling, level)
    testable = evidence.flawless.refutes(curve, level)
    return AuditPass(f"{found}: {_reach(testable)}", bound, ceiling, level)


def _reach(testable: bool) -> str:
    # Below the claim, even an attack without an error would pass: that must not read as a confirmation.
    return "no contradiction" if testable else NOT_TESTABLE


def failures(verdicts: Sequence[Verdict]) -> tuple[AuditFailure, ...]:
    """Verdicts that fail a run."""
    return tuple(verdict for verdict in verdicts if isinstance(verdict, AuditFailure))
