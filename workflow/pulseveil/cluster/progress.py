"""Progress of a run: jobs and expected hours that are done, and when the rest will be.

On a terminal a bar at its foot, elsewhere (logs, CI) one line per minute at most.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task
from rich.progress import Progress as Bar
from rich.text import Text

from pulseveil.study import costs
from pulseveil.study.cells import WindowsCell
from pulseveil.study.plan import Plan
from pulseveil.study.tasks import benchmark, tasks

_MINUTE_S = 60.0
# Part of the remaining jobs whose planned time weighs as much as measured time.
_TRUST = 0.25
# Snakemake's own words on each finished job, which the bar says once.
_EVENTS = ("progress", "job_finished")
_MESSAGES = ("Select jobs to execute", "Execute ")


@dataclass(frozen=True)
class State:
    """How far a run is: jobs and expected CPU seconds on one core, those that are done and all of them.

    running: expected CPU seconds of running jobs that are over. elapsed: seconds since the run began. cores:
    number of jobs that can run at once.
    """

    jobs: int
    of_jobs: int
    seconds: float
    of_seconds: float
    running: float
    elapsed: float
    cores: int

    @property
    def left(self) -> float:
        """Seconds until the end, by the speed of this run and, at its beginning, by that of the plan.

        Examples:
            >>> State(1, 4, 30.0, 120.0, 0.0, 15.0, 2).left
            45.0
        """
        over = self.seconds + self.running
        rest = max(0.0, self.of_seconds - over)
        # The first jobs read recordings and tell little of the trainings: a part of the rest counts as if it
        # were done, at the speed of the plan on all cores.
        planned = _TRUST * rest
        return rest * (self.elapsed + planned / self.cores) / (over + planned) if rest else 0.0

    def describe(self) -> str:
        """Jobs, hours and the time that is left, in words."""
        unit, size = ("hours", 3600) if self.of_seconds >= 3600 else ("minutes", 60)
        return (
            f"{self.jobs} of {self.of_jobs} jobs, {self.seconds / size:.1f} of {self.of_seconds / size:.1f} "
            f"CPU {unit} of the plan, about {describe_time(self.left)} left"
        )


def describe_time(seconds: float) -> str:
    """A duration in its two largest units.

    Examples:
        >>> [describe_time(seconds) for seconds in (4, 200, 7400, 200000)]
        ['5 s', '3 min', '2 h 3 min', '55 h 33 min']
    """
    if seconds < _MINUTE_S:
        # An estimate: whole 5 s.
        return f"{5 * math.ceil(seconds / 5)} s"
    hours, minutes = divmod(int(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


class Progress(logging.Handler):
    """Log handler that shows the progress of one run of Snakemake, which closes the handler at the end.

    expected: CPU seconds of each job, by its number. stream: where the progress is written. reports: logs
    that are printed when their job is done, by its number.
    """

    def __init__(
        self,
        study: str,
        expected: Mapping[int, float],
        cores: int,
        stream: TextIO,
        reports: Mapping[int, Path] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._study = study
        self._expected = expected
        self._cores = cores
        self._stream = stream
        self._reports = reports or {}
        self._clock = clock
        self._began = self._told = clock()
        self._running: dict[int, float] = {}
        self._done: set[int] = set()
        self._bar = self._made_bar(stream) if stream.isatty() and expected else None
        if self._bar is not None:
            self._bar.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take the beginning or end of a job from an event; other events are ignored."""
        event = vars(record)
        match str(event.get("event")):
            case "job_info" if event["jobid"] in self._expected:
                self._running[event["jobid"]] = self._clock()
            case "job_error":
                self._running.pop(event["jobid"], None)
            case "job_finished" if event["job_id"] in self._expected:
                self._running.pop(event["job_id"], None)
                self._done.add(event["job_id"])
                self._report(event["job_id"])
            case _:
                return
        self._show()

    def state(self) -> State:
        """How far the run is now."""
        now = self._clock()
        # Copies, because the bar asks in a thread of its own.
        running = [(self._expected[number], now - begun) for number, begun in list(self._running.items())]
        return State(
            len(self._done),
            len(self._expected),
            sum(self._expected[number] for number in list(self._done)),
            sum(self._expected.values()),
            sum(min(pair) for pair in running),
            now - self._began,
            self._cores,
        )

    def close(self) -> None:
        """Remove the bar."""
        super().close()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _report(self, number: int) -> None:
        path = self._reports.get(number)
        # On a cluster the file of a node may come later: the log itself has the words.
        if path is not None and path.exists():
            print(path.read_text(errors="replace"), file=sys.stderr, flush=True)

    def _show(self) -> None:
        state = self.state()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=state.jobs)
            # The main table follows, which the bar must not stand below.
            if state.jobs == state.of_jobs:
                self.close()
        elif self._clock() - self._told >= _MINUTE_S:
            self._told = self._clock()
            print(f"study {self._study}: {state.describe()}", file=self._stream, flush=True)

    def _made_bar(self, stream: TextIO) -> Bar:
        words = _Words(lambda: self.state().describe())
        bar = Bar(BarColumn(bar_width=8), words, console=Console(file=stream), transient=True)
        bar.add_task("", total=len(self._expected))
        return bar


class _Words(ProgressColumn):
    """Column that asks for its text each time when the bar is drawn: the time that is left goes on."""

    def __init__(self, words: Callable[[], str]) -> None:
        super().__init__()
        self._words = words

    def render(self, task: Task) -> Text:
        """The text of now."""
        return Text(self._words())


def show(workflow: Any, plan: Plan) -> None:
    """Show the progress of a run; its Snakefile calls this at `onstart`."""
    by_file = {benchmark(plan, task): task for task in tasks(plan)}
    jobs = {workflow.dag.jobid(job): job for job in workflow.dag.needrun_jobs()}
    found = {number: by_file.get(str(job.benchmark)) for number, job in jobs.items()}
    needed = {number: task for number, task in found.items() if task is not None}
    expected = {number: costs.cost(plan, task).seconds for number, task in needed.items()}
    # What was repaired in the recordings, once: windows for generators are cut from the same ones.
    reports = {
        number: Path(str(jobs[number].log[0]))
        for number, task in needed.items()
        if task.rule == "prepare_cohort"
        and isinstance(task.cell, WindowsCell)
        and task.cell.windows == "detector"
    }
    terminal = sys.stderr
    at_once = max(1, min(len(expected), workflow.cores if workflow.local_exec else workflow.nodes))
    progress = Progress(plan.study.name, expected, at_once, terminal, reports)
    logger = workflow.logger_manager.logger
    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler":
            handler.addFilter(is_other_news)
            # The bar takes the place of sys.stderr, so that lines are printed above it.
            if handler.stream is terminal:
                handler.setStream(sys.stderr)
    logger.addHandler(progress)
    # With `--quiet` Snakemake tells no handler of a finished task.
    workflow.scheduler.print_progress = True


def is_other_news(record: logging.LogRecord) -> bool:
    """Whether a message of Snakemake says something else than that jobs begin and end."""
    event = str(getattr(record, "event", ""))
    return event not in _EVENTS and not record.getMessage().startswith(_MESSAGES)
