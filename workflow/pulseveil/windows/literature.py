"""Public scales and signs of window statistics, from the literature.

A private training may use no value of the data without noise. It may use what was known before: the scales on
which statistics of a window vary, and the direction in which stress moves them, which cost no epsilon. Signs
and scales come from the sources and were never estimated from class differences of a recording.

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

from collections.abc import Mapping
from dataclasses import dataclass

from pulseveil.core.errors import InputError


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
