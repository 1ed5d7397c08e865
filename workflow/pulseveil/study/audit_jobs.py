"""Jobs that audit: of generators, of detectors, and of noised windows.

They are defined here and not in `audit`, because plans read them and must import no statistics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from pulseveil.core import identity, randomness
from pulseveil.core.identity import number_label
from pulseveil.core.randomness import Stream
from pulseveil.evaluation.protocols import Fold, NoiseDistribution
from pulseveil.privacy.budget import Budget
from pulseveil.study.audit_settings import AuditSettings, Part
from pulseveil.study.jobs import Job, TrainingJob
from pulseveil.study.study import Epsilon


class AuditJob(TrainingJob):
    """Base of jobs that audit one part of a cell on all people of a cohort.

    kind, settings: those of the audited model.
    synthetic_subjects: subjects that an audited generator releases, or from which an audited detector learns.
    audits: number of verdicts in the study that can fail, which share one family-wise error rate.
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
        """Name of the audited model."""
        return self.generator if self.part == "generator" else self.detector

    @property
    def epsilon(self) -> float:
        """Claimed epsilon of the audited part."""
        return self.epsilon_generator if self.part == "generator" else self.epsilon_detector

    def keys(self) -> dict[str, Any]:
        """Columns that name the audited model in a table."""
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
        """Random stream of all trainings of this audit."""
        return randomness.child(randomness.root_stream(self.root_seed), "audit", *self.keys().values())

    def fold(self, *, with_canaries: bool) -> Fold:
        """Public fold of the trainings: all subjects and, with canaries, the people of the canaries."""
        # The public number of records stays when a record is left out: that record contributes zero.
        extra = self.audit.canary_people(self.unit) if with_canaries else 0
        canaries = tuple(f"canary {i}" for i in range(extra))
        return Fold(name="audit", train_subjects=(*self.subjects, *canaries), test_subjects=())

    def budgets(self) -> tuple[Budget, Budget]:
        """Claimed budget, and the budget of trainings with capacity for canaries."""
        plain, wider = (self.budget(self.epsilon, self.fold(with_canaries=flag)) for flag in (False, True))
        return plain, wider


class NoisedAuditJob(Job):
    """Job of linking the people of a cohort to their noised windows, once per scale of `noise`.

    subjects: the people of the cohort, in its order.
    """

    stage: ClassVar[int | None] = identity.AUDIT
    versions: tuple[int, ...] = (identity.AUDIT,)
    root_seed: int
    cohort: str
    evaluation: str
    subjects: tuple[str, ...]
    noise: tuple[float, ...]
    noise_distribution: NoiseDistribution

    def keys(self) -> dict[str, Any]:
        """Columns that name the attacked windows in a table; no model has learnt from them."""
        return {
            "cohort": self.cohort,
            "part": "noised",
            "generator": "none",
            "detector": "none",
            "unit": "none",
            "epsilon_generator": math.inf,
            "epsilon_detector": math.inf,
            "evaluation": self.evaluation,
        }

    def stream(self, scale: float) -> Stream:
        """Random stream of the noise of one scale."""
        return randomness.child(
            randomness.root_stream(self.root_seed), "audit", "noised", self.evaluation, number_label(scale)
        )


class GeneratorAuditJob(AuditJob):
    """Job of auditing a generator of `classes` conditions by releases of `synthetic_subjects`."""

    part: ClassVar[Part] = "generator"
    classes: int
    public_cohorts: tuple[str, ...] = ()


class DetectorAuditJob(AuditJob):
    """Job of auditing a detector that learns from real windows.

    generator_fold: the fold of the generator whose windows train too; empty for real windows alone.
    """

    part: ClassVar[Part] = "detector"
    generator_fold: str = ""
