"""What the literature says of window statistics before any recording is looked at: scales and signs.

Private trainings may use nothing of the data that is not noised. They read the columns below, squashed by
public round numbers, and may lean on the signs, which cost no epsilon. Signs and numbers were written down
from the sources, not from class differences of any recording.

Signs of the response to acute mental stress:
- skin conductance: level, rise and responses up. Boucsein, Electrodermal Activity, 2012, chapter 3; Dawson,
  Schell, Filion, Handbook of Psychophysiology, 2007: 1 to 3 spontaneous responses a minute at rest, above 20
  when highly aroused.
- heart rate up, by some 15 to 25 beats/min in the Trier test: Kirschbaum, Pirke, Hellhammer,
  Neuropsychobiology 28 (1993) 76.
- pulse amplitude down, by constriction of the skin's vessels: Iani, Gopher, Lavie, Psychophysiology 41
  (2004) 789.
- skin temperature of the hand and its slope down, for the same reason: Vinkers et al., Stress 16 (2013) 520.
- movement: no sign. What the arm does is the task's doing (speaking, writing, lying still), not stress.

Left out by argument: a BVP or acceleration axis at 1 Hz, which holds no pulse wave and mixes posture with
movement, and the variation of heart rate inside a minute, which falls with vagal tone and rises with speech.

A linear model of squashed window statistics: what all private training of few dimensions ends in.
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
    """A statistic as the literature knows it, in its own unit: `features.STATISTICS`.

    centre: a value that speaks neither for stress nor for rest; scale: a change that matters; sign: 1 where
    stress raises it, -1 where stress lowers it, 0 where nobody knows.
    """

    centre: float
    scale: float
    sign: int


# Change against the person's own rest in the units of `scaling.CHANNEL_SCALES` (10 beats/min, half a log
# unit of pulse amplitude, a log unit of conductance, 0.3 uS of its phasic part, 1 C). One unit matters.
# Slopes: a tenth of a unit a minute is a unit in a task of ten minutes. SDs inside a minute: 5 % of the
# conductance (a few responses of 0.05 uS on 1 uS), 0.04 uS of its phasic part; a factor of e matters.
_ELECTRODERMAL_LEVEL = {
    "mean": PublicColumn(0.0, 1.0, 1),
    "log_sd": PublicColumn(-3.0, 1.0, 1),
    "slope": PublicColumn(0.0, 0.1, 1),
}
_TEMPERATURE = {"mean": PublicColumn(0.0, 1.0, -1), "slope": PublicColumn(0.0, 0.1, -1)}
# Shares of the range of the person's own recording: the middle says nothing, a quarter matters, a tenth a
# minute crosses the range in a task of ten minutes, and 5 % is much for one minute.
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
# Where rest is 0, stress moves a squashed column by about 0.3 in its direction: the border lies half-way. In
# shares of the own range the border is the centre itself.
MIDPOINT: Mapping[str, float] = {"calibration": 0.15, "min-max": 0.0}


@dataclass(frozen=True, eq=False)
class PublicInputs:
    """The columns that a private training reads, and what is known of them.

    names (d); centre, scale, sign (d). Along the signs, `midpoint` is the squashed value between rest and
    stress.
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
        return np.tanh((values - self.centre) / (2 * self.scale))


def require_known(scaling: str) -> None:
    """Raises InputError where nothing is publicly known of windows in the units of `scaling`."""
    if scaling not in COLUMNS:
        raise InputError(
            f"scaling {scaling}: nothing is publicly known of windows in these units; "
            f"private trainings and public signs take scaling {' or '.join(COLUMNS)}"
        )


def public_inputs(features: FeatureSet, wanted: Sequence[str]) -> PublicInputs:
    """The `wanted` statistics of `features` of which something is known in the units of their scaling.

    Raises InputError where nothing is.
    """
    require_known(features.scaling)
    known = COLUMNS[features.scaling]
    indices = select_columns(features.statistic_names, wanted).tolist()
    names = tuple(name for i in indices if (name := features.statistic_names[i]) in known)
    if not names:
        raise InputError(
            f"statistics: nothing is publicly known of {', '.join(wanted)}; "
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
