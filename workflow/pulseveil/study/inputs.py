"""Which tasks of a study read the files of which others, as the rules declare their inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from pulseveil.study.audits import SEED, noised_job
from pulseveil.study.cells import (
    NONE,
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

_SUMMARIZED = frozenset(
    {
        *("train_generator", "assess_quality", "train_detectors"),
        *("audit_generator", "audit_detector", "audit_noised"),
    }
)


def inputs(plan: Plan, task: Task) -> tuple[Task, ...]:
    """The tasks whose files a task reads; recordings are read by `prepare_cohort` alone.

    A task of quality names the tasks of its pack with fewer seeds, whose name is that of the whole pack.

    Raises:
        ValueError: the task is of no rule.
    """
    return tuple(_inputs(plan, task))


def _inputs(plan: Plan, task: Task) -> Iterable[Task]:
    match task.rule, task.cell, task.pack:
        case "prepare_cohort", WindowsCell(cohort), None:
            # Pieces of the cohorts before, in which no copy may lie.
            return (_windows(before, "detector") for before in plan.cohorts_before(cohort))
        case "extract_features", WindowsCell(cohort), None:
            return (_windows(cohort, "detector"),)
        case "train_generator", GeneratorCell(cohort, generator), GeneratorPack():
            return _windows_of_generator(plan, cohort, generator)
        case "synthesize", cell, pack:
            return (Task("train_generator", cell, pack),)
        case "extract_synthetic_features", cell, pack:
            return (Task("synthesize", cell, pack),)
        case "assess_quality", GeneratorCell(cohort) as cell, pack:
            made = (Task(rule, cell, pack) for rule in ("train_generator", "synthesize"))
            return (_windows(cohort, "generator"), *made)
        case "train_detectors", DetectorCell() as cell, DetectorPack() as pack:
            return _of_detectors(plan, cell, pack)
        case "audit_generator", AuditedCell() as cell, None:
            return _windows_of_generator(plan, cell.cohort, cell.generator)
        case "audit_detector", AuditedCell() as cell, None:
            return _of_audit(plan, cell)
        case "audit_noised", NoisedCell() as cell, None:
            return (_windows(noised_job(plan, cell).cohort, "detector"),)
        case "summarize", None, None:
            return _of_summary(plan)
    raise ValueError(f"{task.rule}: no rule of the workflow")


def _of_detectors(plan: Plan, cell: DetectorCell, pack: DetectorPack) -> Iterable[Task]:
    evaluation, public = pack.evaluation, plan.public_cohorts_of_detector(cell.detector)
    cohorts = dict.fromkeys((evaluation.cohort, evaluation.tested_cohort, *public))
    yield from map(_features, cohorts)
    if pack.noise_on == "windows":
        yield _windows(evaluation.cohort, "detector")
    if pack.train != "real":
        unit, epsilon, _ = cell.budgets
        for generator in pack.generators:
            made_by = GeneratorCell(evaluation.cohort, generator, unit, epsilon)
            yield from _synthetic(plan, made_by, pack.seeds)


def _of_audit(plan: Plan, cell: AuditedCell) -> Iterator[Task]:
    yield _features(cell.cohort)
    if cell.generator != NONE:
        beside = GeneratorCell(cell.cohort, cell.generator, cell.unit, cell.epsilon_generator)
        yield from _synthetic(plan, beside, (SEED,))


def _of_summary(plan: Plan) -> Iterable[Task]:
    windows = (_windows(cohort, "detector") for cohort in plan.study.cohorts)
    return chain(windows, (task for task in tasks(plan) if task.rule in _SUMMARIZED))


def _synthetic(plan: Plan, cell: GeneratorCell, seeds: Iterable[int]) -> Iterator[Task]:
    """The tasks with the features of synthetic windows of these seeds."""
    wanted = set(seeds)
    for pack in plan.generator_packs():
        if wanted & set(pack.seeds):
            yield Task("extract_synthetic_features", cell, pack)


def _windows_of_generator(plan: Plan, cohort: str, generator: str) -> Iterable[Task]:
    cohorts = dict.fromkeys((cohort, *plan.public_cohorts(generator)))
    return (_windows(name, "generator") for name in cohorts)


def _windows(cohort: str, windows: str) -> Task:
    return Task("prepare_cohort", WindowsCell(cohort, windows))


def _features(cohort: str) -> Task:
    return Task("extract_features", WindowsCell(cohort, "detector"))
