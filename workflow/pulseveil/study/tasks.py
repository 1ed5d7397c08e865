"""Tasks of a study: each job of its DAG once, with files, benchmark and the job of its script.

Rules, costs, hours, status and summary read this one list. A rule has one task per cell and pack. The files
of a rule are templates whose wildcards are the words of the cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from pulseveil.core import identity, paths, registry
from pulseveil.study import audits, persons
from pulseveil.study.cells import (
    AuditedCell,
    DetectorCell,
    DetectorPack,
    GeneratorCell,
    GeneratorPack,
    NoisedCell,
    WindowsCell,
)
from pulseveil.study.jobs import CohortJob, FeatureJob, Job, QualityJob, SynthesisJob
from pulseveil.study.plan import Plan

Cell = WindowsCell | GeneratorCell | DetectorCell | AuditedCell | NoisedCell
Pack = GeneratorPack | DetectorPack

_FILES = {
    "prepare_cohort": paths.WINDOWS,
    "extract_features": paths.REAL_FEATURES,
    "train_generator": paths.MODELS,
    "synthesize": paths.SYNTHETIC,
    "extract_synthetic_features": paths.SYNTHETIC_FEATURES,
    "assess_quality": paths.QUALITY,
    "train_detectors": paths.SCORES,
    "audit_generator": paths.GENERATOR_AUDIT,
    "audit_detector": paths.DETECTOR_AUDIT,
    "audit_noised": paths.NOISED_AUDIT,
    "summarize": paths.REPORT,
}
_CELLS: dict[str, type[Cell]] = {
    "prepare_cohort": WindowsCell,
    "extract_features": WindowsCell,
    "train_generator": GeneratorCell,
    "synthesize": GeneratorCell,
    "extract_synthetic_features": GeneratorCell,
    "assess_quality": GeneratorCell,
    "train_detectors": DetectorCell,
    "audit_generator": AuditedCell,
    "audit_detector": AuditedCell,
    "audit_noised": NoisedCell,
}


@dataclass(frozen=True)
class Task:
    """One job of the DAG: its rule, cell and pack; the summary has neither cell nor pack."""

    rule: str
    cell: Cell | None = None
    pack: Pack | None = None

    @property
    def model(self) -> str:
        """Name of the generator or detector that the task trains, uses or audits; otherwise empty."""
        match self.cell:
            case DetectorCell() | AuditedCell(part="detector"):
                return self.cell.detector
            case GeneratorCell() | AuditedCell():
                return self.cell.generator
            case _:
                return ""


def tasks(plan: Plan) -> Iterator[Task]:
    """All tasks of a study, in an order in which they can run."""
    packs = plan.detector_packs
    read = dict.fromkeys(
        [
            *(pack.evaluation.cohort for pack in packs),
            *(pack.evaluation.tested_cohort for pack in packs),
            *(c for pack in packs for d in pack.detectors for c in plan.public_cohorts_of_detector(d)),
        ]
    )
    # Windows for generators are cut only where an evaluation needs a generator.
    learnt = dict.fromkeys(
        name
        for cell in plan.generator_cells()
        for name in (cell.cohort, *plan.public_cohorts(cell.generator))
    )
    # Of every cohort, also of one that no evaluation uses: the summary reads the windows of all.
    for cohort in plan.study.cohorts:
        yield Task("prepare_cohort", WindowsCell(cohort, "detector"))
    for cohort in learnt:
        yield Task("prepare_cohort", WindowsCell(cohort, "generator"))
    for cohort in read:
        yield Task("extract_features", WindowsCell(cohort, "detector"))
    for cell, pack in product(plan.generator_cells(), plan.generator_packs()):
        for rule in ("train_generator", "synthesize", "extract_synthetic_features"):
            yield Task(rule, cell, pack)
    for cell, pack in product(plan.generator_cells(), plan.quality_packs()):
        yield Task("assess_quality", cell, pack)
    for detector_pack in packs:
        for detector in detector_pack.detectors:
            for budgets in plan.privacies(detector_pack, detector):
                yield Task("train_detectors", DetectorCell(detector, budgets), detector_pack)
    for audited in audits.audited_cells(plan):
        yield Task(f"audit_{audited.part}", audited)
    for noised in audits.noised_cells(plan):
        yield Task("audit_noised", noised)
    yield Task("summarize")


def read(rule: str, wildcards: object, pack: Pack | None = None) -> Task:
    """Task of a rule from Snakemake's `wildcards`, whose attributes are the words of a cell."""
    return Task(rule, _CELLS[rule].read(wildcards) if rule in _CELLS else None, pack)


def outputs(plan: Plan, rule: str, pack: Pack | None = None) -> list[str]:
    """Files of a rule's job, as templates with the words of the cell as wildcards."""
    axes = pack.axes if pack is not None else {}
    # The axes of the pack are filled in and the words of the cell stay wildcards, so that one rule per pack
    # serves all its cells.
    template = paths.fill(_FILES[rule], study=plan.study.name)
    return [paths.fill(template, **dict(zip(axes, words, strict=True))) for words in product(*axes.values())]


def kept_detectors(plan: Plan, pack: DetectorPack) -> list[str]:
    """Files of kept detectors of a rule's job, as templates in the order of `DetectorJob.kept_cells`."""
    kept = replace(pack, seeds=plan.kept_seeds(pack.seeds))
    template = paths.fill(paths.DETECTORS, study=plan.study.name)
    return [
        paths.fill(template, **dict(zip(kept.axes, words, strict=True)))
        for words in product(*kept.axes.values())
    ]


def linear_detectors(plan: Plan) -> list[str]:
    """Files of the kept linear detectors whose weights the summary draws.

    They are of the first evaluation that trains on real windows, and of the first one that trains on
    synthetic windows: for each generator, detector and budget the first cell on the other axes.
    """
    shown = {e.train: e for e in reversed(plan.study.evaluations) if e.train != "real+synthetic"}.values()
    found = []
    for pack in plan.detector_packs:
        if pack.evaluation not in shown or 0 not in plan.kept_seeds(pack.seeds):
            continue
        templates = kept_detectors(plan, replace(pack, seeds=(0,)))
        # The generator is the outermost axis of a pack.
        of_generators = templates[:: len(templates) // len(pack.generators)]
        for detector in pack.detectors:
            if registry.load("detectors", plan.study.detector(detector).kind).is_linear:
                cells = [DetectorCell(detector, budgets) for budgets in plan.privacies(pack, detector)]
                found += [paths.fill(path, **cell.words) for path in of_generators for cell in cells]
    return found


def files(plan: Plan, rule: str) -> list[str]:
    """All files that the tasks of a rule write."""
    # Templates are made once per pack: a large study has hundreds of thousands of files.
    found, templates = [], dict[Pack | None, list[str]]()
    for task in tasks(plan):
        if task.rule == rule:
            if task.pack not in templates:
                templates[task.pack] = outputs(plan, rule, task.pack)
            found += filled(templates[task.pack], task)
    return found


def filled(templates: Sequence[str], task: Task) -> list[str]:
    """The paths of templates for the cell of a task."""
    words = task.cell.words if task.cell is not None else {}
    return [paths.fill(template, **words) for template in templates]


def portraits(plan: Plan) -> list[str]:
    """Files for the figures of all generators; the quality job with seed 0 writes them."""
    template = paths.fill(paths.PORTRAIT, study=plan.study.name)
    return [paths.fill(template, **cell.words) for cell in plan.generator_cells()]


def benchmark(plan: Plan, task: Task) -> str:
    """Benchmark file in which Snakemake writes the time of a task."""
    template = paths.benchmark(plan.study.name, task.rule, task.pack.name if task.pack is not None else "")
    (path,) = filled([template], task)
    return path


def job(plan: Plan, task: Task) -> Job:
    """Job of a task's script.

    Raises:
        ValueError: the task is the summary, whose script takes the study instead of a job.
    """
    study, cell, pack = plan.study, task.cell, task.pack
    match task.rule, cell, pack:
        case "prepare_cohort", WindowsCell(cohort, windows), None:
            settings = study.cohort_settings[cohort]
            return CohortJob(
                study=study.name,
                versions=(identity.COHORT, registry.load("cohorts", settings.kind).version),
                settings=settings.model_dump(mode="json"),
                protocol=study.protocol,
                windows=windows,
                channels=study.channels,
                scaling=study.scaling,
                window_s=study.window_s,
                stride_s=study.stride_s.generator if windows == "generator" else study.stride_s.detector,
                calibration_s=study.calibration_s,
                measured=study.measured,
                label_rule=study.label_rule,
                same_person=persons.other_names(study.same_people, cohort),
            )
        case "extract_features" | "extract_synthetic_features", _, _:
            # One recipe for both: detectors train on features of one kind and are tested on the other.
            return FeatureJob(
                study=study.name,
                versions=(identity.FEATURES,),
                protocol=study.protocol,
                pairing=study.pairing,
            )
        case "train_generator", GeneratorCell(), GeneratorPack():
            return plan.generator_job(cell, pack.seeds)
        case "synthesize", GeneratorCell(), _:
            subjects = plan.synthetic_subjects(cell.cohort)
            return SynthesisJob(study=study.name, versions=(identity.SYNTHESIS,), subjects=subjects)
        case "assess_quality", _, _:
            return QualityJob(study=study.name, versions=(identity.QUALITY,))
        case "train_detectors", DetectorCell(), DetectorPack():
            return plan.detector_job(pack, cell.detector, cell.budgets)
        case _, AuditedCell(), None:
            return audits.audit_job(plan, cell)
        case _, NoisedCell(), None:
            return audits.noised_job(plan, cell)
    raise ValueError(f"{task.rule}: this rule has no job")
