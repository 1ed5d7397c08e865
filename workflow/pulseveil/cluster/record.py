"""Record of a study: the outcome of each task and run, one JSON object per line."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# By the beginning of a rule's name, because the rules of packs end in numbers: train_generator_seeds_0.
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


def stage_of(rule: str) -> str:
    """Stage of a rule; empty for a rule of no stage.

    Examples:
        >>> stage_of("train_generator_seeds_0")
        'generators'
    """
    return next((stage for start, stage in STAGES.items() if rule.startswith(start)), "")


@dataclass(frozen=True)
class Failure:
    """A failed try of a task.

    found: SLURM's state and reason, the exit code, or the files that are missing. log: the file with the line
    `cause`; both are empty if no log was written.
    """

    rule: str
    wildcards: Mapping[str, str]
    attempt: int
    tries: int
    found: str
    log: str
    cause: str

    @property
    def task(self) -> str:
        """Rule and wildcards, which identify a task of a study."""
        words = ", ".join(f"{name}={value}" for name, value in self.wildcards.items())
        return f"{self.rule} ({words})" if words else self.rule

    def describe(self) -> str:
        """Lines for a user: task and try, finding, log and cause."""
        stage = stage_of(self.rule)
        head = f"failed: {stage + ': ' if stage else ''}{self.task}, try {self.attempt} of {self.tries}"
        log = f"log: {self.log}" if self.log else "log: none was written"
        return "\n    ".join(line for line in (head, self.found, log, self.cause) if line)


@dataclass(frozen=True)
class LastRun:
    """Last run in the record of a study.

    failed: tasks that are not done. tries: all failed tries. outcome: how the run ended, empty while it runs.
    """

    failed: tuple[Failure, ...] = ()
    tries: tuple[Failure, ...] = ()
    outcome: str = ""


def read(path: Path) -> LastRun:
    """Read the last run in a record."""
    failed: dict[str, Failure] = {}
    tries: list[Failure] = []
    outcome = ""
    for event in _events(path):
        match event:
            case {"event": "start"}:
                failed, tries, outcome = {}, [], ""
            case {"event": "failed", **values}:
                failure = Failure(**{name: values[name] for name in Failure.__dataclass_fields__})
                failed[failure.task] = failure
                tries.append(failure)
            case {"event": "done", "task": task}:
                failed.pop(task, None)
            case {"event": "end", "words": words}:
                outcome = words
    return LastRun(tuple(failed.values()), tuple(tries), outcome)


def _events(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        # A process that was killed may have left an incomplete line.
        try:
            yield json.loads(line)
        except ValueError:
            continue


def append(path: Path, event: str, **values: Any) -> None:
    """Append an event to a record, as one line of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    with path.open("a") as file:
        file.write(json.dumps({"time": now, "event": event, **values}) + "\n")
