"""Published schedules: when a study's conditions take place by its protocol, without any data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pulseveil.core.arrays import Floats

Study = Literal["wesad", "simulated"]


@dataclass(frozen=True)
class Stage:
    """One condition of a protocol, from `start` to `end` in minutes since the start of the baseline."""

    stress: bool
    start: float
    end: float


@dataclass(frozen=True)
class Schedule:
    """Equally likely versions of a protocol; `spread` is the SD in minutes of real times around it."""

    versions: tuple[tuple[Stage, ...], ...]
    spread: float

    def stress_share(self) -> float:
        """Share of stress in the minutes of all conditions."""
        stages = [stage for version in self.versions for stage in version]
        minutes = sum(stage.end - stage.start for stage in stages)
        return sum(stage.end - stage.start for stage in stages if stage.stress) / minutes

    def stress_probability(self, minutes: Floats) -> Floats:
        """Probability of stress (n) at `minutes` (n), given that some condition takes place then.

        A time before the first condition counts as its start, a time after the last one as its end.

        Examples:
            >>> probability = SCHEDULES["simulated"].stress_probability(np.array([5.0, 14.0]))
            >>> [round(float(value), 2) for value in probability]
            [0.0, 0.5]
        """
        # Plans import this module; scipy is slow to import.
        from scipy.special import ndtr

        stages = [stage for version in self.versions for stage in version]
        # Far outside all conditions every probability underflows, and their ratio would be 0 / 0.
        time = np.clip(minutes, min(s.start for s in stages), max(s.end for s in stages))[:, np.newaxis]
        start, end = (np.array([getattr(stage, edge) for stage in stages]) for edge in ("start", "end"))
        likely = ndtr((time - start) / self.spread) - ndtr((time - end) / self.spread)
        stress = np.array([stage.stress for stage in stages])
        return np.asarray(likely[:, stress].sum(axis=1) / likely.sum(axis=1))


def both_orders(
    baseline: float, stress: float, amusement: float, *, pauses: tuple[float, float], spread: float
) -> Schedule:
    """Schedule of baseline, then stress and amusement in either order; all times in minutes.

    pauses: before the first and before the second of the two.
    """
    first, second = (True, stress), (False, amusement)
    versions = []
    for order in ((first, second), (second, first)):
        stages, clock = [Stage(False, 0.0, baseline)], baseline
        for (is_stress, length), pause in zip(order, pauses, strict=True):
            stages.append(Stage(is_stress, clock + pause, clock + pause + length))
            clock += pause + length
        versions.append(tuple(stages))
    return Schedule(tuple(versions), spread)


SCHEDULES: Mapping[Study, Schedule] = {
    # Schmidt et al., Introducing WESAD, ICMI, October 2018: about 20 minutes of baseline, about 10 minutes of
    # the Trier test and 392 s of clips in either order, and 7 minutes of meditation after the first of the
    # two. Briefings and questionnaires take additional time, which the spread covers.
    "wesad": both_orders(20.0, 10.0, 392 / 60, pauses=(0.0, 7.0), spread=3.0),
    # The defaults of `cohorts.simulated`, with pauses of 60 to 120 s.
    "simulated": both_orders(10.0, 6.0, 5.0, pauses=(1.5, 1.5), spread=0.5),
}
