"""Lease of a study in a directory, held by at most one controller; search for a controller, and its end.

A lease can be taken over once its holder has provably ended.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pulseveil.cluster import jobs
from pulseveil.cluster.jobs import Job
from pulseveil.core.atomic import write_json
from pulseveil.core.errors import InputError


@dataclass(frozen=True)
class Holder:
    """A process on a host, identified by its start as well, because process ids are used again.

    started: clock ticks since the boot of the host. job: its SLURM job, or empty.
    """

    host: str
    pid: int
    started: int
    job: str

    def describe(self) -> str:
        """Process, host and job, for a user."""
        return f"process {self.pid} on {self.host}" + (f", job {self.job}" if self.job else "")


# Content of a released lease. The file is kept, so that its number is not given again.
_RELEASED: Mapping[str, Any] = {}


@contextmanager
def held(study: str, directory: Path) -> Iterator[None]:
    """Hold the lease within the block.

    Raises:
        InputError: Another controller may be alive.
    """
    own = myself()
    mine = _take(study, directory, own)
    try:
        yield
    finally:
        # Another process may have taken the lease over and removed this file.
        if _read(mine) == own:
            write_json(mine, _RELEASED)


def holder(study: str, directory: Path) -> Holder | None:
    """Holder in the study's last lease; None without a lease, or if the lease was released."""
    number = _latest(study, directory)
    return _read(_path(study, directory, number))


def _take(study: str, directory: Path, own: Holder) -> Path:
    """Write a lease with the next number, which only one process can create.

    Numbers only grow: a lease that another process has just taken over cannot be taken over by mistake.
    """
    while True:
        number = _latest(study, directory)
        _require_gone(_path(study, directory, number), study, own)
        mine = _path(study, directory, number + 1)
        # To check and then write is not enough: two controllers that started together both held the lease.
        if not _create(mine, asdict(own)):
            continue
        if _latest(study, directory) > number + 1:
            # A slow process finds a number free only because a faster one has removed its file.
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
    """Highest number of the study's leases; 0 without a lease."""
    names = [path.name.split(".")[1] for path in _path(study, directory, 0).parent.glob("lease.*.json")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _read(lease: Path) -> Holder | None:
    try:
        return Holder(**json.loads(lease.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        # A damaged lease must not lock the study for ever.
        return None


def _create(path: Path, values: Mapping[str, Any]) -> bool:
    """Create a complete file; False if it exists. A link is exclusive on network file systems, too."""
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
    """Whether a process of this machine still runs; a process of another machine counts as alive."""
    return other.host != socket.gethostname() or _started(other.pid) == other.started


def myself() -> Holder:
    """This process as a holder."""
    pid = os.getpid()
    return Holder(socket.gethostname(), pid, _started(pid) or 0, os.environ.get("SLURM_JOB_ID", ""))


def _gone(other: Holder, own: Holder, study: str) -> bool:
    """Whether the other holder has certainly ended.

    That is true for an ended process of this machine, for the earlier start of a requeued job, and for a job
    that has left the queue, whatever its host.
    """
    if other.job and other.job == own.job:
        return True
    if other.host == own.host:
        return not is_alive(other)
    return bool(other.job) and jobs.has_slurm() and not _is_queued(other.job, study)


def _is_queued(number: str, study: str) -> bool:
    """Whether the controller's job is in the queue; True if squeue does not answer."""
    try:
        queued = jobs.in_queue(jobs.own_environment())
    except jobs.NoAnswer:
        return True
    # The name counts, too: a SLURM that has lost its state gives the same ids again.
    return any(job.number == number and job.name == jobs.controller_name(study) for job in queued)


def _started(pid: int) -> int | None:
    """Start of a process in clock ticks since boot; None without such a process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name of the process, in parentheses, can contain blanks.
    return int(stat.rpartition(")")[2].split()[19])


_PATIENCE_S = 180.0
_POLL_S = 1.0


@dataclass(frozen=True)
class Found:
    """A controller that was found: its job in SLURM and the job's state, or its process on this machine.

    stuck: why the job does not start by itself; empty if it does.
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
    """The study's controller in a directory; None without one.

    Raises:
        NoAnswer: squeue fails or takes too long.
    """
    return among(jobs.in_queue(jobs.own_environment()) if jobs.has_slurm() else (), study, directory)


def among(queued: Sequence[Job], study: str, directory: Path) -> Found | None:
    """The study's controller among the jobs in the queue, or as a process of this machine."""
    for job in queued:
        if job.name == jobs.controller_name(study) and job.directory == directory:
            return Found(job.number, job.state, 0, "; ".join(jobs.describe_stuck([job])))
    owner = holder(study, directory)
    # A job that holds the lease would have been found in the queue above.
    if owner is None or owner.job or not is_alive(owner):
        return None
    return Found("", "RUNNING", owner.pid)


def require_none(study: str, directory: Path) -> None:
    """Refuse a study that has a controller already, pending ones included.

    Raises:
        InputError: The study has a controller, or squeue does not answer.
    """
    found = controller(study, directory)
    if found is not None:
        raise InputError(
            f"study {study} in {directory} has its {found.describe()}; see --status, or end it by --cancel"
        )


def cancel(study: str, directory: Path, *, patience_s: float = _PATIENCE_S) -> str:
    """End the controller of a study and all of its jobs.

    Returns:
        One line on what was ended.

    Raises:
        InputError: The controller outlasts `patience_s`, or squeue does not answer.
        TimeoutError: Jobs outlast `patience_s`.
    """
    found = controller(study, directory)
    if found is not None:
        _signal(found)
    ended = f"study {study}: " + (
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
        return ended + _clear(study, directory)
    left = jobs.cancel(study, directory, jobs.own_environment(), patience_s=patience_s)
    return ended + (f"; cancelled {len(left)} of its jobs" if left else "") + _clear(study, directory)


def _clear(study: str, directory: Path) -> str:
    """Release the lease of a controller that has ended; returns words on that, empty without a lease."""
    other = holder(study, directory)
    if other is None:
        return ""
    if not _gone(other, myself(), study):
        return f"; {other.describe()} is out of reach from here: use --cancel there"
    write_json(_path(study, directory, _latest(study, directory)), _RELEASED)
    return f"; released the lease of {other.describe()}, which is gone"


def _signal(found: Found) -> None:
    """Signal a controller to end; a running controller then cancels its jobs, and its own job last."""
    if not found.job:
        os.kill(found.pid, signal.SIGTERM)
        return
    # scancel alone would kill a running controller after KillWait (30 s by default), maybe before its jobs
    # are cancelled. A pending job takes no signal.
    how = ["--signal=INT"] if found.state == "RUNNING" else []
    subprocess.run(["scancel", *how, found.job], env=jobs.own_environment(), check=False)
