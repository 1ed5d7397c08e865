"""Expected CPU time of jobs: a guide for dry runs and wall-time limits, never for what a pack holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from pulseveil.core import registry
from pulseveil.core.identity import number_label
from pulseveil.detectors import MODEL
from pulseveil.privacy.budget import Unit
from pulseveil.study import audits
from pulseveil.study.cells import AuditedCell, Budgets, DetectorPack, GeneratorCell, GeneratorPack
from pulseveil.study.plan import Plan
from pulseveil.windows.features import PAPER_BINS, spectrum_bins

# Seconds on one core of a 2020s x86-64 server; starting TensorFlow counts the first compilation too.
TENSORFLOW_START = 8.0
PYTHON_START = 0.5
SCIKIT_LEARN_IMPORT = 1.0
# A person's labelled time is about 36 minutes in the published protocol.
WINDOWS_PER_SUBJECT = 36
WINDOWS_PER_SYNTHETIC_SUBJECT = 35
# Dynamic time warping of two windows of 60 s and 6 channels.
WARPING = 1.6e-5
# Recordings of one person into windows, one file of scores.
PREPARATION = 0.15
SUMMARY_START, SCORES = 3.5, 0.02
# All measures of the synthetic windows of one fold and seed, and their floors.
ASSESSMENT = 5.0


@dataclass(frozen=True)
class Job:
    """A planned job.

    `rule` and `name` say where its log and benchmark lie, `stage` is its line of the printed plan, `model`
    the generator or detector that it serves, if any. `gpu`: whether a GPU would help it.
    """

    stage: str
    rule: str
    name: str
    model: str
    seconds: float
    runs: int = 0
    starts_tensorflow: bool = False
    gpu: bool = False


@dataclass(frozen=True)
class Line:
    """One line of the printed plan: a stage, its runs and jobs, and what they are expected to cost.

    `cpu_hours` counts every job on one core. `gpu_hours` are those of its GPU jobs, by the study's guess.
    """

    stage: str
    runs: int
    jobs: int
    tensorflow_starts: int
    cpu_hours: float
    gpu_jobs: int
    gpu_hours: float


def generator_seconds(plan: Plan, cell: GeneratorCell, pack: GeneratorPack) -> float:
    """Expected CPU seconds of one generator job."""
    model, kind = plan.study.generator(cell.generator), _kind(plan, "generators", cell.generator)
    private = _private(cell.unit, cell.epsilon)
    rows = [2 * WINDOWS_PER_SUBJECT * len(fold.train_subjects) for fold in plan.generator_folds(cell.cohort)]
    seconds = sum(kind.expected_seconds(model.settings, n, private) for n in rows)
    return float(_start(kind.uses_tensorflow) + len(pack.seeds) * seconds)


def assessment_seconds(plan: Plan, cohort: str, pack: GeneratorPack) -> float:
    """Expected CPU seconds of one quality job."""
    return (
        PYTHON_START + SCIKIT_LEARN_IMPORT + ASSESSMENT * len(pack.seeds) * len(plan.generator_folds(cohort))
    )


def detector_seconds(plan: Plan, detector: str, pack: DetectorPack, privacy: Budgets) -> float:
    """Expected CPU seconds of one detector job."""
    model, kind = plan.study.detector(detector), _kind(plan, "detectors", detector)
    private = _private(privacy.unit, privacy.epsilon_detector)
    seconds = 0.0
    for fold, subjects in product(plan.detector_folds(pack), pack.subjects):
        real = 0 if pack.train == "synthetic" else WINDOWS_PER_SUBJECT * len(fold.train_subjects)
        rows = real + WINDOWS_PER_SYNTHETIC_SUBJECT * subjects
        runs = len(pack.seeds) * len(pack.generators) * len(pack.noise)
        seconds += runs * kind.expected_seconds(model.settings, rows, private)
    return float(_detector_start(kind) + _share_of_bins(plan, kind) * seconds)


def _share_of_bins(plan: Plan, kind: Any) -> float:
    """Networks take time by the bins that they read; their expected seconds are those of the published."""
    share = spectrum_bins(plan.study.protocol, plan.study.window_s) / PAPER_BINS
    left: float = kind.share_without_bins
    return left + (1 - left) * share


def limit_minutes(plan: Plan, seconds: float, gpu: int) -> int:
    """The time limit of a job's first try: three times what is expected, and the study's least at least."""
    resources = plan.study.resources
    return max(resources.runtime, round(seconds / (resources.gpu_speedup if gpu else 1) / 20))


def longest_limit_minutes(plan: Plan) -> int:
    """The longest time limit that a job of the study asks for at its first try."""
    gpu = plan.study.resources.gpu
    return max(limit_minutes(plan, job.seconds, gpu * job.gpu) for job in jobs(plan))


def jobs(plan: Plan) -> Iterator[Job]:
    """Every job of a study, in the order in which they can run."""
    yield from _cohort_jobs(plan)
    yield from _generator_jobs(plan)
    yield from _detector_jobs(plan)
    yield from _audit_jobs(plan)
    yield Job("summary", "summarize", "", "", SUMMARY_START + SCORES * len(plan.cells))


def lines(plan: Plan) -> list[Line]:
    """The expected work of a study, a line for each stage."""
    stages: dict[str, list[Job]] = {}
    for job in jobs(plan):
        stages.setdefault(job.stage, []).append(job)
    return [_line(plan, stage, found) for stage, found in stages.items()]


def _line(plan: Plan, stage: str, found: Iterable[Job]) -> Line:
    found, resources = list(found), plan.study.resources
    on_gpu = [job for job in found if job.gpu and resources.gpu]
    return Line(
        stage,
        sum(job.runs for job in found),
        len(found),
        sum(job.starts_tensorflow for job in found),
        sum(job.seconds for job in found) / 3600,
        len(on_gpu),
        sum(job.seconds for job in on_gpu) / 3600 / resources.gpu_speedup,
    )


def _cohort_jobs(plan: Plan) -> Iterator[Job]:
    stage, packs = "cohorts and features", plan.detector_packs
    learnt = dict.fromkeys(cell.cohort for cell in plan.generator_cells())
    windows = [*((c, "detector") for c in plan.study.cohorts), *((c, "generator") for c in learnt)]
    for cohort, kind in windows:
        seconds = PYTHON_START + PREPARATION * len(plan.outlines[cohort])
        yield Job(stage, "prepare_cohort", f"{cohort}.{kind}", "", seconds)
    tested = [pack.evaluation.tested_cohort for pack in packs]
    for cohort in dict.fromkeys([*(pack.evaluation.cohort for pack in packs), *tested]):
        yield Job(stage, "extract_features", cohort, "", PYTHON_START)


def _generator_jobs(plan: Plan) -> Iterator[Job]:
    cells = [(cell, pack) for cell in plan.generator_cells() for pack in plan.generator_packs()]
    for cell, pack in cells:
        tensorflow = _kind(plan, "generators", cell.generator).uses_tensorflow
        yield Job(
            "train generators",
            "train_generator",
            _name(cell, pack),
            cell.generator,
            generator_seconds(plan, cell, pack),
            runs=len(pack.seeds) * len(plan.generator_folds(cell.cohort)),
            starts_tensorflow=tensorflow,
            gpu=tensorflow,
        )
    for cell, pack in cells:
        tensorflow = _kind(plan, "generators", cell.generator).uses_tensorflow
        for rule, seconds, starts in (
            ("synthesize", _start(tensorflow), tensorflow),
            ("extract_features", PYTHON_START, False),
        ):
            name = _name(cell, pack)
            yield Job("synthesize and assess", rule, name, cell.generator, seconds, starts_tensorflow=starts)
    for cell, pack in product(plan.generator_cells(), plan.quality_packs()):
        seconds = assessment_seconds(plan, cell.cohort, pack)
        yield Job("synthesize and assess", "assess_quality", _name(cell, pack), cell.generator, seconds)


def _name(cell: GeneratorCell, pack: GeneratorPack) -> str:
    return f"{cell.cohort}.{cell.generator}.{cell.unit}.{number_label(cell.epsilon)}.{pack.name}"


def _detector_jobs(plan: Plan) -> Iterator[Job]:
    for pack in plan.detector_packs:
        cells = len(pack.generators) * len(pack.subjects) * len(pack.noise) * len(pack.seeds)
        runs = cells * len(plan.detector_folds(pack))
        for detector in pack.detectors:
            tensorflow = _kind(plan, "detectors", detector).uses_tensorflow
            for privacy in plan.privacies(pack, detector):
                yield Job(
                    f"detectors: {pack.evaluation.name}",
                    "train_detectors",
                    f"{pack.name}/{detector}.{_axes(privacy)}",
                    detector,
                    detector_seconds(plan, detector, pack, privacy),
                    runs=runs,
                    starts_tensorflow=tensorflow,
                    gpu=tensorflow,
                )


def _axes(cell: Budgets | AuditedCell) -> str:
    return f"{cell.unit}.{number_label(cell.epsilon_generator)}.{number_label(cell.epsilon_detector)}"


def _audit_jobs(plan: Plan) -> Iterator[Job]:
    for cell in audits.audited_cells(plan):
        tensorflow = audited_kind(plan, cell).uses_tensorflow
        if cell.part == "generator":
            model = cell.generator
            name = f"{cell.cohort}.{model}.{cell.unit}.{number_label(cell.epsilon_generator)}"
        else:
            model = cell.detector
            name = f"{cell.cohort}.{cell.generator}.{model}.{_axes(cell)}"
        yield Job(
            "audits",
            f"audit_{cell.part}",
            name,
            model,
            audit_seconds(plan, cell),
            runs=audits.trained_models(plan, cell),
            starts_tensorflow=tensorflow,
            gpu=tensorflow,
        )


def audited_kind(plan: Plan, cell: AuditedCell) -> Any:
    """The registered kind of an audited model."""
    if cell.part == "generator":
        return _kind(plan, "generators", cell.generator)
    return _kind(plan, "detectors", cell.detector)


def audit_seconds(plan: Plan, cell: AuditedCell) -> float:
    """Expected CPU seconds of one audit."""
    study, kind = plan.study, audited_kind(plan, cell)
    people, synthetic = len(plan.outlines[cell.cohort]), audits.synthetic_subjects(plan, cell)
    beside = WINDOWS_PER_SYNTHETIC_SUBJECT * synthetic
    private = _private(cell.unit, cell.epsilon)
    if cell.part == "generator":
        rows = 2 * WINDOWS_PER_SUBJECT * people
        fit = kind.expected_seconds(study.generator(cell.generator).settings, rows, private)
        start = _start(kind.uses_tensorflow)
        attack = WARPING * people * rows * beside
    else:
        rows = WINDOWS_PER_SUBJECT * people + beside
        fit, attack = kind.expected_seconds(study.detector(cell.detector).settings, rows, private), 0.0
        fit *= _share_of_bins(plan, kind)
        start = _detector_start(kind)
    return float(start + audits.trained_models(plan, cell) * fit + attack)


def _private(unit: Unit, epsilon: float) -> Unit | None:
    return unit if math.isfinite(epsilon) else None


def _kind(plan: Plan, group: registry.Group, name: str) -> Any:
    """The registered kind of a model of the study."""
    model = plan.study.generator(name) if group == "generators" else plan.study.detector(name)
    return registry.load(group, model.kind)


def _detector_start(kind: Any) -> float:
    if kind.uses_tensorflow or kind.role != MODEL:
        return _start(kind.uses_tensorflow)
    return PYTHON_START + SCIKIT_LEARN_IMPORT


def _start(uses_tensorflow: bool) -> float:
    return TENSORFLOW_START if uses_tensorflow else PYTHON_START


def describe(plan: Plan) -> str:
    """The plan as a plain table: runs, jobs, starts of TensorFlow, expected hours on CPU and on GPU."""
    study, rows = plan.study, lines(plan)
    total = _line(plan, "all", jobs(plan))
    header = f"{'stage':<34}{'runs':>9}{'jobs':>7}{'TensorFlow':>12}"
    header += f"{'CPU hours':>11}{'GPU jobs':>10}{'GPU hours':>11}"
    body = [
        f"{r.stage:<34}{r.runs:>9}{r.jobs:>7}{r.tensorflow_starts:>12}{r.cpu_hours:>11.2f}"
        f"{r.gpu_jobs:>10}{r.gpu_hours:>11.2f}"
        for r in [*rows, total]
    ]
    title = f"study {study.name}: protocol {study.protocol}, {study.seeds} seeds, root seed {study.seed}"
    return "\n".join([title, *filter(None, [study.note]), header, *body, *_on_gpu(plan, total)])


def _on_gpu(plan: Plan, total: Line) -> Iterator[str]:
    """What the hours on a GPU rest on, where there are any."""
    if total.gpu_jobs:
        speedup = plan.study.resources.gpu_speedup
        yield (
            "CPU hours: all jobs on one core each. GPU hours: the GPU jobs on a GPU instead, by the guess\n"
            f"that it trains {speedup:g} times faster than a core (resources.gpu_speedup: not measured, for "
            "time limits only)."
        )
