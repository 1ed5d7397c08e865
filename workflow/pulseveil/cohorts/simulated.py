"""Simulated cohort: any number of subjects with rest, stress and amusement, without recordings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from pulseveil.cohorts import Cohort, CohortSettings, Labelled, Origin
from pulseveil.core import limits
from pulseveil.core.contracts import CONDITIONS, Recording
from pulseveil.core.randomness import child, root_stream

# S4, S11, S18, ...: every 7th subject. 7 is odd, so that non-responders alternate between the two orders.
NON_RESPONDER_EVERY, NON_RESPONDER_FIRST = 7, 4


class SimulatedSettings(CohortSettings):
    """Keys of a simulated cohort: number of subjects, seed, and seconds of each condition."""

    kind: Literal["simulated"] = "simulated"
    subjects: int = Field(default=12, ge=1, le=limits.PEOPLE, description="number of subjects, S1, S2, ...")
    seed: int = Field(default=1, ge=0, description="seed of the cohort; another seed gives other subjects")
    baseline_s: int = Field(default=600, ge=60, le=7200, description="seconds of rest")
    stress_s: int = Field(default=360, ge=60, le=7200, description="seconds of stress")
    amusement_s: int = Field(default=300, ge=60, le=7200, description="seconds of amusement")


class Simulated(Cohort, Labelled):
    """Subjects of a physiological simulator; every second subject has amusement before stress.

    A subject depends only on the seed, its own number and the seconds of the conditions: S3 is the same in a
    cohort of 3 and of 300.

    Examples:
        >>> cohort = Simulated(SimulatedSettings(subjects=2))
        >>> cohort.outline()
        {'S1': ('baseline', 'stress', 'amusement'), 'S2': ('baseline', 'amusement', 'stress')}
        >>> recording = next(cohort.recordings())
        >>> recording.subject, recording.signals["BVP"].rate_hz
        ('S1', 64.0)
    """

    Settings: ClassVar[type[CohortSettings]] = SimulatedSettings
    version: ClassVar[int] = 1
    origin: ClassVar[Origin] = Origin(
        source="people of a physiological simulator (pulseveil.cohorts.simulator): nobody was recorded",
        citation="PulseVeil, CITATION.cff",
        terms="None: no recording was used. This is a rehearsal and says nothing about any person.",
        license="MIT",
        simulated=True,
    )

    def __init__(self, settings: CohortSettings) -> None:
        assert isinstance(settings, SimulatedSettings)
        self._settings = settings

    def outline(self) -> Mapping[str, tuple[str, ...]]:
        """Subjects S1, S2, ..., each with its conditions in order of time."""
        return {f"S{number}": _order(number) for number in range(1, self._settings.subjects + 1)}

    def longest_s(self) -> Mapping[bool, float]:
        """Seconds of the conditions in the settings."""
        settings = self._settings
        return {True: settings.stress_s, False: max(settings.baseline_s, settings.amusement_s)}

    def sources(self) -> tuple[Path, ...]:
        """No files: the settings determine every recording."""
        return ()

    def recordings(self) -> Iterator[Recording]:
        """Recordings in the order of `outline`, simulated one at a time."""
        # Not at the top: the simulator imports scipy.signal, which is slow and which plans do not need.
        from pulseveil.cohorts.simulator import simulate_recording

        settings = self._settings
        seconds = dict(
            zip(CONDITIONS, (settings.baseline_s, settings.stress_s, settings.amusement_s), strict=True)
        )
        root = child(root_stream(settings.seed), "cohort", "simulated")
        for number, (subject, order) in enumerate(self.outline().items(), start=1):
            timetable = tuple((condition, seconds[condition]) for condition in order)
            responder = number % NON_RESPONDER_EVERY != NON_RESPONDER_FIRST
            yield simulate_recording(subject, timetable, responder=responder, stream=child(root, subject))


def _order(number: int) -> tuple[str, ...]:
    return ("baseline", "stress", "amusement") if number % 2 else ("baseline", "amusement", "stress")
