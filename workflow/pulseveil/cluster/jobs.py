"""SLURM jobs of a study: found by name and work directory, cancelled, and waited for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_KEPT = "SLURM_CONF"
_FORMAT = "%i|%T|%j|%Z|%k"
_RUN = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_LONGEST_PREFIX = 50
_POLL_S = 1.0


@dataclass(frozen=True)
class Job:
    """One job in the queue; `comment` tells rule and wildcards."""

    number: str
    state: str
    name: str
    directory: Path
    comment: str


def prefix(study: str) -> str:
    """What the names of a study's jobs begin with; the executor adds the id of its run."""
    name = f"pulseveil-{study}"
    if len(name) <= _LONGEST_PREFIX:
        return name
    ending = "-" + sha256(study.encode()).hexdigest()[:8]
    return name[: _LONGEST_PREFIX - len(ending)] + ending


def controller_name(study: str) -> str:
    """The name of the controller's job: none that the jobs of a study have."""
    return f"pulseveil-controller-{study}"


def has_slurm() -> bool:
    """Whether this machine can submit to SLURM."""
    return shutil.which("sbatch") is not None


def own_environment() -> dict[str, str]:
    """This process's environment without what SLURM told it of its own job: its jobs are others."""
    return {
        name: value
        for name, value in os.environ.items()
        if name == _KEPT or not name.startswith(("SLURM_", "SBATCH_", "SRUN_"))
    }


def parse_queue(text: str) -> tuple[Job, ...]:
    """The jobs of squeue's lines in the format of `in_queue`."""
    rows = (line.split("|", 4) for line in text.splitlines() if line.strip())
    return tuple(
        Job(number, state, name, Path(folder), comment) for number, state, name, folder, comment in rows
    )


def of_study(jobs: Sequence[Job], study: str, directory: Path) -> tuple[Job, ...]:
    """Those that a controller of `study` submitted in `directory`: no other study's, however named."""
    own = re.compile(re.escape(prefix(study)) + "_" + _RUN)
    return tuple(job for job in jobs if own.fullmatch(job.name) and job.directory == directory)


def in_queue(environment: Mapping[str, str]) -> tuple[Job, ...]:
    """The user's jobs that are pending or running; raises CalledProcessError where squeue fails."""
    command = ["squeue", "--me", "--noheader", "--format", _FORMAT]
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return parse_queue(answer.stdout)


def cancel(study: str, directory: Path, environment: Mapping[str, str], *, patience_s: float) -> list[Job]:
    """Cancel the study's jobs and wait until none is left; returns those that were cancelled.

    Raises TimeoutError for jobs that outlast `patience_s`: starting anew beside them would run them twice.
    """
    found = of_study(in_queue(environment), study, directory)
    left, deadline = found, time.monotonic() + patience_s
    while left:
        # Again in each round: a node that comes back can bring a job back.
        subprocess.run(["scancel", *(job.number for job in left)], env=environment, check=False)
        time.sleep(_POLL_S)
        left = of_study(in_queue(environment), study, directory)
        if left and time.monotonic() > deadline:
            numbers = ", ".join(job.number for job in left)
            raise TimeoutError(f"jobs {numbers} are still there {patience_s:.0f} s after they were cancelled")
    return list(found)
