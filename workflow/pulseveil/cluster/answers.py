"""What the commands of SLURM say: their answers as text, read and mended without running anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# SLURM or a part of it does not answer now, and may answer later. "Slurm accounting storage is disabled",
# wrong partitions, accounts and options are no such cases: asking again would not help.
_OUTAGE = re.compile(
    "Unable to contact slurm controller"
    "|Socket timed out on send/recv operation"
    "|Zero Bytes were transmitted or received"
    "|Problem talking to the database"
    "|Unable to connect to database"
    "|Sending PersistInit msg"
    "|Protocol authentication error"
    "|Slurm backup controller in standby mode"
    "|Resource temporarily unavailable"
    "|Connection (?:refused|reset by peer|timed out)",
    re.IGNORECASE,
)
# How many jobs a user, an account or a QOS may have in the queue; limits on a job's size are not waited for.
_QUEUE_FULL = re.compile(r"\b(?:Assoc|QOS)\w*Submit\w*Limit\b")
_FAILED = frozenset(
    ("BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT")
)


@dataclass(frozen=True)
class Delay:
    """Why a command is to be tried again; `ends` says whether that is worth a limited time only."""

    reason: str
    ends: bool


def delay(errors: str) -> Delay | None:
    """Why a failed command is worth another try; None when it is not."""
    if full := _QUEUE_FULL.search(errors):
        return Delay(full[0], ends=False)
    if outage := _OUTAGE.search(errors):
        return Delay(outage[0], ends=True)
    return None


def accounting_is_off(errors: str) -> bool:
    """Whether sacct fails because this cluster keeps no accounts of its jobs."""
    return "accounting storage is disabled" in errors


def is_status_query(arguments: Sequence[str]) -> bool:
    """Whether Snakemake asks for the states of a run's jobs, in lines `id|STATE`."""
    formats = {"--format=JobIdRaw,State", "--format=%i|%T"}
    return bool(formats.intersection(arguments)) and option(arguments, "--name") is not None


def option(arguments: Sequence[str], name: str) -> str | None:
    """The value of `--name value` or `--name=value`."""
    for place, argument in enumerate(arguments):
        if argument == name and place + 1 < len(arguments):
            return arguments[place + 1]
        if argument.startswith(f"{name}="):
            return argument.removeprefix(f"{name}=")
    return None


def queue_query(run: str) -> list[str]:
    """Arguments of the squeue that tells the states of a run's jobs as sacct does."""
    return ["--noheader", "--states=all", "--format=%i|%T", "--name", run]


def submission_query(run: str) -> list[str]:
    """Arguments of the squeue whose answer `accepted` reads."""
    return ["--noheader", "--states=all", "--format=%i|%T|%V|%k", "--name", run]


def accepted(queue: str, comment: str, since: str) -> str | None:
    """The id of a job with this comment submitted at `since` (ISO) or later that has not failed."""
    for line in queue.splitlines():
        job, state, submitted, words = (line.split("|", 3) + [""] * 3)[:4]
        if words == comment and submitted >= since and state not in _FAILED:
            return job
    return None


def states(answer: str) -> dict[str, str]:
    """The state of each job in lines `id|STATE`."""
    pairs = (line.partition("|") for line in answer.splitlines())
    return {job: state for job, _, state in pairs}


def mended_states(answer: str, queue: str | None) -> str:
    """Lines `id|STATE` in words that Snakemake knows as failures; `queue` is what squeue says, if it answers.

    "CANCELLED by 0" is none to it, nor is PREEMPTED, which is right only while the job waits for its restart.
    """
    waiting = None if queue is None else states(queue)
    lines = []
    for line in answer.splitlines():
        job, bar, state = line.partition("|")
        if state.startswith("CANCELLED by "):
            state = "CANCELLED"
        if state == "PREEMPTED" and waiting is not None and waiting.get(job, state) == "PREEMPTED":
            state = "CANCELLED"
        lines.append(f"{job}{bar}{state}\n")
    return "".join(lines)


def with_gres(arguments: Sequence[str]) -> list[str]:
    """The arguments of sbatch with `--gpus=...` as `--gres=gpu:...`, which every cluster with GPUs takes."""
    return [re.sub(r"^--gpus=", "--gres=gpu:", argument) for argument in arguments]
