"""Progress of a study: files that exist, jobs in the queue and failed tasks; live in a terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pulseveil.cluster import jobs, lease, record, stand_ins
from pulseveil.cluster.jobs import Job
from pulseveil.cluster.record import Failure, stage_of
from pulseveil.core import paths
from pulseveil.study import spending
from pulseveil.study.plan import Plan
from pulseveil.study.tasks import files, tasks
from pulseveil.summary.results import CELL, collect

# All other states of jobs in the queue count as running, COMPLETING included.
_WAITING = ("PENDING", "CONFIGURING", "SUSPENDED", "REQUEUED")
# The record holds all failures.
_MOST_FAILURES = 10


@dataclass(frozen=True)
class Stage:
    """One stage of a study: number of existing and planned files, of jobs in the queue, and of failures."""

    name: str
    done: int
    planned: int
    running: int
    waiting: int
    failed: int


def stages(plan: Plan, directory: Path, jobs: Iterable[Job], failed: Sequence[Failure]) -> tuple[Stage, ...]:
    """Stages of a study that runs in `directory`; failed: tasks whose last try failed."""
    queued = [(stage_of(_rule(job.comment)), job.state in _WAITING) for job in jobs]
    counts = Counter(queued)
    failures = Counter(stage_of(failure.rule) for failure in failed)
    return tuple(
        Stage(
            name,
            sum((directory / path).exists() for path in planned),
            len(planned),
            counts[name, False],
            counts[name, True],
            failures[name],
        )
        for name, planned in planned_files(plan).items()
    )


def planned_files(plan: Plan) -> Mapping[str, Sequence[str]]:
    """Files of a finished study, per stage."""
    found: dict[str, list[str]] = {}
    for rule in dict.fromkeys(task.rule for task in tasks(plan)):
        found.setdefault(stage_of(rule), []).extend(files(plan, rule))
    return found


def finished_scores(plan: Plan, directory: Path) -> list[Path]:
    """Score files that exist."""
    return [path for name in files(plan, "train_detectors") if (path := directory / name).exists()]


def _rule(comment: str) -> str:
    """Rule of a job, from the comment that the executor gives it."""
    return comment.removeprefix("rule_").partition("_wildcards_")[0]


# Each refresh calls squeue twice, and many users may watch at once.
_PAUSE_S = 30.0
_BEST = 5
# Reading a file takes some milliseconds, and a large study has tens of thousands of them.
_MOST_SCORES = 200


def show(console: Console, plan: Plan, directory: Path) -> None:
    """Print the progress of a study; a terminal is refreshed until no controller runs, or until Ctrl-C."""
    if not console.is_terminal:
        console.print(view(plan, directory))
        return
    with Live(view(plan, directory), console=console, auto_refresh=False) as live:
        try:
            while _may_run(plan.study.name, directory):
                time.sleep(_PAUSE_S)
                live.update(view(plan, directory), refresh=True)
        except KeyboardInterrupt:
            return


def _may_run(study: str, directory: Path) -> bool:
    """Whether the study has a controller; True if squeue does not answer."""
    try:
        return lease.controller(study, directory) is not None
    except jobs.NoAnswer:
        # An outage of SLURM must not end the view.
        return True


def view(plan: Plan, directory: Path) -> RenderableType:
    """Controller, stages, best results so far, waiting and failed jobs, and planned spend of a study."""
    study = plan.study.name
    last = record.read(directory / paths.record(study))
    queued: tuple[Job, ...] = ()
    try:
        found = jobs.in_queue(jobs.own_environment()) if jobs.has_slurm() else ()
        head = _describe(lease.among(found, study, directory), last.outcome)
        queued = jobs.of_study(found, study, directory)
    except jobs.NoAnswer as error:
        # Files and failures are known without SLURM, and are shown all the same.
        head = f"{error}: whether a controller and jobs run is not known"
    progressed = stages(plan, directory, queued, last.failed)
    table = Table("stage", title=f"study {study}", title_justify="left")
    for name in ("done", "planned", "running", "waiting", "failed"):
        table.add_column(name, justify="right")
    for stage in progressed:
        counts = (stage.done, stage.planned, stage.running, stage.waiting, stage.failed)
        table.add_row(stage.name, *map(str, counts))
    waiting = jobs.describe_waiting(queued)
    words = [
        stand_ins.describe_wait(stand_ins.folder(study, directory) / stand_ins.WAITING),
        f"waiting: {waiting}" if waiting else "",
        *jobs.describe_stuck(queued),
        *_failures(last.failed),
        spending.describe(plan),
    ]
    return Group(Text(head), table, _best(plan, directory), *(Text(text) for text in words if text))


def _describe(found: lease.Found | None, outcome: str) -> str:
    """One line on the study's controller, or on the end of its last run."""
    if found is not None:
        return found.describe()
    return f"no controller runs; the last run: {outcome}" if outcome else "no controller runs"


def _failures(failed: Sequence[Failure]) -> list[str]:
    """Lines on the tasks whose last try failed."""
    left = len(failed) - _MOST_FAILURES
    more = [f"and {left} more failed tasks"] if left > 0 else []
    return [failure.describe() for failure in failed[:_MOST_FAILURES]] + more


def _best(plan: Plan, directory: Path) -> RenderableType:
    """Cells with the highest accuracy so far, on the windows that are scored."""
    finished = finished_scores(plan, directory)
    if not finished:
        return Text("no scores yet")
    # The first seeds of all cells, so that cells are compared on equal terms.
    scores = sorted(finished, key=_seed)[:_MOST_SCORES]
    pooled = collect(scores).pooled
    # A column with one value for all cells does not distinguish them.
    keys = [name for name in CELL if pooled[name].nunique() > 1 or name == "detector"]
    means = pooled.groupby(keys)[["accuracy", "f1"]].mean().nlargest(_BEST, "accuracy").reset_index()
    read = f"{len(scores)}" + (f" of {len(finished)}" if len(finished) > len(scores) else "")
    table = Table(*keys, title=f"best of {read} score files so far, pooled", title_justify="left")
    for name in ("accuracy", "f1"):
        table.add_column(name, justify="right")
    for row in means.itertuples(index=False):
        *words, accuracy, f1 = row
        table.add_row(*map(str, words), f"{accuracy:.3f}", f"{f1:.3f}")
    return table


def _seed(scores: Path) -> int:
    """Seed in the name of a score file."""
    return int(scores.stem.removeprefix("seed="))
