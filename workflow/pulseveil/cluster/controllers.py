"""The controller of a study, found wherever it waits or runs, and ended with all of its jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from pulseveil.cluster import jobs, lease
from pulseveil.errors import InputError

_PATIENCE_S = 180.0
_POLL_S = 1.0


@dataclass(frozen=True)
class Found:
    """A controller: its job in SLURM with the job's state, or its process on this machine."""

    job: str
    state: str
    pid: int

    def describe(self) -> str:
        """One line for a user."""
        if self.job:
            return f"controller: job {self.job}, {self.state.lower()}"
        return f"controller: process {self.pid} of this machine"


def controller(study: str, directory: Path) -> Found | None:
    """The study's controller in a directory; None where there is none."""
    if jobs.has_slurm():
        for job in jobs.in_queue(jobs.own_environment()):
            if job.name == jobs.controller_name(study) and job.directory == directory:
                return Found(job.number, job.state, 0)
    owner = lease.holder(lease.path(study, directory))
    if owner is None or owner.job or not lease.is_alive(owner):
        return None
    return Found("", "RUNNING", owner.pid)


def require_none(study: str, directory: Path) -> None:
    """Raise InputError where the study has a controller already, waiting ones included."""
    found = controller(study, directory)
    if found is not None:
        raise InputError(
            f"study {study} in {directory} has its {found.describe()}; see --status, or end it by --cancel"
        )


def cancel(study: str, directory: Path, *, patience_s: float = _PATIENCE_S) -> str:
    """End the controller of a study and all of its jobs; returns a line on what was ended.

    Raises InputError for a controller that outlasts `patience_s`.
    """
    found = controller(study, directory)
    if found is not None:
        _tell(found)
    said = f"study {study}: " + (
        f"ended its {found.describe()}" if found else f"no controller in {directory}"
    )
    deadline = time.monotonic() + patience_s
    while found is not None and controller(study, directory) is not None:
        if time.monotonic() > deadline:
            raise InputError(
                f"study {study}: {found.describe()} is still there after {patience_s:.0f} s; end it by hand"
            )
        time.sleep(_POLL_S)
    if not jobs.has_slurm():
        return said
    left = jobs.cancel(study, directory, jobs.own_environment(), patience_s=patience_s)
    return f"{said}; cancelled {len(left)} of its jobs" if left else said


def _tell(found: Found) -> None:
    """Tell a controller to end; one that runs cancels its jobs itself, and that takes more than a moment."""
    if not found.job:
        os.kill(found.pid, signal.SIGTERM)
        return
    how = ["--signal=TERM"] if found.state == "RUNNING" else []
    subprocess.run(["scancel", *how, found.job], env=jobs.own_environment(), check=False)
