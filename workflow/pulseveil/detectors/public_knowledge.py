"""Linear detectors that read window statistics on public scales (`windows.literature`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from pulseveil.core.arrays import Arrays, Floats
from pulseveil.core.contracts import FeatureSet
from pulseveil.core.errors import InputError
from pulseveil.detectors import Outputs
from pulseveil.privacy.ledger import Entry
from pulseveil.windows.features import select_columns
from pulseveil.windows.literature import COLUMNS, MIDPOINT, require_known


@dataclass(frozen=True, eq=False)
class PublicInputs:
    """Columns of a private training with their public scales and signs.

    names (d). centre, scale, sign (d) float64. midpoint: the squashed value half-way between rest and stress,
    along the signs.
    """

    names: tuple[str, ...]
    centre: Floats
    scale: Floats
    sign: Floats
    midpoint: float

    def read(self, features: FeatureSet) -> Floats:
        """Squashed columns (n, d) in -1..1: tanh((x - centre) / (2 scale)); NaN where a statistic is NaN."""
        columns = [features.statistic_names.index(name) for name in self.names]
        values = features.statistics[:, columns].astype(np.float64)
        # Squashed, not standardised: means and SDs of the training rows would be un-noised private values.
        return np.tanh((values - self.centre) / (2 * self.scale))


def public_inputs(features: FeatureSet, wanted: Sequence[str]) -> PublicInputs:
    """The `wanted` statistics of `features` for which public scales exist.

    Raises:
        InputError: `features` lack a wanted statistic, or none of them has a public scale.
    """
    require_known(features.scaling)
    known = COLUMNS[features.scaling]
    indices = select_columns(features.statistic_names, wanted).tolist()
    names = tuple(name for i in indices if (name := features.statistic_names[i]) in known)
    if not names:
        raise InputError(
            f"statistics: no public scale is known for {', '.join(wanted)}; "
            f"private trainings read {', '.join(known)}"
        )
    columns = [known[name] for name in names]
    return PublicInputs(
        names,
        centre=np.array([column.centre for column in columns]),
        scale=np.array([column.scale for column in columns]),
        sign=np.array([float(column.sign) for column in columns]),
        midpoint=MIDPOINT[features.scaling],
    )


PUBLIC_QUANTITIES = (
    "number of people",
    "windows of a person",
    "share of stress",
    "scales and signs of the window statistics",
)


@dataclass(frozen=True, eq=False)
class FittedLinear:
    """Linear detector: log odds of stress are `weights` (d) times the squashed inputs plus `intercept`."""

    inputs: PublicInputs
    weights: Floats
    intercept: float
    ledger: tuple[Entry, ...] = ()

    def score(self, features: FeatureSet) -> Outputs:
        """Outputs for each row of `features`."""
        return Outputs.from_probability(sigmoid(self.inputs.read(features) @ self.weights + self.intercept))

    def arrays(self) -> Arrays:
        """Weights (d) and intercept, and the public inputs that they belong to."""
        inputs = self.inputs
        return {
            "names": np.array(inputs.names),
            "centre": inputs.centre,
            "scale": inputs.scale,
            "sign": inputs.sign,
            "midpoint": np.array(inputs.midpoint),
            "weights": self.weights,
            "intercept": np.array(self.intercept),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The detector with the state `arrays`; raises ValueError if the arrays do not fit each other."""
        names = tuple(str(name) for name in arrays["names"])
        centre, scale, sign, weights = (
            np.asarray(arrays[name], np.float64) for name in ("centre", "scale", "sign", "weights")
        )
        if any(vector.shape != (len(names),) for vector in (centre, scale, sign, weights)):
            raise ValueError(f"expected {len(names)} numbers per array, as there are names")
        inputs = PublicInputs(names, centre, scale, sign, float(arrays["midpoint"]))
        return cls(inputs, weights, float(arrays["intercept"]))


def weights_by_name(arrays: Arrays) -> dict[str, float]:
    """Weight of each statistic of a `FittedLinear`, from its `arrays`."""
    return dict(zip(arrays["names"].tolist(), arrays["weights"].tolist(), strict=True))


def public_direction(inputs: PublicInputs) -> tuple[Floats, float]:
    """Weights (d) and intercept of the rule that sums the signed columns, with its threshold half-way."""
    return inputs.sign, -inputs.midpoint * float(np.abs(inputs.sign).sum())


def sigmoid(log_odds: Floats) -> Floats:
    """Logistic function, from log odds to probabilities.

    Examples:
        >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
        array([0. , 0.5, 1. ])
    """
    # By tanh: exp(-log_odds) overflows for large negative log odds.
    return np.asarray((1 + np.tanh(log_odds / 2)) / 2)
