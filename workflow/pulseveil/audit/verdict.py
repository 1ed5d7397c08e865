"""Whether an audit contradicts a claimed epsilon, at a level that all audits of a run share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pulseveil.audit.bounds import LEVEL, corrected_level
from pulseveil.audit.trade_off import TradeOff, epsilon_of_mu
from pulseveil.core.identity import number_label
from pulseveil.privacy.budget import Unit

Neighbours = Literal["zero-out", "replace-one"]


class Evidence(Protocol):
    """What an attack found; each statement is wrong with probability at most 1 - level."""

    @property
    def flawless(self) -> Evidence:
        """What an attack without an error would have found."""
        ...

    def epsilon_lower_bound(self, delta: float, level: float = LEVEL) -> float:
        """The epsilon that is refuted at `delta`."""
        ...

    def refutes(self, curve: TradeOff, level: float = LEVEL) -> bool:
        """Whether a trade-off curve is refuted."""
        ...

    def mu_lower_bound(self, level: float = LEVEL) -> float:
        """The mu of Gaussian differential privacy that is refuted."""
        ...


@dataclass(frozen=True)
class Claim:
    """What is claimed of a model: (epsilon, delta) at a unit, between these neighbours.

    An attack that compares the models of two folds needs the claim for replace-one neighbours.
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
    """What a model has to stand by: its claim, and the claim's trade-off curve where it is known.

    audits: how many verdicts of the whole run can fail, this model's among them.
    """

    claim: Claim
    curve: TradeOff | None
    audits: int


@dataclass(frozen=True)
class Verdict:
    """The outcome of one audit; `text` is its sentence, bound and ceiling are at the corrected level."""

    text: str
    lower_bound: float
    ceiling: float
    level: float


@dataclass(frozen=True)
class AuditPass(Verdict):
    """No contradiction, as far as the ceiling reaches."""


@dataclass(frozen=True)
class AuditFailure(Verdict):
    """The claim is refuted."""


def judge(claim: Claim, attack: str, evidence: Evidence, audits: int) -> AuditPass | AuditFailure:
    """Compare what `attack` found with the claim; `audits` is the number of all verdicts that can fail a run.

    A true claim fails with probability at most 5 % / audits, so that all true claims of a run pass with
    probability at least 95 %. With epsilon infinity nothing is claimed and nothing fails.
    """
    level = corrected_level(audits)
    bound = evidence.epsilon_lower_bound(claim.delta, level)
    ceiling = evidence.flawless.epsilon_lower_bound(claim.delta, level)
    found = f"{attack} on {claim}: lower bound {bound:.2f}, ceiling {ceiling:.2f}, level {level:.4%}"
    if bound > claim.epsilon:
        return AuditFailure(f"{found}: the claim is refuted", bound, ceiling, level)
    return AuditPass(f"{found}: {_reach(ceiling > claim.epsilon)}", bound, ceiling, level)


def judge_curve(
    claim: Claim, curve: TradeOff, attack: str, evidence: Evidence, audits: int
) -> AuditPass | AuditFailure:
    """Compare what `attack` found with the trade-off curve of the claim; else as `judge`.

    This reaches claims above the ceiling of epsilon, and counts as an audit of its own. Bound and ceiling
    are those of the Gaussian mechanism of which as much could be found out.
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
    return "no contradiction" if testable else "not testable by this audit"


def failures(verdicts: Sequence[Verdict]) -> tuple[AuditFailure, ...]:
    """The verdicts that fail a run."""
    return tuple(verdict for verdict in verdicts if isinstance(verdict, AuditFailure))
