"""Expected CPU time of tasks, for dry runs and time limits.

Packs never depend on it: two machines with other measurements must plan the same jobs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from pulseveil.core import registry
from pulseveil.detectors import MODEL
from pulseveil.privacy.budget import Unit
from pulseveil.study import audits
from pulseveil.study.cells import (
    AuditedCell,
    DetectorCell,
    DetectorPack,
    GeneratorCell,
    GeneratorPack,
    NoisedCell,
    WindowsCell,
)
from pulseveil.study.plan import Plan
from pulseveil.study.tasks import Task, tasks
from pulseveil.windows.features import PAPER_BINS, spectrum_bins

# All expected seconds, those of kinds too, are CPU seconds of a core that multiplies large float32 matrices
# at this rate, as many servers do. They were measured on a core of 220 GFLOP/s and multiplied by 2.2. What
# another core takes of them is measured by `runs.calibration`.
REFERENCE_GFLOPS = 100.0
# The start of TensorFlow includes the first compilation.
TENSORFLOW_START = 16.0
PYTHON_START = 1.0
SCIKIT_LEARN_IMPORT = 2.0
# The published protocol has about 36 labelled minutes per person: constants, because a plan is made without
# recordings.
WINDOWS_PER_SUBJECT = 36
WINDOWS_PER_SYNTHETIC_SUBJECT = 35
# Dynamic time warping of one pair of windows with 60 s and 6 channels.
WARPING = 3.5e-5
# Reading the recording of one person and cutting it into windows.
PREPARATION = 1.0
# The start of the summary, and each file of scores.
SUMMARY_START, SCORES = 7.0, 0.04
# All quality measures with their floors, per fold and seed.
ASSESSMENT = 11.0
# A job's time limit over its expected time: cores are slower than that of the plan, and shared.
LIMIT_MARGIN = 3
_STAGES = {
    "prepare_cohort": "cohorts and features",
    "extract_features": "cohorts and features",
    "train_generator": "train generators",
    "synthesize": "synthesize and assess",
    "extract_synthetic_features": "synthesize and assess",
    "assess_quality": "synthesize and assess",
    "audit_generator": "audits",
    "audit_detector": "audits",
    "audit_noised": "audits",
    "summarize": "summary",
}


@dataclass(frozen=True)
class Cost:
    """Expected cost of one task.

    seconds: CPU seconds on one core. runs: number of models that the task trains. gpu: whether the task
    trains a network, which a GPU makes faster.
    """

    seconds: float
    runs: int = 0
    starts_tensorflow: bool = False
    gpu: bool = False


@dataclass(frozen=True)
class Line:
    """One line of the printed plan: a stage with its runs, jobs and expected hours.

    cpu_hours: all jobs, on one core each. gpu_hours: the GPU jobs alone, on a GPU that is as fast as the
    study assumes. kilowatt_hours: energy of all jobs, those that get a GPU on one, by the study's watts.
    """

    stage: str
    runs: int
    jobs: int
    tensorflow_starts: int
    cpu_hours: float
    gpu_jobs: int
    gpu_hours: float
    kilowatt_hours: float


def cost(plan: Plan, task: Task) -> Cost:
    """Expected cost of a task."""
    match task.rule, task.cell, task.pack:
        case "prepare_cohort", WindowsCell(cohort, _), _:
            return Cost(PYTHON_START + PREPARATION * len(plan.outlines[cohort]))
        case "train_generator", GeneratorCell(), GeneratorPack():
            return _of_generator(plan, task.cell, task.pack)
        case "synthesize", GeneratorCell(), _:
            tensorflow = _kind(plan, "generators", task.model).uses_tensorflow
            return Cost(_start(tensorflow), starts_tensorflow=tensorflow)
        case "assess_quality", GeneratorCell(), GeneratorPack():
            folds = len(plan.generator_folds(task.cell.cohort))
            return Cost(PYTHON_START + SCIKIT_LEARN_IMPORT + ASSESSMENT * len(task.pack.seeds) * folds)
        case "train_detectors", DetectorCell(), DetectorPack():
            return _of_detectors(plan, task.cell, task.pack)
        case _, AuditedCell(), _:
            return _of_audit(plan, task.cell)
        case _, NoisedCell(), _:
            job = audits.noised_job(plan, task.cell)
            # Two attacks: half of the windows are known, the other half is released.
            half = WINDOWS_PER_SUBJECT * len(job.subjects) / 2
            return Cost(PYTHON_START + 2 * WARPING * half**2 * len(job.noise))
        case "summarize", _, _:
            return Cost(SUMMARY_START + SCORES * len(plan.cells))
        case _:
            return Cost(PYTHON_START)


def stage(task: Task) -> str:
    """Stage of a task: its line in the printed plan."""
    if isinstance(task.pack, DetectorPack):
        return detector_stage(task.pack.evaluation.name)
    return stage_of_rule(task.rule)


def stage_of_rule(rule: str) -> str:
    """Stage of all tasks of a rule that belongs to no evaluation."""
    return _STAGES[rule]


def detector_stage(evaluation: str) -> str:
    """Stage of the detectors that an evaluation trains."""
    return f"detectors: {evaluation}"


def _of_generator(plan: Plan, cell: GeneratorCell, pack: GeneratorPack) -> Cost:
    model, kind = plan.study.generator(cell.generator), _kind(plan, "generators", cell.generator)
    private, folds = _private(cell.unit, cell.epsilon), plan.generator_folds(cell.cohort)
    # Windows of generators start every 30 s by default, twice as often as those of detectors.
    rows = [2 * WINDOWS_PER_SUBJECT * len(fold.train_subjects) for fold in folds]
    seconds = sum(kind.expected_seconds(model.settings, n, private) for n in rows)
    tensorflow = kind.uses_tensorflow
    seconds = float(_start(tensorflow) + len(pack.seeds) * seconds)
    return Cost(seconds, len(pack.seeds) * len(folds), tensorflow, gpu=tensorflow)


def _of_detectors(plan: Plan, cell: DetectorCell, pack: DetectorPack) -> Cost:
    model, kind = plan.study.detector(cell.detector), _kind(plan, "detectors", cell.detector)
    private, folds = _private(cell.budgets.unit, cell.budgets.epsilon_detector), plan.detector_folds(pack)
    runs = len(pack.seeds) * len(pack.generators) * len(pack.noise) * len(pack.signals)
    seconds, first = 0.0, _on_public_people(plan, cell.detector)
    for fold, subjects in product(folds, pack.subjects):
        real = 0 if pack.train == "synthetic" else WINDOWS_PER_SUBJECT * len(fold.train_subjects)
        beside = WINDOWS_PER_SYNTHETIC_SUBJECT * subjects
        seconds += runs * (first + training_seconds(kind, model.settings, real, beside, private, _bins(plan)))
    seconds = float(_detector_start(kind) + seconds)
    tensorflow = kind.uses_tensorflow
    return Cost(seconds, runs * len(pack.subjects) * len(folds), tensorflow, gpu=tensorflow)


def _on_public_people(plan: Plan, detector: str) -> float:
    """Expected seconds of the training on public people that each run of `detector` begins with, or 0."""
    public = plan.public_cohorts_of_detector(detector)
    if not public:
        return 0.0
    model, kind = plan.study.detector(detector), _kind(plan, "detectors", detector)
    rows = WINDOWS_PER_SUBJECT * sum(len(plan.outlines[cohort]) for cohort in public)
    # No budget protects public people: they train as recordings without a budget do.
    return training_seconds(kind, model.settings, rows, 0, None, _bins(plan))


def training_seconds(
    kind: Any, settings: Any, real: int, beside: int, private: Unit | None, bins: int
) -> float:
    """Expected CPU seconds of one training of a kind of detector, without the start of its job.

    real: number of real windows. beside: number of windows of a generator that train beside the real ones.
    private: the unit of a private training, None for any other training. bins: length of the spectra.
    """
    if private is None:
        seconds = kind.expected_seconds(settings, real + beside, None)
    else:
        # Windows of a private generator add records to each step, but no steps.
        seconds = kind.expected_seconds(settings, real, private) * (real + beside) / real
    left: float = kind.share_without_bins
    return float((left + (1 - left) * bins / PAPER_BINS) * seconds)


def _bins(plan: Plan) -> int:
    return spectrum_bins(plan.study.protocol, plan.study.window_s)


def limit_minutes(plan: Plan, seconds: float, gpu: int) -> int:
    """Time limit in minutes of a job's first try: LIMIT_MARGIN times the expected time, at least `runtime`.

    gpu: whether the job gets a GPU.
    """
    # A limit that is too short costs little, because a training stores its state and continues at the next
    # try.
    resources = plan.study.resources
    expected = seconds / (resources.gpu_speedup if gpu else 1) / 60
    return max(resources.runtime, round(LIMIT_MARGIN * expected))


def kilowatt_hours(plan: Plan, job: Cost) -> float:
    """Expected energy of a job: of its core, and of its GPU if it gets one."""
    resources = plan.study.resources
    if resources.gpu and job.gpu:
        seconds = job.seconds / resources.gpu_speedup
        return plan.study.energy.kilowatt_hours(seconds, seconds)
    return plan.study.energy.kilowatt_hours(job.seconds, 0)


def longest_limit_minutes(plan: Plan) -> int:
    """Longest time limit in minutes that a job of the study has at its first try."""
    gpu, costs = plan.study.resources.gpu, (cost(plan, task) for task in tasks(plan))
    return max(limit_minutes(plan, found.seconds, gpu * found.gpu) for found in costs)


def lines(plan: Plan) -> list[Line]:
    """Expected work of a study, one line per stage."""
    stages: dict[str, list[Cost]] = {}
    for task in tasks(plan):
        stages.setdefault(stage(task), []).append(cost(plan, task))
    return [_line(plan, name, found) for name, found in stages.items()]


def _line(plan: Plan, stage: str, found: Sequence[Cost]) -> Line:
    resources = plan.study.resources
    on_gpu = [job for job in found if job.gpu and resources.gpu]
    return Line(
        stage,
        sum(job.runs for job in found),
        len(found),
        sum(job.starts_tensorflow for job in found),
        sum(job.seconds for job in found) / 3600,
        len(on_gpu),
        sum(job.seconds for job in on_gpu) / 3600 / resources.gpu_speedup,
        sum(kilowatt_hours(plan, job) for job in found),
    )


def _of_audit(plan: Plan, cell: AuditedCell) -> Cost:
    study = plan.study
    people, synthetic = len(plan.outlines[cell.cohort]), audits.synthetic_subjects(plan, cell)
    beside = WINDOWS_PER_SYNTHETIC_SUBJECT * synthetic
    private, trained = _private(cell.unit, cell.epsilon), audits.trained_models(plan, cell)
    if cell.part == "generator":
        kind, settings = _kind(plan, "generators", cell.generator), study.generator(cell.generator).settings
        rows = 2 * WINDOWS_PER_SUBJECT * people
        fit = kind.expected_seconds(settings, rows, private)
        start = _start(kind.uses_tensorflow)
        attack = WARPING * people * rows * beside
    else:
        kind, settings = _kind(plan, "detectors", cell.detector), study.detector(cell.detector).settings
        rows = WINDOWS_PER_SUBJECT * people
        fit, attack = training_seconds(kind, settings, rows, beside, private, _bins(plan)), 0.0
        start = _detector_start(kind)
    tensorflow = kind.uses_tensorflow
    return Cost(float(start + trained * fit + attack), trained, tensorflow, gpu=tensorflow)


def _private(unit: Unit, epsilon: float) -> Unit | None:
    return unit if math.isfinite(epsilon) else None


def _kind(plan: Plan, group: registry.Group, name: str) -> Any:
    """The registered kind of a model of the study."""
    model = plan.study.generator(name) if group == "generators" else plan.study.detector(name)
    return registry.load(group, model.kind)


def _detector_start(kind: Any) -> float:
    # Without TensorFlow models import scikit-learn, which takes longer than the fit of a rule.
    if kind.uses_tensorflow or kind.role != MODEL:
        return _start(kind.uses_tensorflow)
    return PYTHON_START + SCIKIT_LEARN_IMPORT


def _start(uses_tensorflow: bool) -> float:
    return TENSORFLOW_START if uses_tensorflow else PYTHON_START


def describe(plan: Plan) -> str:
    """Printed plan as a plain table: runs, jobs, starts of TensorFlow, expected hours on CPU and GPU."""
    study, rows = plan.study, lines(plan)
    total = _line(plan, "all", [cost(plan, task) for task in tasks(plan)])
    header = f"{'stage':<34}{'runs':>9}{'jobs':>7}{'TensorFlow':>12}"
    header += f"{'CPU hours':>11}{'GPU jobs':>10}{'GPU hours':>11}"
    body = [
        f"{r.stage:<34}{r.runs:>9}{r.jobs:>7}{r.tensorflow_starts:>12}{r.cpu_hours:>11.2f}"
        f"{r.gpu_jobs:>10}{r.gpu_hours:>11.2f}"
        for r in [*rows, total]
    ]
    title = f"study {study.name}: protocol {study.protocol}, {study.seeds} seeds, root seed {study.seed}"
    return "\n".join(
        [
            *(title, *study.spelling_notes, *filter(None, [study.note]), header, *body),
            *_of_shared_cells(plan),
            *_on_gpu(plan, total),
            *_of_hours(plan),
            *describe_energy(plan, total.kilowatt_hours, "energy"),
        ]
    )


def _of_shared_cells(plan: Plan) -> Iterator[str]:
    """What is saved by cells that several evaluations ask for, if there are any."""
    if not plan.shared:
        return
    found = [
        cost(plan, Task("train_detectors", DetectorCell(cells.detector, budgets), cells.pack))
        for cells in plan.shared
        for budgets in cells.trained_in
    ]
    runs, hours = sum(job.runs for job in found), sum(job.seconds for job in found) / 3600
    pairs = plan.shared_cells[["evaluation", "trained_in"]].drop_duplicates().to_numpy()
    by = ", ".join(f"{evaluation} by {trained_in}" for evaluation, trained_in in pairs)
    yield (
        f"{runs} runs more ({hours:.2f} CPU hours) are asked for and not trained again: cells of one\n"
        f"evaluation that another one trains ({by})."
    )


def _of_hours(plan: Plan) -> Iterator[str]:
    """Whose hours the plan prints, and what time limits follow from them."""
    runtime = plan.study.resources.runtime
    yield (
        f"hours are those of a core with {REFERENCE_GFLOPS:.0f} float32 GFLOP/s; plan STUDY --calibrate "
        "measures this machine.\n"
        f"time limit of a job: {LIMIT_MARGIN} times its hours, at least {runtime} minutes "
        f"(resources.runtime); the longest: {longest_limit_minutes(plan)} minutes."
    )


def describe_energy(plan: Plan, kilowatt_hours: float, what: str) -> Iterator[str]:
    """One line: so much energy by the study's watts, and CO2e where the study has `carbon`.

    what: the first words of the line.
    """
    energy = plan.study.energy
    gpu = f" and {energy.watts_per_gpu:g} W per GPU" if plan.study.resources.gpu else ""
    carbon = ""
    if energy.carbon is not None:
        kilograms = energy.co2e_kilograms(kilowatt_hours)
        carbon = f", {kilograms:.3g} kg CO2e at {energy.carbon:g} g per kWh (energy.carbon)"
    yield f"{what}: {kilowatt_hours:.3g} kWh at {energy.watts_per_core:g} W per core{gpu}{carbon}."


def _on_gpu(plan: Plan, total: Line) -> Iterator[str]:
    """The assumption behind the GPU hours, if there are any."""
    if total.gpu_jobs:
        speedup = plan.study.resources.gpu_speedup
        yield (
            "CPU hours: all jobs on one core each. GPU hours: the GPU jobs on a GPU that trains\n"
            f"{speedup:g} times faster than a core (resources.gpu_speedup: a guess for time limits, not "
            "measured)."
        )
