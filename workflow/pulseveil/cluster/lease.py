"""Who controls a study in a directory: one process at a time, alive or provably gone.

The controller is found wherever it waits or runs, and is ended with all of its jobs.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pulseveil.cluster import jobs
from pulseveil.core.atomic import write_json
from pulseveil.core.errors import InputError


@dataclass(frozen=True)
class Holder:
    """A process of a host, known by its start: process ids are used again. `job`: its SLURM job, or empty."""

    host: str
    pid: int
    started: int
    job: str


def path(study: str, directory: Path) -> Path:
    """Where the lease of a study lies."""
    return directory / ".snakemake" / f"controller-{study}.json"


def holder(lease: Path) -> Holder | None:
    """Who wrote the lease; None where nobody did."""
    try:
        return Holder(**json.loads(lease.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


@contextmanager
def held(study: str, directory: Path) -> Iterator[None]:
    """Hold the lease within the block; raises InputError as `require_free`."""
    lease, own = path(study, directory), myself()
    require_free(study, directory)
    write_json(lease, asdict(own))
    try:
        yield
    finally:
        if holder(lease) == own:
            lease.unlink(missing_ok=True)


def require_free(study: str, directory: Path) -> None:
    """Raise InputError while another controller of the study is alive, or may be: on another host."""
    lease, own = path(study, directory), myself()
    other = holder(lease)
    if other is None or other == own or _gone(other, own):
        return
    where = f"process {other.pid} on {other.host}" + (f", job {other.job}" if other.job else "")
    raise InputError(
        f"{lease}: study {study} is controlled by {where}; stop it first "
        "(scripts/submit.py --cancel), or delete this file if it is gone for certain"
    )


def is_alive(other: Holder) -> bool:
    """Whether a process of this machine still runs; one of another machine is taken for alive."""
    return other.host != socket.gethostname() or _started(other.pid) == other.started


def myself() -> Holder:
    """This process."""
    pid = os.getpid()
    return Holder(socket.gethostname(), pid, _started(pid) or 0, os.environ.get("SLURM_JOB_ID", ""))


def _gone(other: Holder, own: Holder) -> bool:
    """Whether the other one has certainly ended: a requeued job's earlier start has."""
    return bool(other.job and other.job == own.job) or not is_alive(other)


def _started(pid: int) -> int | None:
    """When a process began, in clock ticks since the machine's start; None where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in brackets can hold blanks.
    return int(stat.rpartition(")")[2].split()[19])


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
    owner = holder(path(study, directory))
    if owner is None or owner.job or not is_alive(owner):
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
