"""Public scales and signs of window statistics, from the literature, and the linear model that reads them.

A private training may use no value of the data without noise. It reads the columns below, squashed with
public scales, and may use the signs as prior knowledge, which costs no epsilon. Signs and scales come from
the sources and were never estimated from class differences of a recording.

Signs of the response to acute mental stress:
- skin conductance: level, rise and responses up. Boucsein, Electrodermal Activity, 2012, chapter 3; Dawson,
  Schell, Filion, Handbook of Psychophysiology, 2007: 1 to 3 spontaneous responses per minute at rest, more
  than 20 under high arousal.
- heart rate up, by some 15 to 25 beats/min in the Trier test: Kirschbaum, Pirke, Hellhammer,
  Neuropsychobiology 28 (1993) 76.
- pulse amplitude down, because the vessels of the skin constrict: Iani, Gopher, Lavie, Psychophysiology 41
  (2004) 789.
- skin temperature of the hand and its slope down, for the same reason: Vinkers et al., Stress 16 (2013) 520.
- movement: no sign, because the arm follows the task (speaking, writing, lying still) and not stress.

Left out: BVP at 1 Hz, which holds no pulse wave; single acceleration axes, which mix posture with movement;
and the variation of heart rate within a minute, which falls with vagal tone and rises with speech.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.contracts import FeatureSet
from pulseveil.core.errors import InputError
from pulseveil.detectors import Outputs
from pulseveil.privacy.ledger import Entry
from pulseveil.windows.features import select_columns

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PublicColumn:
    """Public knowledge of one window statistic, in the statistic's unit (`features.STATISTICS`).

    centre: the neutral value. scale: a change that matters. sign: 1 where
    stress raises the statistic, -1 where stress lowers it, 0 where the effect is unknown.
    """

    centre: float
    scale: float
    sign: int


# Scaling `calibration`: the change from the person's own rest in the units of `scaling.CHANNEL_SCALES` (10
# beats/min, half a log unit of pulse amplitude, one log unit of conductance, 0.3 uS of its phasic part, 1 C).
# Means: one unit matters. Slopes: 0.1 units per minute are one unit in a task of ten minutes. SDs within a
# minute: the centre is 5 % of the conductance (a few responses of 0.05 uS on 1 uS) or 0.04 uS of its phasic
# part, and a factor of e matters.
_ELECTRODERMAL_LEVEL = {
    "mean": PublicColumn(0.0, 1.0, 1),
    "log_sd": PublicColumn(-3.0, 1.0, 1),
    "slope": PublicColumn(0.0, 0.1, 1),
}
_TEMPERATURE = {"mean": PublicColumn(0.0, 1.0, -1), "slope": PublicColumn(0.0, 0.1, -1)}
# Scaling `min-max`: shares of the range of the person's recording. Means: the middle says nothing, a quarter
# matters. Slopes: 0.1 per minute crosses the range in a task of ten minutes. SDs: 5 % is much for one minute.
_SHARE_UP = {
    "mean": PublicColumn(0.5, 0.25, 1),
    "log_sd": PublicColumn(-3.0, 1.0, 1),
    "slope": PublicColumn(0.0, 0.1, 1),
}
_SHARE_DOWN = {"mean": PublicColumn(0.5, 0.25, -1), "slope": PublicColumn(0.0, 0.1, -1)}

_BY_CHANNEL: Mapping[str, Mapping[str, Mapping[str, PublicColumn]]] = {
    "calibration": {
        "heart_rate": {"mean": PublicColumn(0.0, 1.0, 1)},
        "pulse_amplitude": {"mean": PublicColumn(0.0, 1.0, -1)},
        "eda_level": _ELECTRODERMAL_LEVEL,
        "eda_phasic": {"log_sd": PublicColumn(-2.0, 1.0, 1)},
        "temperature": _TEMPERATURE,
        "activity": {"mean": PublicColumn(0.0, 1.0, 0)},
        "EDA": _ELECTRODERMAL_LEVEL,
        "TEMP": _TEMPERATURE,
    },
    "min-max": {
        "heart_rate": {"mean": _SHARE_UP["mean"]},
        "pulse_amplitude": {"mean": _SHARE_DOWN["mean"]},
        "eda_level": _SHARE_UP,
        "eda_phasic": {"log_sd": _SHARE_UP["log_sd"]},
        "temperature": _SHARE_DOWN,
        "activity": {"mean": PublicColumn(0.5, 0.25, 0)},
        "EDA": _SHARE_UP,
        "TEMP": _SHARE_DOWN,
    },
}
COLUMNS: Mapping[str, Mapping[str, PublicColumn]] = {
    scaling: {
        f"{channel}_{name}": column for channel, known in channels.items() for name, column in known.items()
    }
    for scaling, channels in _BY_CHANNEL.items()
}
# Under `calibration` rest is 0, and stress moves a squashed column by about 0.3 along its sign: the boundary
# lies half-way. Under `min-max` the boundary is the centre.
MIDPOINT: Mapping[str, float] = {"calibration": 0.15, "min-max": 0.0}


@dataclass(frozen=True, eq=False)
class PublicInputs:
    """Columns of a private training with their public scales and signs.

    names (d). centre, scale, sign (d) float64. midpoint: the squashed value half-way between rest and stress,
    along the signs.
    """

    names: tuple[str, ...]
    centre: Array
    scale: Array
    sign: Array
    midpoint: float

    def read(self, features: FeatureSet) -> Array:
        """Squashed columns (n, d) in -1..1: tanh((x - centre) / (2 scale)); NaN where a statistic is NaN."""
        columns = [features.statistic_names.index(name) for name in self.names]
        values = features.statistics[:, columns].astype(np.float64)
        # Squashed, not standardised: means and SDs of the training rows would be un-noised private values.
        return np.tanh((values - self.centre) / (2 * self.scale))


def require_known(scaling: str) -> None:
    """Check that public scales exist for windows with `scaling`.

    Raises:
        InputError: they do not.
    """
    if scaling not in COLUMNS:
        raise InputError(
            f"scaling {scaling}: no public scales are known for these units; "
            f"private trainings and public_signs take scaling {' or '.join(COLUMNS)}"
        )


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
    weights: Array
    intercept: float
    ledger: tuple[Entry, ...] = ()

    def score(self, features: FeatureSet) -> Outputs:
        """Outputs for each row of `features`."""
        return Outputs.from_probability(sigmoid(self.inputs.read(features) @ self.weights + self.intercept))


def public_direction(inputs: PublicInputs) -> tuple[Array, float]:
    """Weights (d) and intercept of the rule that sums the signed columns, with its threshold half-way."""
    return inputs.sign, -inputs.midpoint * float(np.abs(inputs.sign).sum())


def sigmoid(log_odds: Array) -> Array:
    """Logistic function, from log odds to probabilities.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    # By tanh: exp(-log_odds) overflows for large negative log odds.
    return np.asarray((1 + np.tanh(log_odds / 2)) / 2)
