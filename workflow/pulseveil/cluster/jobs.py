"""SLURM jobs of a study: search by name and work directory, cancelling, and words for people."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pulseveil.cluster.calls import call
from pulseveil.core.errors import InputError

# Variables that SLURM sets in a job, and variables that its commands read: options, filters and formats.
_OF_SLURM = re.compile(r"(?:SLURM|SLURMD|SBATCH|SRUN|SALLOC|SQUEUE|SACCT|SACCTMGR|SINFO|SCANCEL|SCONTROL)_")
# Variables with which a user chooses the cluster, the partition and the account.
_CHOSEN = frozenset(
    (
        *("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT"),
        *("SBATCH_ACCOUNT", "SBATCH_CLUSTERS", "SBATCH_CONSTRAINT", "SBATCH_PARTITION", "SBATCH_QOS"),
        *("SBATCH_RESERVATION", "SBATCH_WCKEY"),
    )
)
# The comment is last, because wildcards may contain the bar.
_FORMAT = "%i|%T|%M|%b|%r|%j|%Z|%k"
# A row of a job that this library has named. Names and comments of other jobs may contain bars and ends of
# lines. Their rows do not match and are skipped: a row that cannot be read must not end the controller.
# Not --json: squeue 22.05 ignores all filters with it and prints 3 kB per job of every user, and the fields
# differ between versions of SLURM.
_ROW = re.compile(r"(\d+)\|([A-Z_]+)\|([^|]*)\|([^|]*)\|([^|]*)\|(pulseveil-[^|]*)\|(/[^|]*)\|(.*)")
# Longer than the patience of the stand-in for squeue, `stand_ins.QUERY_PATIENCE_S`.
_ANSWER_S = 90.0
_RUN = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# The executor refuses longer prefixes.
_LONGEST_PREFIX = 50
_POLL_S = 1.0


class NoAnswer(InputError):
    """A command of SLURM failed or did not answer in time: the queue is not known."""


@dataclass(frozen=True)
class Job:
    """One job in the queue; `comment` holds its rule and wildcards.

    used_s: seconds since its start. gpus: per node. reason: why the job does not run.
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
    def remedy(self) -> str:
        """What a person must do before the job can run; empty if SLURM will start it by itself."""
        return next((remedy for pattern, remedy in _REMEDIES.items() if re.search(pattern, self.reason)), "")


# Reasons that need a person, each with the remedy; all other reasons pass.
_REMEDIES = {
    r"JobHeld|\bheld\b": "let it go with: scontrol release {numbers}",
    "PartitionTimeLimit|MaxWall": (
        "its time limit exceeds what a job may have: lower resources.runtime or pack in the study, or retries"
        " in the profile, or name another partition"
    ),
    "PartitionNodeLimit|Max(?:Cpu|CPU|Mem|GRES|Node|TRES)\\w*PerJob|BadConstraints": (
        "no job may have that much, or no node has it: lower resources in the study, or name another"
        " partition"
    ),
    "(?:Assoc|QOS)\\w*Minutes": "the time of the account is used up: request more, or name another account",
    "InvalidAccount|InvalidQOS|AccountNotAllowed|QOSNotAllowed|AssocNotAllowed": (
        "the account or QOS may not be used there: name another one, or ask the administrators"
    ),
    "DependencyNeverSatisfied": "what it waits for has failed: scancel {numbers}, and it is tried again",
    "PartitionDown|PartitionInactive": "its partition starts no jobs: wait for it, or name another partition",
}


def prefix(study: str) -> str:
    """Beginning of the names of a study's jobs, to which the executor appends the id of its run.

    Examples:
        >>> prefix("paper")
        'pulseveil-paper'
    """
    name = f"pulseveil-{study}"
    if len(name) <= _LONGEST_PREFIX:
        return name
    # The hash keeps long names with the same beginning apart.
    ending = "-" + sha256(study.encode()).hexdigest()[:8]
    return name[: _LONGEST_PREFIX - len(ending)] + ending


def controller_name(study: str) -> str:
    """Name of the controller's job; no other job of a study has it."""
    return f"pulseveil-controller-{study}"


def has_slurm() -> bool:
    """Whether this machine can submit to SLURM."""
    return shutil.which("sbatch") is not None


def own_environment(*, account: str = "", partition: str = "") -> dict[str, str]:
    """This process's environment for commands of SLURM, without variables that would change their answers.

    Variables that SLURM has set for this process's own job are dropped: they do not hold for other jobs. The
    variables with which a user chooses a cluster or an account stay. account, partition: replace the user's
    choice unless empty.
    """
    # A kept SQUEUE_PARTITION hid running jobs, and a kept SLURM_MEM_PER_CPU let srun of the controller fail.
    kept = {name: value for name, value in os.environ.items() if name in _CHOSEN or not _OF_SLURM.match(name)}
    chosen = {"SBATCH_ACCOUNT": account, "SBATCH_PARTITION": partition}
    return kept | {name: value for name, value in chosen.items() if value}


def parse_queue(text: str) -> tuple[Job, ...]:
    """Jobs that this library has named, from squeue's lines in the format of `in_queue`.

    Examples:
        >>> row = "7|RUNNING|2:05|gres:gpu:1|None|pulseveil-paper_x|/work|rule_summarize"
        >>> [(job.number, job.used_s, job.gpus) for job in parse_queue(row)]
        [('7', 125.0, 1)]
    """
    rows = (found.groups() for line in text.split("\n") if (found := _ROW.fullmatch(line)))
    return tuple(
        Job(number, state, name, Path(folder), comment, seconds(used), _gpus(gres), reason)
        for number, state, used, gres, reason, name, folder, comment in rows
    )


def describe_lost(cancelled: Sequence[Job]) -> str:
    """One line on the lost work of cancelled jobs; empty if none had started."""
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
    """One line per reason for which jobs wait for a person, with the remedy."""
    by_reason: dict[str, list[Job]] = {}
    for job in queued:
        if job.remedy:
            by_reason.setdefault(job.reason, []).append(job)
    return [
        f"will not start by itself: {', '.join(job.number for job in stuck)} ({reason}); "
        + stuck[0].remedy.format(numbers=",".join(job.number for job in stuck))
        for reason, stuck in by_reason.items()
    ]


def describe_waiting(queued: Sequence[Job]) -> str:
    """Number of waiting jobs per reason; empty if none waits."""
    reasons = Counter(
        "not yet considered" if job.reason == "None" else job.reason
        for job in queued
        if job.state == "PENDING"
    )
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())


def of_study(jobs: Sequence[Job], study: str, directory: Path) -> tuple[Job, ...]:
    """Jobs that a controller of `study` submitted in `directory`."""
    # The whole name must match: "light" is also the beginning of "light_2".
    own = re.compile(re.escape(prefix(study)) + "_" + _RUN)
    return tuple(job for job in jobs if own.fullmatch(job.name) and job.directory == directory)


def in_queue(environment: Mapping[str, str]) -> tuple[Job, ...]:
    """Pending and running jobs of the user that this library has named.

    Raises:
        NoAnswer: squeue fails or takes too long.
    """
    answer = _call(environment, "squeue", "--me", "--noheader", "--format", _FORMAT)
    return parse_queue(answer)


def _call(environment: Mapping[str, str], *command: str) -> str:
    """Output of a command of SLURM; raises NoAnswer."""
    answer = call(environment, *command, seconds=_ANSWER_S)
    if answer.code:
        raise NoAnswer(f"{command[0]} does not answer: {answer.words}; see `scontrol ping`")
    return answer.output


def cancel(study: str, directory: Path, environment: Mapping[str, str], *, patience_s: float) -> list[Job]:
    """Cancel the study's jobs and wait until none is left.

    Returns:
        The jobs that were cancelled.

    Raises:
        TimeoutError: Jobs outlast `patience_s`; a new start beside them would run them twice.
        NoAnswer: squeue fails or takes too long.
    """
    found = of_study(in_queue(environment), study, directory)
    left, deadline = found, time.monotonic() + patience_s
    while left:
        # In each round, because a node that comes back can bring a job back. scancel also fails for a job
        # that has just ended: squeue decides.
        with suppress(NoAnswer):
            _call(environment, "scancel", *(job.number for job in left))
        time.sleep(_POLL_S)
        left = of_study(in_queue(environment), study, directory)
        if left and time.monotonic() > deadline:
            numbers = ", ".join(job.number for job in left)
            raise TimeoutError(f"jobs {numbers} are still there {patience_s:.0f} s after they were cancelled")
    return list(found)


def cancel_own(environment: Mapping[str, str]) -> None:
    """Cancel the job of this process; a job that SLURM does not cancel ends with its own exit code."""
    # The state is CANCELLED as soon as scancel answers, whatever exit code comes later.
    with suppress(NoAnswer):
        _call(environment, "scancel", os.environ["SLURM_JOB_ID"])


def seconds(used: str) -> float:
    """Seconds in squeue's `[days-][[hours:]minutes:]seconds`; 0 for a word such as INVALID."""
    days, _, clock = used.rpartition("-")
    try:
        parts = [int(part) for part in clock.split(":")]
        units = (1.0, 60.0, 3600.0)
        seconds = sum(part * unit for part, unit in zip(reversed(parts), units, strict=False))
        return int(days or 0) * 86400.0 + seconds
    except ValueError:
        return 0.0


def _gpus(gres: str) -> int:
    """Number of GPUs in generic resources such as "gres:gpu:a100:2" (squeue: per node); 0 for "N/A"."""
    found = re.search(r"\bgpu(?::[A-Za-z][^:,]*)?(?::(\d+))?(?=[,(]|$)", gres)
    return int(found[1] or 1) if found else 0
