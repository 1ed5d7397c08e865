"""What the audit of one model is told; the plan reads this, so that it imports no statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pulseveil import randomness
from pulseveil.audit.settings import AuditSettings, Part
from pulseveil.jobs import Job
from pulseveil.privacy.budget import Budget
from pulseveil.protocols import Fold
from pulseveil.randomness import Stream
from pulseveil.study import Epsilon


class AuditJob(Job):
    """Audit one part of a cell on all people of a cohort.

    `kind` and `settings` are those of the audited model, `audits` is how many verdicts of the study can fail.
    `synthetic_subjects`: how many an audited generator releases, or an audited detector learns from.
    """

    part: ClassVar[Part]
    cohort: str
    generator: str
    detector: str
    kind: str
    settings: Mapping[str, Any]
    epsilon_detector: Epsilon
    subjects: tuple[str, ...]
    synthetic_subjects: int
    audit: AuditSettings
    audits: int

    @property
    def model(self) -> str:
        """The name of the audited model."""
        return self.generator if self.part == "generator" else self.detector

    @property
    def epsilon(self) -> float:
        """The epsilon that the audited part claims."""
        return self.epsilon_generator if self.part == "generator" else self.epsilon_detector

    def keys(self) -> dict[str, Any]:
        """The columns that name the audited model in a table."""
        return {
            "cohort": self.cohort,
            "part": self.part,
            "generator": self.generator,
            "detector": self.detector,
            "unit": self.unit,
            "epsilon_generator": self.epsilon_generator,
            "epsilon_detector": self.epsilon_detector,
        }

    def stream(self) -> Stream:
        """The stream of all trainings of this audit."""
        return randomness.child(randomness.root_stream(self.root_seed), "audit", *self.keys().values())

    def fold(self, *, with_canaries: bool) -> Fold:
        """Whom the plan takes a training to see: everybody, and the canaries beside them.

        A record that is left out contributes zero; the public number of records stays.
        """
        extra = self.audit.made_up_people(self.unit) if with_canaries else 0
        canaries = tuple(f"canary {i}" for i in range(extra))
        return Fold(name="audit", train_subjects=(*self.subjects, *canaries), test_subjects=())

    def budgets(self) -> tuple[Budget, Budget]:
        """The budget that is claimed, and the one of trainings that have room for canaries."""
        plain, wider = (self.budget(self.epsilon, self.fold(with_canaries=flag)) for flag in (False, True))
        return plain, wider


class GeneratorAuditJob(AuditJob):
    """Audit a generator of `classes` conditions by releases of `synthetic_subjects`."""

    part: ClassVar[Part] = "generator"
    classes: int


class DetectorAuditJob(AuditJob):
    """Audit a detector of real windows, beside synthetic ones of `generator_fold` unless that is empty."""

    part: ClassVar[Part] = "detector"
    generator_fold: str = ""
