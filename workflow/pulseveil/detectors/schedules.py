"""When the conditions of a study take place, as its protocol says: what a clock knows without any data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Study = Literal["wesad", "simulated"]


@dataclass(frozen=True)
class Stage:
    """One condition from `start` to `end`, in minutes since the start of the baseline."""

    stress: bool
    start: float
    end: float


@dataclass(frozen=True)
class Schedule:
    """The equally likely versions of a protocol, and by how many minutes (SD) real times miss it."""

    versions: tuple[tuple[Stage, ...], ...]
    spread: float

    def stress_share(self) -> float:
        """The share of stress in the minutes of all conditions."""
        stages = [stage for version in self.versions for stage in version]
        minutes = sum(stage.end - stage.start for stage in stages)
        return sum(stage.end - stage.start for stage in stages if stage.stress) / minutes

    def stress_probability(self, minutes: Array) -> Array:
        """Probability of stress (n) at `minutes` (n), if one of the conditions takes place then.

        Times before the first or after the last condition count as its edge.
        """
        # Plans import this module; scipy is slow to import.
        from scipy.special import ndtr

        stages = [stage for version in self.versions for stage in version]
        time = np.clip(minutes, min(s.start for s in stages), max(s.end for s in stages))[:, np.newaxis]
        start, end = (np.array([getattr(stage, edge) for stage in stages]) for edge in ("start", "end"))
        likely = ndtr((time - start) / self.spread) - ndtr((time - end) / self.spread)
        stress = np.array([stage.stress for stage in stages])
        return np.asarray(likely[:, stress].sum(axis=1) / likely.sum(axis=1))


def both_orders(
    baseline: float, stress: float, amusement: float, *, pauses: tuple[float, float], spread: float
) -> Schedule:
    """Baseline, then stress and amusement in either order; minutes, with `pauses` before each of the two."""
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
    # Schmidt et al., Introducing WESAD, ICMI, October 2018: about 20 minutes of baseline, about 10 of the
    # Trier test and 392 s of clips, either of the two first, and 7 minutes of meditation after the first.
    # Briefings and questionnaires come on top; the spread makes room for them.
    "wesad": both_orders(20.0, 10.0, 392 / 60, pauses=(0.0, 7.0), spread=3.0),
    # The defaults of `cohorts.simulated`, with pauses of 60 to 120 s.
    "simulated": both_orders(10.0, 6.0, 5.0, pauses=(1.5, 1.5), spread=0.5),
}
