"""Trade-off curves (f-DP): the true positive rate that an attack can reach at each false positive rate.

A whole curve claims more than one pair (epsilon, delta): an attack can refute a curve although its ceiling of
epsilon lies below the claim.
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
"""Upper end of the search for bounds of mu, far above every epsilon that is worth a claim."""

DELTAS = tuple(float(delta) for delta in np.geomspace(1e-9, 0.9, 60))
"""Deltas of the pairs that stand for a curve."""


class TradeOff(Protocol):
    """A claimed trade-off curve."""

    def least_false(self, true: float) -> float:
        """Smallest false positive rate at which the true positive rate `true` can be reached."""
        ...


@dataclass(frozen=True)
class GaussianTradeOff:
    """Gaussian differential privacy: a test of N(0, 1) against N(mu, 1).

    Source: Dong, Roth and Su 2022, section 2.2.

    Examples:
        >>> round(GaussianTradeOff(mu=1.0).least_false(true=0.8), 3)
        0.437
    """

    mu: float

    def least_false(self, true: float) -> float:
        """Smallest false positive rate at which the true positive rate `true` can be reached."""
        return float(special.ndtr(special.ndtri(true) - self.mu))


@dataclass(frozen=True)
class ProfileTradeOff:
    """Trade-off curve of pairs (epsilon, delta) that all hold: one pair, or many of an accountant.

    Source: Wasserman and Zhou 2010; Dong, Roth and Su 2022, on the duality of both notions.
    """

    epsilons: tuple[float, ...]
    deltas: tuple[float, ...]

    def least_false(self, true: float) -> float:
        """Smallest false positive rate at which the true positive rate `true` can be reached."""
        epsilon, delta = np.asarray(self.epsilons), np.asarray(self.deltas)
        # A pair holds in both directions of neighbours: the larger bound counts, over all pairs.
        present = (true - delta) * np.exp(-epsilon)
        absent = 1 - delta - (1 - true) * np.exp(epsilon)
        return float(max(0.0, present.max(), absent.max()))


def claimed_curve(mechanisms: Sequence[Mechanism]) -> TradeOff:
    """Trade-off curve of private mechanisms: exact for full batches, otherwise pairs of the accountant.

    Raises:
        ValueError: the mechanisms have different units.
    """
    mu = accounting.gaussian_mu(mechanisms)
    if mu is not None:
        return GaussianTradeOff(mu)
    # Each pair is an upper bound, and so the curve of finitely many pairs claims no more than holds.
    return ProfileTradeOff(tuple(accounting.epsilon_pld(mechanisms, delta) for delta in DELTAS), DELTAS)


def epsilon_of_mu(mu: float, delta: float) -> float:
    """Epsilon at `delta` of a mechanism whose trade-off curve is the Gaussian one of `mu`.

    Source: Balle and Wang 2018, theorem 8, through dp-accounting.

    Examples:
        >>> round(epsilon_of_mu(mu=2.0, delta=1e-5), 2)
        10.0
    """
    # Imported here, as in `privacy.accounting`: the import takes a second.
    from dp_accounting import get_epsilon_gaussian

    return float(get_epsilon_gaussian(1 / mu, delta)) if mu > 0 else 0.0
