"""What ran in a study: each job with its files, the jobs whose files it read, and its provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pulseveil.core import paths, store
from pulseveil.core.errors import InputError
from pulseveil.study import tasks
from pulseveil.study.cells import WindowsCell
from pulseveil.study.inputs import inputs
from pulseveil.study.plan import Plan
from pulseveil.study.tasks import Task


@dataclass(frozen=True)
class JobRun:
    """A finished job, known by the name of its log: rule, words of its cell and pack.

    cohorts: cohorts whose recordings it read. reads: names of the jobs whose files it read. files: its files,
    relative to the results of the study. run: times and versions, as `identity.describe_run` returns them;
    empty if its files were copied from elsewhere without their provenance.
    """

    name: str
    rule: str
    cohorts: tuple[str, ...]
    reads: tuple[str, ...]
    files: tuple[str, ...]
    run: Mapping[str, Any]


def job_runs(plan: Plan, folder: Path, summary: Mapping[str, Any]) -> list[JobRun]:
    """The jobs of a finished study whose results lie under `folder`/results, in the order of the plan.

    summary: `run` of the summary, which has no provenance yet.

    Raises:
        InputError: the provenance of a job is damaged.
    """
    templates = dict[tuple[str, Any], list[str]]()
    found = []
    for task in tasks.tasks(plan):
        # Templates are made once per pack: a large study has hundreds of thousands of files.
        key = (task.rule, task.pack)
        if key not in templates:
            templates[key] = tasks.outputs(plan, *key)
        files = tasks.filled(templates[key], task)
        found.append(
            JobRun(
                name=_name(plan, task),
                rule=task.rule,
                cohorts=_cohorts(task),
                reads=tuple(_name(plan, read) for read in inputs(plan, task)),
                files=tuple(_below_results(plan, path) for path in files),
                # A job writes its files in order: the last one has the time of its end.
                run=summary if task.rule == "summarize" else _provenance(folder / files[-1]),
            )
        )
    return found


def _cohorts(task: Task) -> tuple[str, ...]:
    """Cohorts whose recordings a task reads."""
    match task.rule, task.cell:
        case "prepare_cohort", WindowsCell(cohort):
            return (cohort,)
    return ()


def _name(plan: Plan, task: Task) -> str:
    path = PurePosixPath(tasks.benchmark(plan, task)).with_suffix("")
    return path.relative_to(PurePosixPath("benchmarks") / plan.study.name).as_posix()


def _below_results(plan: Plan, path: str) -> str:
    return Path(path).relative_to(paths.results(plan.study.name)).as_posix()


def _provenance(path: Path) -> Mapping[str, Any]:
    sidecar = store.sidecar_path(path)
    if not sidecar.exists():
        return {}
    try:
        found = json.loads(sidecar.read_text(encoding="utf-8"))
        return {key: found[key] for key in ("git", "started", "finished", "python", "packages")}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{sidecar}: not the provenance of a job ({error!r}); delete it") from None
