"""What the summary must know of a study beyond its scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from pulseveil.config_errors import explain
from pulseveil.errors import InputError
from pulseveil.settings import Settings


class CohortDescription(Settings):
    """A cohort: its kind, its size, and one row a subject of what was found and mended."""

    kind: str
    subjects: int
    summary: tuple[Mapping[str, Any], ...] = ()


class EvaluationDescription(Settings):
    """An evaluation: who trains, who is tested, and the published scenario that it repeats, if any."""

    cohort: str
    test_cohort: str | None = None
    train: Literal["real", "synthetic", "real+synthetic"]
    test: Literal["loso", "order_crossed", "transfer"]
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


class StudyDescription(Settings):
    """A study as its summary shows it."""

    study: str
    protocol: Literal["paper", "sound"]
    channels: str
    scaling: str
    cohorts: Mapping[str, CohortDescription] = Field(min_length=1)
    evaluations: Mapping[str, EvaluationDescription] = Field(min_length=1)
    seeds: int
    plan: Mapping[str, Any] = {}
    quality: tuple[str, ...] = ()

    def repeats_published(self, evaluation: str) -> str | None:
        """The published scenario that an evaluation repeats: same data, same pre-processing; else None."""
        described = self.evaluations[evaluation]
        same_data = self.protocol == "paper" and self.cohorts[described.tested_cohort].kind == "wesad"
        return described.published if same_data else None


def read_description(path: Path) -> StudyDescription:
    """Read and check a description; raises InputError with file, key and what was expected."""
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the workflow writes it beside the scores") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path} line {error.lineno}: not valid JSON ({error.msg}); write it anew") from None
    try:
        description = StudyDescription.model_validate(values)
    except ValidationError as error:
        raise InputError(explain(error, StudyDescription, values, str(path))) from None
    for name, evaluation in description.evaluations.items():
        for cohort in {evaluation.cohort, evaluation.tested_cohort} - set(description.cohorts):
            known = ", ".join(description.cohorts)
            raise InputError(f"{path}: evaluations.{name}: expected a cohort of {known}; found {cohort!r}")
    return description
