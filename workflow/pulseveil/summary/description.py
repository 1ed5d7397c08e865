"""Description of a study for its summary, and of the files of its results.

The description holds what scores do not: it comes from the study's plan and the reports of the cohort jobs.
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
from pulseveil.core.identity import number_label
from pulseveil.core.settings import Preprocessing, Settings
from pulseveil.detectors import BEFORE_TRAINING, COMPARED, LITERATURE, LITERATURE_THREE, MODEL, Role
from pulseveil.evaluation.protocols import NoiseDistribution, Train
from pulseveil.privacy.models import Setting
from pulseveil.privacy.statement import Unbudgeted
from pulseveil.study import costs, spending
from pulseveil.study.plan import Plan
from pulseveil.study.study import Model
from pulseveil.study.tasks import files, linear_detectors, portraits
from pulseveil.windows import reach


class CohortDescription(Settings):
    """A cohort: kind, number of subjects, and one row per subject with what was read and repaired.

    `published`: the published study used these recordings.
    """

    kind: str
    subjects: int
    published: bool = False
    summary: tuple[Mapping[str, Any], ...] = ()


class ModelDescription(Settings):
    """A generator or detector: kind, title for readers, and the colour of the kind, if it has one.

    private_differences: what a private training changes beside clipping and noise.
    """

    kind: str
    title: str
    colour: str | None = None
    private_differences: tuple[str, ...] = ()


class GeneratorDescription(ModelDescription):
    """A generator. learns: whether it reads windows of its training, instead of public knowledge alone.

    public_cohorts: cohorts whose windows it takes for public.
    """

    learns: bool = True
    public_cohorts: tuple[str, ...] = ()


class DetectorDescription(ModelDescription):
    """A detector with its role, a model or one of the rules, and the architecture of its network, if any.

    public_cohorts: cohorts whose features it takes for public.
    """

    role: Role
    architecture: str = ""
    public_cohorts: tuple[str, ...] = ()


class EvaluationDescription(Settings):
    """An evaluation: who trains, who is tested, and the published scenario, if it repeats one.

    `test`: name of its protocol. `tested_on`: title of the protocol, which says who is tested.
    """

    cohort: str
    test_cohort: str | None = None
    train: Train
    test: str
    tested_on: str
    generator_shared: bool
    published: str | None = None
    noise_distribution: NoiseDistribution = "laplace"

    @property
    def tested_cohort(self) -> str:
        """Name of the cohort whose subjects are tested."""
        return self.test_cohort or self.cohort

    @property
    def generator_saw_test_subject(self) -> bool:
        """Whether the generator was trained on the subjects that test its detectors."""
        # A shared generator learns from all of its cohort; another test cohort stays unseen.
        return self.train != "real" and self.generator_shared and self.tested_cohort == self.cohort


class StageDescription(Settings):
    """Expected runs, jobs and hours of a stage: one line of the printed plan."""

    stage: str
    runs: int
    jobs: int
    cpu_hours: float
    gpu_jobs: int = 0
    gpu_hours: float = 0.0


class StudyDescription(Settings):
    """All that the summary needs to know of a study besides its scores.

    shared: rows of `Plan.shared_cells`, the cells that an earlier evaluation trains.
    """

    study: str
    protocol: Preprocessing
    channels: str
    scaling: str
    cohorts: Mapping[str, CohortDescription] = Field(min_length=1)
    evaluations: Mapping[str, EvaluationDescription] = Field(min_length=1)
    generators: Mapping[str, GeneratorDescription] = {}
    detectors: Mapping[str, DetectorDescription] = Field(min_length=1)
    seeds: int
    note: str = ""
    table_columns: tuple[str, ...] = ()
    plan: Mapping[str, Any] = {}
    stages: tuple[StageDescription, ...] = ()
    gpu_speedup: float = 1.0
    quality: tuple[str, ...] = ()
    portraits: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    linear_detectors: tuple[str, ...] = ()
    audits: tuple[str, ...] = ()
    privacy: Setting = Setting()
    unbudgeted: tuple[Unbudgeted, ...] = ()
    unprotected_detectors: tuple[str, ...] = ()
    shared: tuple[Mapping[str, Any], ...] = ()

    def generator_title(self, name: str) -> str:
        """Title of a generator for readers; empty for "none"."""
        return self.generators[name].title if name in self.generators else ""

    def public_cohorts(self, generator: str, detector: str = "") -> str:
        """Names of the cohorts that a generator or a detector takes for public; empty for none."""
        of_generator = self.generators[generator].public_cohorts if generator in self.generators else ()
        of_detector = self.detectors[detector].public_cohorts if detector in self.detectors else ()
        return ", ".join(dict.fromkeys((*of_generator, *of_detector)))

    def detector_title(self, name: str) -> str:
        """Title of a detector for readers."""
        return self.detectors[name].title

    @property
    def rules(self) -> tuple[str, ...]:
        """Detectors that are rules: first the compared roles in table order, then others in study order."""
        rules = [name for name, detector in self.detectors.items() if detector.role != MODEL]
        order = {role: i for i, role in enumerate(COMPARED)}
        return tuple(sorted(rules, key=lambda name: order.get(self.detectors[name].role, len(order))))

    def rule(self, role: Role, detectors: Iterable[str]) -> str | None:
        """The rule of a role among `detectors`, or None; the study's first one if there are several."""
        present = set(detectors)
        return next((n for n in self.rules if n in present and self.detectors[n].role == role), None)

    def repeats_published(self, evaluation: str) -> str | None:
        """The published scenario that an evaluation repeats, or None.

        The study must have the published recordings and the published pre-processing.
        """
        described = self.evaluations[evaluation]
        same_data = self.protocol == "paper" and self.cohorts[described.tested_cohort].published
        return described.published if same_data else None


def describe(plan: Plan, folder: Path) -> StudyDescription:
    """Description of a finished study whose results lie under `folder`/results."""
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
                noise_distribution=e.noise_distribution,
            )
            for e in study.evaluations
        },
        generators={
            model.name: GeneratorDescription(
                **_model("generators", model),
                learns=plan.learns(model.name),
                public_cohorts=plan.public_cohorts(model.name),
            )
            for model in study.generators
        },
        detectors={
            model.name: DetectorDescription(
                **_model("detectors", model),
                role=registry.load("detectors", model.kind).role,
                public_cohorts=plan.public_cohorts_of_detector(model.name),
                architecture=registry.load("detectors", model.kind).architecture(model.settings),
            )
            for model in study.detectors
        },
        seeds=study.seeds,
        note=study.note,
        table_columns=study.table_columns,
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
        linear_detectors=tuple(str(folder / path) for path in linear_detectors(plan)),
        audits=tuple(
            str(folder / path)
            for part in ("generator", "detector", "noised")
            for path in files(plan, f"audit_{part}")
        ),
        privacy=spending.setting(study),
        unbudgeted=spending.unbudgeted(plan),
        unprotected_detectors=_unprotected_detectors(plan),
        shared=tuple(plan.shared_cells.to_dict("records")),
    )


# Rules of public knowledge, or of nothing but their own weights.
_READ_NOBODY = (LITERATURE, LITERATURE_THREE, BEFORE_TRAINING)


def _unprotected_detectors(plan: Plan) -> tuple[str, ...]:
    """Patterns, below the results, of the kept detectors that learnt from people without a budget."""
    found = [
        f"detectors/{pack.evaluation.name}/*/{detector}/*/"
        f"epsilon_generator={number_label(privacy.epsilon_generator)}/"
        f"epsilon_detector={number_label(privacy.epsilon_detector)}/**/*.h5"
        for pack in plan.detector_packs
        if plan.kept_seeds(pack.seeds)
        for detector in pack.detectors
        if registry.load("detectors", plan.study.detector(detector).kind).role not in _READ_NOBODY
        for privacy in plan.privacies(pack, detector)
        if not privacy.protects(pack.train)
    ]
    return tuple(dict.fromkeys(found))


def read_setting(path: Path) -> Setting:
    """Read the `Setting` of a finished study from its study.json.

    Raises:
        InputError: the file does not hold the settings of a study.
    """
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
    """Values of a `ModelDescription`; the title shows the model's name if it is not the kind's."""
    kind = registry.load(group, model.kind)
    title = kind.title if model.name == model.kind else f"{model.name} ({kind.title})"
    return {
        "kind": model.kind,
        "title": title,
        "colour": kind.colour,
        "private_differences": kind.private_differences,
    }


def _cohort(plan: Plan, name: str, folder: Path) -> CohortDescription:
    """Description of a cohort, with the counts per person only if the study is not private."""
    kind = plan.study.cohort_settings[name].kind
    windows = folder / paths.WINDOWS.format(study=plan.study.name, cohort=name, windows="detector")
    sidecar: Mapping[str, Any] = json.loads(store.sidecar_path(windows).read_text())
    return CohortDescription(
        kind=kind,
        published=origin_of(kind).published,
        subjects=len(plan.outlines[name]),
        # Counts per person are computed without noise: a private study must not publish them.
        summary=() if plan.is_private else tuple(sidecar["cohort"]),
    )


# Shown at the end of the report and stored in the RO-Crate.
DESCRIPTIONS: Mapping[str, str] = {
    "report.html": "The report: plan, tables, figures, privacy, cohorts and versions on one page.",
    "reproduction.html": "Each published value beside ours, with a verdict and its reason.",
    "files.html": "What each file of the study and each column of its tables holds.",
    "tables/main.csv": "Main table: one row per cell, all metrics with intervals over subjects.",
    "tables/columns.json": "Data dictionary: title, unit and meaning of each column of all tables.",
    "tables/per_subject.csv": "Metrics of each tested subject and seed.",
    "tables/differences.csv": "Paired differences to the rules and to other models.",
    "tables/quality.csv": "Quality measures of synthetic windows, each beside its floor.",
    "tables/spending.csv": "Epsilon that one person has spent if all models are published.",
    "tables/audit.csv": "Attacks with their lower bounds of epsilon and ceilings.",
    "tables/reproduction.csv": "The rows of reproduction.html.",
    "ledger.json": "Ledger: one entry per noised mechanism, with the steps that the program counted.",
    "statement.txt": "What is protected, from whom, at which unit, and what is not, in plain English.",
    "study.json": "All settings of the study, without the locations of its recordings.",
    "hours.csv": "Planned and measured CPU hours.",
    "workflow/Snakefile": "The workflow; its rules are in the files beside it, in workflow/rules.",
    "ro-crate-metadata.json": "All files and jobs for machines (RO-Crate 1.1, Provenance Run Crate 0.5).",
}
