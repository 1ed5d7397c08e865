"""A study's description for the summary, from its plan and from what the cohort jobs reported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulseveil import costs, paths, store
from pulseveil.plan import Plan
from pulseveil.summary.description import CohortDescription, EvaluationDescription, StudyDescription


def describe(plan: Plan, folder: Path) -> StudyDescription:
    """The description of a finished study whose results lie under `folder`/results."""
    study = plan.study
    lines = costs.lines(plan)
    return StudyDescription(
        study=study.name,
        protocol=study.protocol,
        channels=study.channels,
        scaling=study.scaling,
        cohorts={name: _cohort(plan, name, folder) for name in study.cohorts},
        evaluations={
            e.name: EvaluationDescription(
                cohort=e.cohort,
                test_cohort=e.test_cohort,
                train=e.train,
                test=e.test,
                generator_shared=study.generator_shared,
                published=e.published,
            )
            for e in study.evaluations
        },
        seeds=study.seeds,
        plan={"runs": sum(line.runs for line in lines), "jobs": sum(line.jobs for line in lines)},
        quality=tuple(str(folder / path) for path in plan.generator_paths(paths.QUALITY)),
    )


def _cohort(plan: Plan, name: str, folder: Path) -> CohortDescription:
    windows = folder / paths.WINDOWS.format(study=plan.study.name, cohort=name, windows="detector")
    sidecar: Mapping[str, Any] = json.loads(store.sidecar_path(windows).read_text())
    return CohortDescription(
        kind=plan.study.cohort_settings[name].kind,
        subjects=len(plan.outlines[name]),
        summary=tuple(sidecar["cohort"]),
    )
