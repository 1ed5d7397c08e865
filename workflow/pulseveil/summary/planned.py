"""A study's description for the summary, from its plan and from what the cohort jobs reported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pulseveil import audit_plan, costs, paths, reach, registry, spending, store
from pulseveil.cohorts import origin_of
from pulseveil.errors import InputError
from pulseveil.plan import Plan
from pulseveil.privacy.statement import Setting
from pulseveil.study import Model
from pulseveil.summary.description import (
    CohortDescription,
    DetectorDescription,
    EvaluationDescription,
    ModelDescription,
    StageDescription,
    StudyDescription,
)


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
                tested_on=registry.load("protocols", e.test).title,
                generator_shared=study.generator_shared,
                published=e.published,
            )
            for e in study.evaluations
        },
        generators={
            model.name: ModelDescription(**_model("generators", model)) for model in study.generators
        },
        detectors={
            model.name: DetectorDescription(
                **_model("detectors", model), role=registry.load("detectors", model.kind).role
            )
            for model in study.detectors
        },
        seeds=study.seeds,
        note=study.note,
        plan={"runs": sum(line.runs for line in lines), "jobs": sum(line.jobs for line in lines)},
        stages=tuple(
            StageDescription(
                stage=line.stage,
                runs=line.runs,
                jobs=line.jobs,
                cpu_hours=line.cpu_hours,
                gpu_jobs=line.gpu_jobs,
                gpu_hours=line.gpu_hours,
            )
            for line in lines
        ),
        gpu_speedup=study.resources.gpu_speedup,
        quality=tuple(str(folder / path) for path in plan.quality_paths()),
        portraits=tuple(str(folder / path) for path in plan.portrait_paths()),
        models=tuple(str(folder / path) for path in plan.generator_paths(paths.MODELS)),
        audits=tuple(str(folder / path) for path in audit_plan.audit_paths(plan)),
        privacy=spending.setting(study),
        unbudgeted=spending.unbudgeted(plan),
    )


def read_setting(path: Path) -> Setting:
    """The setting in the study.json of a finished study; raises InputError where the file is none."""
    try:
        values = json.loads(path.read_text())
        strides = values["stride_s"]
        return Setting(
            window_s=int(values["window_s"]),
            strides_s=(int(strides["generator"]), int(strides["detector"])),
            labelled_s=int(values["public"]["labelled_s"]),
            reach_s=reach.reach_s(values["protocol"], values["channels"], values["scaling"]),
            scaling=values["scaling"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not the settings of a study ({error!r}); rerun summarize") from None


def _model(group: Literal["generators", "detectors"], model: Model) -> dict[str, Any]:
    """Kind, title and colour; a model that is not named like its kind shows both names."""
    kind = registry.load(group, model.kind)
    title = kind.title if model.name == model.kind else f"{model.name} ({kind.title})"
    return {"kind": model.kind, "title": title, "colour": kind.colour}


def _cohort(plan: Plan, name: str, folder: Path) -> CohortDescription:
    """A cohort and, unless its study is private, what was read of each person: such counts have no noise."""
    kind = plan.study.cohort_settings[name].kind
    windows = folder / paths.WINDOWS.format(study=plan.study.name, cohort=name, windows="detector")
    sidecar: Mapping[str, Any] = json.loads(store.sidecar_path(windows).read_text())
    return CohortDescription(
        kind=kind,
        published=origin_of(kind).published,
        subjects=len(plan.outlines[name]),
        summary=() if plan.is_private else tuple(sidecar["cohort"]),
    )
