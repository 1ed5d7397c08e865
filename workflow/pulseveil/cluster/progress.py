"""How far a study is: files that lie there, jobs that run or wait, and what its log says has failed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulseveil import audit_plan, paths
from pulseveil.cluster.jobs import Job
from pulseveil.plan import Plan

# Rules of packs carry their numbers in the name: train_generator_seeds_0.
STAGES: Mapping[str, str] = {
    "prepare_cohort": "cohorts",
    "extract": "features",
    "train_generator": "generators",
    "synthesize": "synthetic data",
    "assess_quality": "quality",
    "train_detectors": "detectors",
    "audit": "audits",
    "summarize": "summary",
}
_WAITING = ("PENDING", "CONFIGURING", "SUSPENDED", "REQUEUED")
_FAILED = re.compile(r"^Error in rule (\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Stage:
    """One stage of a study: files that are there and planned, its jobs in the queue, and failures."""

    name: str
    done: int
    planned: int
    running: int
    waiting: int
    failed: int


def stages(plan: Plan, directory: Path, jobs: Iterable[Job], log: str) -> tuple[Stage, ...]:
    """The stages of a study run in `directory`; jobs of the study, log: Snakemake's last one.

    A job that failed and was tried again counts as failed once for each try.
    """
    queued = [(stage_of(_rule(job.comment)), job.state in _WAITING) for job in jobs]
    counts = Counter(queued)
    failures = Counter(stage_of(rule) for rule in _FAILED.findall(log))
    return tuple(
        Stage(
            name,
            sum((directory / path).exists() for path in files),
            len(files),
            counts[name, False],
            counts[name, True],
            failures[name],
        )
        for name, files in planned_files(plan).items()
    )


def stage_of(rule: str) -> str:
    """The stage that a rule belongs to; empty for others."""
    return next((stage for start, stage in STAGES.items() if rule.startswith(start)), "")


def planned_files(plan: Plan) -> dict[str, Sequence[str]]:
    """The files of each stage that a finished study has."""
    study = plan.study.name
    cohorts = sorted({pack.evaluation.cohort for pack in plan.detector_packs} | _test_cohorts(plan))
    windows = [paths.WINDOWS.format(study=study, cohort=c, windows="detector") for c in cohorts]
    learnt = sorted({cell.cohort for cell in plan.generator_cells()})
    windows += [paths.WINDOWS.format(study=study, cohort=c, windows="generator") for c in learnt]
    files: dict[str, Sequence[str]] = {
        "cohorts": windows,
        "features": [
            *(paths.REAL_FEATURES.format(study=study, cohort=c) for c in cohorts),
            *plan.generator_paths(paths.SYNTHETIC_FEATURES),
        ],
        "generators": plan.generator_paths(paths.MODELS),
        "synthetic data": plan.generator_paths(paths.SYNTHETIC),
        "quality": plan.quality_paths(),
        "detectors": plan.scores_paths(),
        "audits": audit_plan.audit_paths(plan),
        "summary": [str(paths.results(study) / "report.html")],
    }
    return {name: found for name, found in files.items() if found}


def finished_scores(plan: Plan, directory: Path) -> list[Path]:
    """The score files that are there."""
    return [path for name in plan.scores_paths() if (path := directory / name).exists()]


def latest_log(directory: Path) -> str:
    """What Snakemake's last run in a directory has logged; empty before the first one."""
    logs = sorted((directory / ".snakemake" / "log").glob("*.snakemake.log"))
    return logs[-1].read_text(errors="replace") if logs else ""


def _test_cohorts(plan: Plan) -> set[str]:
    return {e.test_cohort for e in plan.study.evaluations if e.test_cohort}


def _rule(comment: str) -> str:
    """The rule of a job, from the comment that the executor gives it."""
    return comment.removeprefix("rule_").partition("_wildcards_")[0]
