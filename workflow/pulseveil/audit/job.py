"""What the audit of a detector is told; the plan reads this, so that it imports no statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulseveil import randomness
from pulseveil.audit.settings import AuditSettings
from pulseveil.jobs import Job
from pulseveil.protocols import Fold
from pulseveil.randomness import Stream
from pulseveil.study import Epsilon


class AuditJob(Job):
    """Audit one detector on all people of a cohort; `audits` is how many verdicts of the study can fail."""

    cohort: str
    detector: str
    kind: str
    settings: Mapping[str, Any]
    epsilon_detector: Epsilon
    subjects: tuple[str, ...]
    audit: AuditSettings
    audits: int

    def keys(self) -> dict[str, Any]:
        """The columns that name the audited model in a table."""
        return {
            "cohort": self.cohort,
            "detector": self.detector,
            "unit": self.unit,
            "epsilon_detector": self.epsilon_detector,
        }

    def stream(self) -> Stream:
        """The stream of all trainings of this audit."""
        names = (self.cohort, self.detector, self.unit, self.epsilon_detector)
        return randomness.child(randomness.root_stream(self.root_seed), "audit", *names)

    def fold(self, *, with_canaries: bool) -> Fold:
        """Whom the plan takes a training to see: everybody, and the canaries beside them.

        A record that is left out contributes zero; the public number of records stays.
        """
        extra = self.audit.made_up_people(self.unit) if with_canaries else 0
        canaries = tuple(f"canary {i}" for i in range(extra))
        return Fold(name="audit", train_subjects=(*self.subjects, *canaries), test_subjects=())
