"""What the summary must know of a study beyond its scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from pulseveil.detectors import COMPARED, MODEL, Role
from pulseveil.privacy.statement import Setting, Unbudgeted
from pulseveil.protocols import Train
from pulseveil.settings import Settings


class CohortDescription(Settings):
    """A cohort: its kind, its size, and one row a subject of what was found and mended.

    `published`: its recordings are those of the published study.
    """

    kind: str
    subjects: int
    published: bool = False
    summary: tuple[Mapping[str, Any], ...] = ()


class ModelDescription(Settings):
    """A generator or detector: its kind, its title for readers, and the colour of its kind, if any."""

    kind: str
    title: str
    colour: str | None = None


class DetectorDescription(ModelDescription):
    """A detector, and whether it is a model or which of the rules."""

    role: Role


class EvaluationDescription(Settings):
    """An evaluation: who trains, who is tested, and the published scenario that it repeats, if any.

    `test`: the name of its protocol; `tested_on`: the protocol's title, which says who is tested.
    """

    cohort: str
    test_cohort: str | None = None
    train: Train
    test: str
    tested_on: str
    generator_shared: bool
    published: str | None = None

    @property
    def tested_cohort(self) -> str:
        """The cohort whose subjects are tested."""
        return self.test_cohort or self.cohort

    @property
    def generator_saw_test_subject(self) -> bool:
        """Whether the generator learned from the subjects that its detectors are tested on."""
        return self.train != "real" and self.generator_shared and self.tested_cohort == self.cohort


class StageDescription(Settings):
    """One line of the printed plan: what a stage was expected to take."""

    stage: str
    runs: int
    jobs: int
    cpu_hours: float
    gpu_jobs: int = 0
    gpu_hours: float = 0.0


class StudyDescription(Settings):
    """A study as its summary shows it."""

    study: str
    protocol: Literal["paper", "sound"]
    channels: str
    scaling: str
    cohorts: Mapping[str, CohortDescription] = Field(min_length=1)
    evaluations: Mapping[str, EvaluationDescription] = Field(min_length=1)
    generators: Mapping[str, ModelDescription] = {}
    detectors: Mapping[str, DetectorDescription] = Field(min_length=1)
    seeds: int
    note: str = ""
    plan: Mapping[str, Any] = {}
    stages: tuple[StageDescription, ...] = ()
    gpu_speedup: float = 1.0
    quality: tuple[str, ...] = ()
    portraits: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    audits: tuple[str, ...] = ()
    privacy: Setting = Setting()
    unbudgeted: tuple[Unbudgeted, ...] = ()

    def generator_title(self, name: str) -> str:
        """The reader's name of a generator; empty where none is used."""
        return self.generators[name].title if name in self.generators else ""

    def detector_title(self, name: str) -> str:
        """The reader's name of a detector."""
        return self.detectors[name].title

    @property
    def rules(self) -> tuple[str, ...]:
        """The detectors that are rules: those with a column of their own first, each kind in study order."""
        rules = [name for name, detector in self.detectors.items() if detector.role != MODEL]
        order = {role: i for i, role in enumerate(COMPARED)}
        return tuple(sorted(rules, key=lambda name: order.get(self.detectors[name].role, len(order))))

    def rule(self, role: Role, detectors: Iterable[str]) -> str | None:
        """The rule of a role among `detectors`: of several the one that the study names first."""
        present = set(detectors)
        return next((n for n in self.rules if n in present and self.detectors[n].role == role), None)

    def repeats_published(self, evaluation: str) -> str | None:
        """The published scenario that an evaluation repeats: same data, same pre-processing; else None."""
        described = self.evaluations[evaluation]
        same_data = self.protocol == "paper" and self.cohorts[described.tested_cohort].published
        return described.published if same_data else None
