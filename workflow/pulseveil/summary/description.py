"""What the summary must know of a study beyond its scores, and what its results' files are.

It comes from the study's plan and from what the cohort jobs reported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pulseveil.cohorts import origin_of
from pulseveil.core import paths, registry, store
from pulseveil.core.errors import InputError
from pulseveil.core.settings import Preprocessing, Settings
from pulseveil.detectors import COMPARED, MODEL, Role
from pulseveil.evaluation.protocols import Train
from pulseveil.privacy.statement import Setting, Unbudgeted
from pulseveil.study import costs, spending
from pulseveil.study.plan import Plan
from pulseveil.study.study import Model
from pulseveil.study.tasks import files, portraits
from pulseveil.windows import reach


class CohortDescription(Settings):
    """A cohort: its kind, its size, and one row a subject of what was found and mended.

    `published`: its recordings are those of the published study.
    """

    kind: str
    subjects: int
    published: bool = False
    summary: tuple[Mapping[str, Any], ...] = ()


class ModelDescription(Settings):
    """A generator or detector: its kind, its title for readers, and the colour of its kind, if any.

    private_differences: what its private training changes beside clipping and noise.
    """

    kind: str
    title: str
    colour: str | None = None
    private_differences: tuple[str, ...] = ()


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
    protocol: Preprocessing
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
        quality=tuple(str(folder / path) for path in files(plan, "assess_quality")),
        portraits=tuple(str(folder / path) for path in portraits(plan)),
        models=tuple(str(folder / path) for path in files(plan, "train_generator")),
        audits=tuple(
            str(folder / path) for part in ("generator", "detector") for path in files(plan, f"audit_{part}")
        ),
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
    """The values of a `ModelDescription`; the title of a model not named like its kind has both names."""
    kind = registry.load(group, model.kind)
    title = kind.title if model.name == model.kind else f"{model.name} ({kind.title})"
    return {
        "kind": model.kind,
        "title": title,
        "colour": kind.colour,
        "private_differences": kind.private_differences,
    }


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


DESCRIPTIONS: Mapping[str, str] = {
    "report.html": "The report: plan, tables, figures, privacy, cohorts and versions on one page.",
    "reproduction.html": "Each published value beside ours, with a verdict and its reason.",
    "tables/main.csv": "Main table: one row a cell, all metrics with intervals over subjects.",
    "tables/columns.json": "Data dictionary: title, unit and meaning of each column of all tables.",
    "tables/per_subject.csv": "Metrics of each tested subject and seed.",
    "tables/differences.csv": "Paired differences to the rules and to other models.",
    "tables/quality.csv": "How like the real windows the synthetic ones are.",
    "tables/spending.csv": "What one person has spent if everything is published.",
    "tables/audit.csv": "Attacks with their lower bounds and ceilings.",
    "tables/reproduction.csv": "The rows of reproduction.html.",
    "ledger.json": "One entry for each noised mechanism, with the steps that the program counted.",
    "statement.txt": "What is protected, from whom, at which unit, and what is not, in plain English.",
    "study.json": "All settings of the study, without the locations of its recordings.",
    "hours.csv": "The planned CPU hours beside the measured ones.",
    "ro-crate-metadata.json": "This list for machines (RO-Crate 1.1): all files with size and sha256, what "
    "made them, and from what.",
}
