"""Who controls a study in a directory: one process at a time, alive or provably gone."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pulseveil import store
from pulseveil.errors import InputError


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
    store.write_json(lease, asdict(own))
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
