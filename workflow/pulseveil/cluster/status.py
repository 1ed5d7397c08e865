"""A study's progress in a terminal, live while somebody looks."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pulseveil import spending
from pulseveil.cluster import controllers, jobs, progress
from pulseveil.plan import Plan
from pulseveil.summary.collect import CELL, collect

_PAUSE_S = 10.0
_BEST = 5


def show(console: Console, plan: Plan, directory: Path) -> None:
    """Print the progress of a study: again and again in a terminal, until it is done or Ctrl-C."""
    if not console.is_terminal:
        console.print(view(plan, directory))
        return
    with Live(view(plan, directory), console=console, auto_refresh=False) as live:
        try:
            while controllers.controller(plan.study.name, directory) is not None:
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
    progressed = progress.stages(plan, directory, queued, progress.latest_log(directory))
    table = Table("stage", title=f"study {study}", title_justify="left")
    for name in ("done", "planned", "running", "waiting", "failed"):
        table.add_column(name, justify="right")
    for stage in progressed:
        counts = (stage.done, stage.planned, stage.running, stage.waiting, stage.failed)
        table.add_row(stage.name, *map(str, counts))
    words = [text for text in (jobs.describe_held(queued), spending.describe(plan)) if text]
    return Group(Text(_controller(study, directory)), table, _best(plan, directory), *map(Text, words))


def _controller(study: str, directory: Path) -> str:
    found = controllers.controller(study, directory)
    return found.describe() if found is not None else "no controller runs"


def _best(plan: Plan, directory: Path) -> RenderableType:
    """The detectors with the highest accuracy so far, on the windows that are scored."""
    scores = progress.finished_scores(plan, directory)
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
