"""SLURM jobs of a study: found by name and work directory, cancelled, and waited for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pulseveil.core.errors import InputError

# What SLURM tells a job of itself, and what its commands read: options, filters and formats of their answers.
_OF_SLURM = re.compile(r"(?:SLURM|SLURMD|SBATCH|SRUN|SALLOC|SQUEUE|SACCT|SACCTMGR|SINFO|SCANCEL|SCONTROL)_")
# What a user exports to choose a cluster and who pays.
_CHOSEN = frozenset(
    (
        *("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT"),
        *("SBATCH_ACCOUNT", "SBATCH_CLUSTERS", "SBATCH_CONSTRAINT", "SBATCH_PARTITION", "SBATCH_QOS"),
        *("SBATCH_RESERVATION", "SBATCH_WCKEY"),
    )
)
# The comment comes last: wildcards may hold the bar.
_FORMAT = "%i|%T|%M|%b|%r|%j|%Z|%k"
# A row of a job that this library has named. What other jobs have in their names and comments, bars and ends
# of lines included, makes rows that are passed over.
_ROW = re.compile(r"(\d+)\|([A-Z_]+)\|([^|]*)\|([^|]*)\|([^|]*)\|(pulseveil-[^|]*)\|(/[^|]*)\|(.*)")
# More than the stand-in for squeue takes.
_ANSWER_S = 90.0
_RUN = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_LONGEST_PREFIX = 50
_POLL_S = 1.0


class NoAnswer(InputError):
    """SLURM does not say what is in its queue."""


@dataclass(frozen=True)
class Job:
    """One job in the queue; `comment` tells rule and wildcards.

    used_s: seconds since its start. gpus: on its node. reason: why it does not run.
    """

    number: str
    state: str
    name: str
    directory: Path
    comment: str
    used_s: float = 0.0
    gpus: int = 0
    reason: str = ""

    @property
    def cure(self) -> str:
        """What a person must do before it can run; empty where SLURM will start it in time."""
        return next((cure for pattern, cure in _CURES.items() if re.search(pattern, self.reason)), "")


# Reasons for which a job waits until somebody acts; all others pass.
_CURES = {
    r"JobHeld|\bheld\b": "let it go with: scontrol release {numbers}",
    "PartitionTimeLimit|MaxWall": (
        "it asks for more time than a job may have: lower resources.runtime or pack in the study, or retries"
        " in the profile, or name another partition"
    ),
    "PartitionNodeLimit|Max(?:Cpu|CPU|Mem|GRES|Node|TRES)\\w*PerJob|BadConstraints": (
        "no job may have that much, or no node has it: lower resources in the study, or name another"
        " partition"
    ),
    "(?:Assoc|QOS)\\w*Minutes": "the time of the account is used up: ask for more, or name another account",
    "InvalidAccount|InvalidQOS|AccountNotAllowed|QOSNotAllowed|AssocNotAllowed": (
        "the account or QOS may not be used there: name another one, or ask the administrators"
    ),
    "DependencyNeverSatisfied": "what it waits for has failed: scancel {numbers}, and it is tried again",
    "PartitionDown|PartitionInactive": "its partition starts no jobs: wait for it, or name another partition",
}


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


def own_environment(*, account: str = "", partition: str = "") -> dict[str, str]:
    """This process's environment for commands of SLURM: without what would bend their answers.

    What SLURM told this process of its own job goes, as its jobs are others. What a user exports to choose
    stays; account, partition: chosen instead, where they are not empty.
    """
    kept = {name: value for name, value in os.environ.items() if name in _CHOSEN or not _OF_SLURM.match(name)}
    chosen = {"SBATCH_ACCOUNT": account, "SBATCH_PARTITION": partition}
    return kept | {name: value for name, value in chosen.items() if value}


def parse_queue(text: str) -> tuple[Job, ...]:
    """The jobs of squeue's lines in the format of `in_queue` that this library has named."""
    rows = (found.groups() for line in text.split("\n") if (found := _ROW.fullmatch(line)))
    return tuple(
        Job(number, state, name, Path(folder), comment, _seconds(used), _gpus(gres), reason)
        for number, state, used, gres, reason, name, folder, comment in rows
    )


def describe_lost(cancelled: Sequence[Job]) -> str:
    """What cancelled jobs had worked for, in a line; empty where none had begun."""
    begun = [job for job in cancelled if job.used_s > 0]
    minutes = sum(job.used_s for job in begun) / 60
    gpu_minutes = sum(job.used_s * job.gpus for job in begun) / 60
    count = f"{len(begun)} running job{'s' if len(begun) > 1 else ''}"
    return (
        f"cancelled {count} after {minutes:.1f} minutes of work and {gpu_minutes:.1f} GPU minutes: "
        "lost, but for finished runs and stored states of trainings"
        if begun
        else ""
    )


def describe_stuck(queued: Sequence[Job]) -> list[str]:
    """A line for each reason for which jobs wait until somebody acts, with the cure."""
    by_reason: dict[str, list[Job]] = {}
    for job in queued:
        if job.cure:
            by_reason.setdefault(job.reason, []).append(job)
    return [
        f"will not start by itself: {', '.join(job.number for job in stuck)} ({reason}); "
        + stuck[0].cure.format(numbers=",".join(job.number for job in stuck))
        for reason, stuck in by_reason.items()
    ]


def describe_waiting(queued: Sequence[Job]) -> str:
    """How many jobs wait for which reason; empty where none waits."""
    reasons = Counter(job.reason for job in queued if job.state == "PENDING")
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())


def of_study(jobs: Sequence[Job], study: str, directory: Path) -> tuple[Job, ...]:
    """Those that a controller of `study` submitted in `directory`: no other study's, however named."""
    own = re.compile(re.escape(prefix(study)) + "_" + _RUN)
    return tuple(job for job in jobs if own.fullmatch(job.name) and job.directory == directory)


def in_queue(environment: Mapping[str, str]) -> tuple[Job, ...]:
    """The user's jobs that are pending or running and that this library has named.

    Raises NoAnswer where squeue fails or takes too long.
    """
    answer = _ask(environment, "squeue", "--me", "--noheader", "--format", _FORMAT)
    return parse_queue(answer)


def _ask(environment: Mapping[str, str], *command: str) -> str:
    """What a command of SLURM prints; other people's bytes are replaced where they are no text."""
    try:
        done = subprocess.run(
            command, env=environment, check=False, capture_output=True, errors="replace", timeout=_ANSWER_S
        )
    except subprocess.TimeoutExpired:
        raise NoAnswer(
            f"{command[0]} does not answer within {_ANSWER_S:.0f} s; see `scontrol ping`"
        ) from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise NoAnswer(
            f"{command[0]} does not answer: {said[-1] if said else 'no reason told'}; see `scontrol ping`"
        )
    return done.stdout


def cancel(study: str, directory: Path, environment: Mapping[str, str], *, patience_s: float) -> list[Job]:
    """Cancel the study's jobs and wait until none is left; returns those that were cancelled.

    Raises TimeoutError for jobs that outlast `patience_s`: starting anew beside them would run them twice.
    Raises NoAnswer where squeue fails.
    """
    found = of_study(in_queue(environment), study, directory)
    left, deadline = found, time.monotonic() + patience_s
    while left:
        # Again in each round: a node that comes back can bring a job back.
        with suppress(NoAnswer):
            _ask(environment, "scancel", *(job.number for job in left))
        time.sleep(_POLL_S)
        left = of_study(in_queue(environment), study, directory)
        if left and time.monotonic() > deadline:
            numbers = ", ".join(job.number for job in left)
            raise TimeoutError(f"jobs {numbers} are still there {patience_s:.0f} s after they were cancelled")
    return list(found)


def _seconds(used: str) -> float:
    """Seconds of squeue's `[days-][[hours:]minutes:]seconds`; 0 of a word like INVALID."""
    days, _, clock = used.rpartition("-")
    try:
        parts = [int(part) for part in clock.split(":")]
        units = (1.0, 60.0, 3600.0)
        seconds = sum(part * unit for part, unit in zip(reversed(parts), units, strict=False))
        return int(days or 0) * 86400.0 + seconds
    except ValueError:
        return 0.0


def _gpus(gres: str) -> int:
    """The GPUs among generic resources like "gres:gpu:a100:2" (squeue: per node); 0 of "N/A"."""
    found = re.search(r"\bgpu(?::[A-Za-z][^:,]*)?(?::(\d+))?(?=[,(]|$)", gres)
    return int(found[1] or 1) if found else 0
