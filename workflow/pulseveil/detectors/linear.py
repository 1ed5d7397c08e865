"""A linear model of squashed window statistics: what all private training of few dimensions ends in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pulseveil.contracts import FeatureSet
from pulseveil.detectors import Outputs
from pulseveil.detectors.public_knowledge import PublicInputs

if TYPE_CHECKING:
    from pulseveil.privacy.ledger import Entry

Array = NDArray[np.float64]

PUBLIC_QUANTITIES = (
    "number of people",
    "windows of a person",
    "share of stress",
    "scales and signs of the window statistics",
)


@dataclass(frozen=True, eq=False)
class FittedLinear:
    """The log odds of stress, `weights (d)` times the squashed inputs plus `intercept`, and its ledger."""

    inputs: PublicInputs
    weights: Array
    intercept: float
    ledger: tuple[Entry, ...] = ()

    def score(self, features: FeatureSet) -> Outputs:
        """Outputs for each row of `features`."""
        return Outputs.from_probability(sigmoid(self.inputs.read(features) @ self.weights + self.intercept))


def public_direction(inputs: PublicInputs) -> tuple[Array, float]:
    """Weights (d) and intercept of the rule that adds up the signed columns and cuts them half-way."""
    return inputs.sign, -inputs.midpoint * float(np.abs(inputs.sign).sum())


def sigmoid(log_odds: Array) -> Array:
    """Probabilities of log odds, without overflow at either end."""
    return np.asarray((1 + np.tanh(log_odds / 2)) / 2)
