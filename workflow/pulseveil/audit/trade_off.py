"""Trade-off curves: which true positive rate an attacker can reach at a false positive rate (f-DP).

A whole curve claims more than one (epsilon, delta): an attack can refute it where the ceiling of its epsilon
lies below the claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import special

from pulseveil.privacy import accounting
from pulseveil.privacy.budget import Mechanism

LARGEST_MU = 20.0
"""Bounds of mu end here: far above every epsilon that is worth a claim."""

DELTAS = tuple(float(delta) for delta in np.geomspace(1e-9, 0.9, 60))
"""Where an accountant is asked for the epsilons of a curve."""


class TradeOff(Protocol):
    """A claimed trade-off curve."""

    def least_false(self, true: float) -> float:
        """The smallest false positive rate at which a true positive rate can be reached."""
        ...


@dataclass(frozen=True)
class GaussianTradeOff:
    """Gaussian differential privacy: telling N(0, 1) from N(mu, 1) (Dong, Roth and Su 2022, section 2.2)."""

    mu: float

    def least_false(self, true: float) -> float:
        """The smallest false positive rate at which a true positive rate can be reached."""
        return float(special.ndtr(special.ndtri(true) - self.mu))


@dataclass(frozen=True)
class ProfileTradeOff:
    """The curve of pairs (epsilon, delta) that all hold: one pair, or many of an accountant.

    Source: Wasserman and Zhou 2010; Dong, Roth and Su 2022, on the duality of both notions.
    """

    epsilons: tuple[float, ...]
    deltas: tuple[float, ...]

    def least_false(self, true: float) -> float:
        """The smallest false positive rate at which a true positive rate can be reached."""
        epsilon, delta = np.asarray(self.epsilons), np.asarray(self.deltas)
        present = (true - delta) * np.exp(-epsilon)
        absent = 1 - delta - (1 - true) * np.exp(epsilon)
        return float(max(0.0, present.max(), absent.max()))


def claimed_curve(mechanisms: Sequence[Mechanism]) -> TradeOff:
    """The trade-off curve of private mechanisms: exact for full batches, else pairs of the accountant."""
    mu = accounting.gaussian_mu(mechanisms)
    if mu is not None:
        return GaussianTradeOff(mu)
    return ProfileTradeOff(tuple(accounting.epsilon_pld(mechanisms, delta) for delta in DELTAS), DELTAS)


def epsilon_of_mu(mu: float, delta: float) -> float:
    """The epsilon at `delta` of a mechanism whose trade-off curve is the Gaussian one of `mu`.

    Source: Balle and Wang 2018, theorem 8, through dp-accounting.
    """
    from dp_accounting import get_epsilon_gaussian

    return float(get_epsilon_gaussian(1 / mu, delta)) if mu > 0 else 0.0
