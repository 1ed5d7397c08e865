"""Expected CPU time of jobs: a guide for dry runs and wall-time limits, never for what a pack holds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from pulseveil import audit_plan, registry
from pulseveil.packs import AuditedCell, DetectorPack, GeneratorCell, GeneratorPack, Privacy
from pulseveil.plan import Plan
from pulseveil.privacy.budget import Unit

# Seconds on one core of a 2020s x86-64 server.
TENSORFLOW_START = 12.0
PYTHON_START = 3.0
# A person's labelled time is about 36 minutes in the published protocol.
WINDOWS_PER_SUBJECT = 36
WINDOWS_PER_SYNTHETIC_SUBJECT = 35
# Dynamic time warping of two windows of 60 s and 6 channels.
WARPING = 1.6e-5
# All measures of the synthetic windows of one fold and seed, and their floors.
ASSESSMENT = 5.0


@dataclass(frozen=True)
class Line:
    """One line of the printed plan: a stage, its runs and jobs, and what they are expected to cost."""

    stage: str
    runs: int
    jobs: int
    tensorflow_starts: int
    cpu_hours: float
    gpu_jobs: int


def generator_seconds(plan: Plan, cell: GeneratorCell, pack: GeneratorPack) -> float:
    """Expected CPU seconds of one generator job."""
    model = plan.study.generator(cell.generator)
    kind = registry.load("generators", model.kind)
    private = _private(cell.unit, cell.epsilon)
    rows = [2 * WINDOWS_PER_SUBJECT * len(fold.train_subjects) for fold in plan.generator_folds(cell.cohort)]
    start = TENSORFLOW_START if kind.uses_tensorflow else PYTHON_START
    seconds = sum(kind.expected_seconds(model.settings, n, private) for n in rows)
    return float(start + len(pack.seeds) * seconds)


def assessment_seconds(plan: Plan, cohort: str, pack: GeneratorPack) -> float:
    """Expected CPU seconds of one quality job."""
    return PYTHON_START + ASSESSMENT * len(pack.seeds) * len(plan.generator_folds(cohort))


def detector_seconds(plan: Plan, detector: str, pack: DetectorPack, privacy: Privacy) -> float:
    """Expected CPU seconds of one detector job."""
    model = plan.study.detector(detector)
    kind = registry.load("detectors", model.kind)
    start = TENSORFLOW_START if kind.uses_tensorflow else PYTHON_START
    private = _private(privacy.unit, privacy.epsilon_detector)
    seconds = start
    for fold, subjects in product(plan.detector_folds(pack), pack.subjects):
        real = 0 if pack.train == "synthetic" else WINDOWS_PER_SUBJECT * len(fold.train_subjects)
        rows = real + WINDOWS_PER_SYNTHETIC_SUBJECT * subjects
        runs = len(pack.seeds) * len(pack.generators) * len(pack.noise)
        seconds += runs * kind.expected_seconds(model.settings, rows, private)
    return float(seconds)


def limit_minutes(plan: Plan, seconds: float, gpu: int) -> int:
    """The time limit of a job's first try: three times what is expected, and the study's least at least."""
    resources = plan.study.resources
    return max(resources.runtime, round(seconds / (resources.gpu_speedup if gpu else 1) / 20))


def longest_limit_minutes(plan: Plan) -> int:
    """The longest time limit that a job of the study asks for at its first try."""
    return max(limit_minutes(plan, seconds, plan.study.resources.gpu * gpu) for seconds, gpu in _jobs(plan))


def _jobs(plan: Plan) -> Iterator[tuple[float, bool]]:
    """Expected CPU seconds of each training, quality job and audit, and whether a GPU would help it."""
    for cell, seeds in product(plan.generator_cells(), plan.generator_packs()):
        kind = registry.load("generators", plan.study.generator(cell.generator).kind)
        yield generator_seconds(plan, cell, seeds), kind.uses_tensorflow
        yield assessment_seconds(plan, cell.cohort, seeds), False
    for pack in plan.detector_packs:
        for detector in pack.detectors:
            kind = registry.load("detectors", plan.study.detector(detector).kind)
            for privacy in plan.privacies(pack, detector):
                yield detector_seconds(plan, detector, pack, privacy), kind.uses_tensorflow
    for audited in audit_plan.audited_cells(plan):
        yield audit_seconds(plan, audited), audited_kind(plan, audited).uses_tensorflow


def lines(plan: Plan) -> list[Line]:
    """The expected work of a study, a line for each stage."""
    study = plan.study
    light = len(study.cohorts) * 2
    cohorts = len({cell[0] for cell in plan.generator_cells()})
    found = [Line("cohorts and features", 0, light + cohorts, 0, (light + cohorts) * PYTHON_START / 3600, 0)]
    packs = plan.generator_packs()
    trained = synthesized = 0.0
    runs = jobs = starts = 0
    for cell in plan.generator_cells():
        kind = registry.load("generators", study.generator(cell.generator).kind)
        jobs += len(packs)
        starts += len(packs) * kind.uses_tensorflow
        runs += study.seeds * len(plan.generator_folds(cell.cohort))
        trained += sum(generator_seconds(plan, cell, pack) for pack in packs)
        synthesized += len(packs) * (PYTHON_START * 2 + TENSORFLOW_START * kind.uses_tensorflow)
        synthesized += sum(assessment_seconds(plan, cell.cohort, pack) for pack in packs)
    if jobs:
        gpu = starts * study.resources.gpu
        found.append(Line("train generators", runs, jobs, starts, trained / 3600, gpu))
        found.append(Line("synthesize and assess", 0, jobs * 3, starts, synthesized / 3600, 0))
    found += [_detector_line(plan, name) for name in dict.fromkeys(e.name for e in study.evaluations)]
    if study.audit is not None:
        found.append(_audit_line(plan))
    found.append(Line("summary", 0, 1, 0, PYTHON_START / 3600, 0))
    return found


def _detector_line(plan: Plan, evaluation: str) -> Line:
    runs = jobs = starts = 0
    seconds = 0.0
    for pack in plan.detector_packs:
        if pack.evaluation.name != evaluation:
            continue
        for detector in pack.detectors:
            privacies = plan.privacies(pack, detector)
            kind = registry.load("detectors", plan.study.detector(detector).kind)
            cells = len(pack.generators) * len(pack.subjects) * len(pack.noise) * len(pack.seeds)
            jobs += len(privacies)
            runs += len(privacies) * cells * len(plan.detector_folds(pack))
            starts += len(privacies) * kind.uses_tensorflow
            seconds += sum(detector_seconds(plan, detector, pack, privacy) for privacy in privacies)
    gpu = starts * plan.study.resources.gpu
    return Line(f"detectors: {evaluation}", runs, jobs, starts, seconds / 3600, gpu)


def audited_kind(plan: Plan, cell: AuditedCell) -> Any:
    """The registered kind of an audited model."""
    if cell.part == "generator":
        return registry.load("generators", plan.study.generator(cell.generator).kind)
    return registry.load("detectors", plan.study.detector(cell.detector).kind)


def audit_seconds(plan: Plan, cell: AuditedCell) -> float:
    """Expected CPU seconds of one audit."""
    study, kind = plan.study, audited_kind(plan, cell)
    people, synthetic = len(plan.outlines[cell.cohort]), audit_plan.synthetic_subjects(plan, cell)
    beside = WINDOWS_PER_SYNTHETIC_SUBJECT * synthetic
    private = _private(cell.unit, cell.epsilon)
    if cell.part == "generator":
        rows = 2 * WINDOWS_PER_SUBJECT * people
        fit = kind.expected_seconds(study.generator(cell.generator).settings, rows, private)
        attack = WARPING * people * rows * beside
    else:
        rows = WINDOWS_PER_SUBJECT * people + beside
        fit, attack = kind.expected_seconds(study.detector(cell.detector).settings, rows, private), 0.0
    start = TENSORFLOW_START if kind.uses_tensorflow else PYTHON_START
    return float(start + audit_plan.trained_models(plan, cell) * fit + attack)


def _private(unit: Unit, epsilon: float) -> Unit | None:
    return unit if math.isfinite(epsilon) else None


def _audit_line(plan: Plan) -> Line:
    cells = audit_plan.audited_cells(plan)
    starts = sum(audited_kind(plan, cell).uses_tensorflow for cell in cells)
    return Line(
        "audits",
        sum(audit_plan.trained_models(plan, cell) for cell in cells),
        len(cells),
        starts,
        sum(audit_seconds(plan, cell) for cell in cells) / 3600,
        starts * plan.study.resources.gpu,
    )


def describe(plan: Plan) -> str:
    """The plan as a plain table: runs, jobs, starts of TensorFlow, expected CPU hours, GPU jobs."""
    rows = lines(plan)
    header = f"{'stage':<34}{'runs':>9}{'jobs':>7}{'TensorFlow':>12}{'CPU hours':>11}{'GPU jobs':>10}"
    total = Line(
        "all",
        sum(r.runs for r in rows),
        sum(r.jobs for r in rows),
        sum(r.tensorflow_starts for r in rows),
        sum(r.cpu_hours for r in rows),
        sum(r.gpu_jobs for r in rows),
    )
    body = [
        f"{r.stage:<34}{r.runs:>9}{r.jobs:>7}{r.tensorflow_starts:>12}{r.cpu_hours:>11.2f}{r.gpu_jobs:>10}"
        for r in [*rows, total]
    ]
    study = plan.study
    title = f"study {study.name}: protocol {study.protocol}, {study.seeds} seeds, root seed {study.seed}"
    return "\n".join([title, *filter(None, [study.note]), header, *body])
