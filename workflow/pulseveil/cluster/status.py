"""How far a study is: files that exist, jobs that run or wait, failures in its log; live in a terminal."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pulseveil.cluster import jobs, lease
from pulseveil.cluster.jobs import Job
from pulseveil.study import spending
from pulseveil.study.plan import Plan
from pulseveil.study.tasks import files, tasks
from pulseveil.summary.results import CELL, collect

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
            sum((directory / path).exists() for path in planned),
            len(planned),
            counts[name, False],
            counts[name, True],
            failures[name],
        )
        for name, planned in planned_files(plan).items()
    )


def stage_of(rule: str) -> str:
    """The stage that a rule belongs to; empty for others."""
    return next((stage for start, stage in STAGES.items() if rule.startswith(start)), "")


def planned_files(plan: Plan) -> Mapping[str, Sequence[str]]:
    """The files of each stage that a finished study has."""
    found: dict[str, list[str]] = {}
    for rule in dict.fromkeys(task.rule for task in tasks(plan)):
        found.setdefault(stage_of(rule), []).extend(files(plan, rule))
    return found


def finished_scores(plan: Plan, directory: Path) -> list[Path]:
    """The score files that are there."""
    return [path for name in files(plan, "train_detectors") if (path := directory / name).exists()]


def latest_log(directory: Path) -> str:
    """What Snakemake's last run in a directory has logged; empty before the first one."""
    logs = sorted((directory / ".snakemake" / "log").glob("*.snakemake.log"))
    return logs[-1].read_text(errors="replace") if logs else ""


def _rule(comment: str) -> str:
    """The rule of a job, from the comment that the executor gives it."""
    return comment.removeprefix("rule_").partition("_wildcards_")[0]


_PAUSE_S = 10.0
_BEST = 5


def show(console: Console, plan: Plan, directory: Path) -> None:
    """Print the progress of a study: again and again in a terminal, until it is done or Ctrl-C."""
    if not console.is_terminal:
        console.print(view(plan, directory))
        return
    with Live(view(plan, directory), console=console, auto_refresh=False) as live:
        try:
            while lease.controller(plan.study.name, directory) is not None:
                time.sleep(_PAUSE_S)
                live.update(view(plan, directory), refresh=True)
        except KeyboardInterrupt:
            return


def view(plan: Plan, directory: Path) -> RenderableType:
    """Who controls the study, its stages, the best results so far, and what it spends."""
    study = plan.study.name
    queued = (
        jobs.of_study(jobs.in_queue(jobs.own_environment()), study, directory) if jobs.has_slurm() else ()
    )
    progressed = stages(plan, directory, queued, latest_log(directory))
    table = Table("stage", title=f"study {study}", title_justify="left")
    for name in ("done", "planned", "running", "waiting", "failed"):
        table.add_column(name, justify="right")
    for stage in progressed:
        counts = (stage.done, stage.planned, stage.running, stage.waiting, stage.failed)
        table.add_row(stage.name, *map(str, counts))
    words = [text for text in (jobs.describe_held(queued), spending.describe(plan)) if text]
    return Group(Text(_controller(study, directory)), table, _best(plan, directory), *map(Text, words))


def _controller(study: str, directory: Path) -> str:
    found = lease.controller(study, directory)
    return found.describe() if found is not None else "no controller runs"


def _best(plan: Plan, directory: Path) -> RenderableType:
    """The detectors with the highest accuracy so far, on the windows that are scored."""
    scores = finished_scores(plan, directory)
    if not scores:
        return Text("no scores yet")
    pooled = collect(scores).pooled
    keys = [name for name in CELL if pooled[name].nunique() > 1 or name == "detector"]
    means = pooled.groupby(keys)[["accuracy", "f1"]].mean().nlargest(_BEST, "accuracy").reset_index()
    table = Table(*keys, title=f"best of {len(scores)} score files so far, pooled", title_justify="left")
    for name in ("accuracy", "f1"):
        table.add_column(name, justify="right")
    for row in means.itertuples(index=False):
        *words, accuracy, f1 = row
        table.add_row(*map(str, words), f"{accuracy:.3f}", f"{f1:.3f}")
    return table
