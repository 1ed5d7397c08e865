"""Who controls a study in a directory: one process at a time, alive or provably gone.

The controller is found wherever it waits or runs, and is ended with all of its jobs.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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

    def describe(self) -> str:
        """Where it is, for a user."""
        return f"process {self.pid} on {self.host}" + (f", job {self.job}" if self.job else "")


_RELEASED: Mapping[str, Any] = {}


@contextmanager
def held(study: str, directory: Path) -> Iterator[None]:
    """Hold the lease within the block; raises InputError while another controller may be alive."""
    own = myself()
    mine = _take(study, directory, own)
    try:
        yield
    finally:
        if _read(mine) == own:
            write_json(mine, _RELEASED)


def holder(study: str, directory: Path) -> Holder | None:
    """Who wrote the study's last lease; None where nobody did, or its end was in good order."""
    number = _latest(study, directory)
    return _read(_path(study, directory, number))


def _take(study: str, directory: Path, own: Holder) -> Path:
    """Write a lease: one with the next number, which only one process can make.

    Numbers never go back, so that nobody can take a lease over that somebody else has just taken over.
    """
    while True:
        number = _latest(study, directory)
        _require_gone(_path(study, directory, number), study, own)
        mine = _path(study, directory, number + 1)
        if not _create(mine, asdict(own)):
            continue
        if _latest(study, directory) > number + 1:
            # Whoever was slow found a number that was free only because it was swept away.
            mine.unlink()
            continue
        for other in mine.parent.glob("lease.*.json"):
            if other != mine:
                other.unlink(missing_ok=True)
        return mine


def _require_gone(lease: Path, study: str, own: Holder) -> None:
    other = _read(lease)
    if other is None or other == own or _gone(other, own, study):
        return
    raise InputError(
        f"{lease}: study {study} is controlled by {other.describe()}; stop it first "
        "(scripts/submit.py --cancel), or delete this file if it is gone for certain"
    )


def _path(study: str, directory: Path, number: int) -> Path:
    return directory / ".snakemake" / "controller" / study / f"lease.{number}.json"


def _latest(study: str, directory: Path) -> int:
    """The highest number of the study's leases; 0 where there is none."""
    names = [path.name.split(".")[1] for path in _path(study, directory, 0).parent.glob("lease.*.json")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _read(lease: Path) -> Holder | None:
    try:
        return Holder(**json.loads(lease.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _create(path: Path, values: Mapping[str, Any]) -> bool:
    """Write a file whole; False where it is there. A link is exclusive on network file systems, too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".lease-") as file:
        json.dump(values, file)
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return False
    return True


def is_alive(other: Holder) -> bool:
    """Whether a process of this machine still runs; one of another machine is taken for alive."""
    return other.host != socket.gethostname() or _started(other.pid) == other.started


def myself() -> Holder:
    """This process."""
    pid = os.getpid()
    return Holder(socket.gethostname(), pid, _started(pid) or 0, os.environ.get("SLURM_JOB_ID", ""))


def _gone(other: Holder, own: Holder, study: str) -> bool:
    """Whether the other one has certainly ended, as have a requeued job's earlier start and, whatever host it
    was on, a job that is in the queue no more.
    """
    if other.job and other.job == own.job:
        return True
    if other.host == own.host:
        return not is_alive(other)
    return bool(other.job) and jobs.has_slurm() and not _is_queued(other.job, study)


def _is_queued(number: str, study: str) -> bool:
    """Whether the controller's job is in the queue; it may be, where SLURM does not tell."""
    try:
        queued = jobs.in_queue(jobs.own_environment())
    except jobs.NoAnswer:
        return True
    return any(job.number == number and job.name == jobs.controller_name(study) for job in queued)


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
    """A controller: its job in SLURM with the job's state, or its process on this machine.

    stuck: why it does not start by itself; empty where it does.
    """

    job: str
    state: str
    pid: int
    stuck: str = ""

    def describe(self) -> str:
        """One line for a user."""
        if self.job:
            return f"controller: job {self.job}, {self.state.lower()}" + (
                f"; {self.stuck}" if self.stuck else ""
            )
        return f"controller: process {self.pid} of this machine"


def controller(study: str, directory: Path) -> Found | None:
    """The study's controller in a directory; None where there is none."""
    if jobs.has_slurm():
        for job in jobs.in_queue(jobs.own_environment()):
            if job.name == jobs.controller_name(study) and job.directory == directory:
                return Found(job.number, job.state, 0, "; ".join(jobs.describe_stuck([job])))
    owner = holder(study, directory)
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
        return said + _clear(study, directory)
    left = jobs.cancel(study, directory, jobs.own_environment(), patience_s=patience_s)
    return said + (f"; cancelled {len(left)} of its jobs" if left else "") + _clear(study, directory)


def _clear(study: str, directory: Path) -> str:
    """Release the lease of a controller that is gone; says so, or why the lease stays."""
    other = holder(study, directory)
    if other is None:
        return ""
    if not _gone(other, myself(), study):
        return f"; {other.describe()} is out of reach from here: use --cancel there"
    write_json(_path(study, directory, _latest(study, directory)), _RELEASED)
    return f"; released the lease of {other.describe()}, which is gone"


def _tell(found: Found) -> None:
    """Tell a controller to end; one that runs cancels its jobs itself, and that takes more than a moment."""
    if not found.job:
        os.kill(found.pid, signal.SIGTERM)
        return
    how = ["--signal=TERM"] if found.state == "RUNNING" else []
    subprocess.run(["scancel", *how, found.job], env=jobs.own_environment(), check=False)
