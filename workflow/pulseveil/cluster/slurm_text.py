"""The text of SLURM's commands: arguments of queries and submissions, states, refusals and accepted jobs.

All functions read and change text, and run nothing. Text for Snakemake says only what Snakemake understands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Refusals that another try does not change: of an account, a partition, an option, a size, a cluster without
# accounts. Everything else may pass: outages, maintenance, a service or a file system that is not up. A list
# of errors that pass missed drained partitions and failing name servers, which used up the tries of tasks.
_FOR_GOOD = re.compile(
    r"Invalid (?:account|partition|qos|user|job id|cluster|feature|constraint|reservation|wckey|--|argument)"
    r"|Invalid .*(?:specified|specification)|(?:invalid|unrecognized|unknown|ambiguous) option"
    r"|specification can not be satisfied|Requested node configuration is not available"
    r"|user's size and/or time limits|time limit is invalid|More processors requested than permitted"
    r"|not permitted|Access/permission denied|Argument list too long|mutually exclusive"
    r"|accounting storage is disabled|supported accounting_storage plugin|[Nn]o cluster"
    r"|Unable to open file|already completing or completed|Unknown (?:condition|field)",
    re.IGNORECASE,
)
# Limits on the number of jobs in the queue; limits on the size of a job are not waited for.
_QUEUE_FULL = re.compile(r"\b(?:Assoc|QOS)\w*Submit\w*Limit\b")
_PREFIX = re.compile(r"(?:\w+: )?(?:error: )?(?:Batch job submission failed: )?")
_FAILED = frozenset(
    ("BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT")
)


@dataclass(frozen=True)
class Delay:
    """Why a command is tried again; ends: True if that is worth a limited time only."""

    reason: str
    ends: bool


def delay(errors: str) -> Delay | None:
    """Why a failed command is worth another try, from its error messages; None if it is not.

    Examples:
        >>> delay("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
        Delay(reason='Socket timed out on send/recv operation', ends=True)
        >>> delay("sbatch: error: Invalid partition name specified") is None
        True
    """
    if full := _QUEUE_FULL.search(errors):
        return Delay(full[0], ends=False)
    if _FOR_GOOD.search(errors):
        return None
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    # Snakemake takes a sbatch that succeeded for failed if "submission failed" is in its messages.
    return Delay(_PREFIX.sub("", lines[-1], count=1) if lines else "it gave no reason", ends=True)


def is_status_query(arguments: Sequence[str]) -> bool:
    """Whether these are Snakemake's arguments for the states of a run's jobs, in lines `id|STATE`."""
    formats = {"--format=JobIdRaw,State", "--format=%i|%T"}
    return bool(formats.intersection(arguments)) and option(arguments, "--name") is not None


def option(arguments: Sequence[str], name: str) -> str | None:
    """Value of `--name value` or `--name=value`; None without the option."""
    for position, argument in enumerate(arguments):
        if argument == name and position + 1 < len(arguments):
            return arguments[position + 1]
        if argument.startswith(f"{name}="):
            return argument.removeprefix(f"{name}=")
    return None


def queue_query(run: str) -> list[str]:
    """Arguments of squeue for the states of a run's jobs, in the lines of sacct."""
    return ["--noheader", "--states=all", "--format=%i|%T", "--name", run]


def submission_query(run: str) -> list[str]:
    """Arguments of squeue for the lines that `accepted` reads."""
    return ["--noheader", "--states=all", "--format=%i|%T|%V|%k", "--name", run]


def accepted(queue: str, comment: str, since: str) -> str | None:
    """Id of a job with this comment, submitted at `since` (ISO) or later, that has not failed, or None."""
    for line in queue.splitlines():
        job, state, submitted, words = (line.split("|", 3) + [""] * 3)[:4]
        if words == comment and submitted >= since and state not in _FAILED:
            return job
    return None


def states(answer: str) -> dict[str, str]:
    """State per job, from lines `id|STATE`."""
    pairs = (line.partition("|") for line in answer.splitlines())
    return {job: state for job, _, state in pairs}


def translate_states(answer: str, queue: str | None) -> str:
    """Lines `id|STATE` with failed states as Snakemake knows them; queue: lines of squeue, None if unknown.

    Snakemake takes neither "CANCELLED by 0" nor PREEMPTED for a failure. For PREEMPTED that is right only
    while the job waits for its restart.
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


def without_nodes(arguments: Sequence[str], nodes: str | None) -> list[str]:
    """Arguments of sbatch that exclude these nodes, besides the nodes excluded already."""
    if not nodes:
        return list(arguments)
    known = option(arguments, "--exclude")
    # First, so that a script and its arguments stay last. One option, because the later of two would win.
    rest = [argument for argument in arguments if not argument.startswith("--exclude=")]
    return [f"--exclude={known},{nodes}" if known else f"--exclude={nodes}", *rest]


def explain(errors: str, nodes: str | None) -> str:
    """Error messages of sbatch, with the excluded nodes if the job finds no other node."""
    if not nodes or "Requested node configuration is not available" not in errors:
        return errors
    return f"{errors}{nodes}: left out, because jobs ended there before their task began\n"


# The line of sbatch that names a job, with and without --parsable. A wrapper of the cluster may print other
# numbers, for which the executor counts an accepted job as failed and submits it again.
_ID = re.compile(r"^\d+(?:;\S+)?$")
_SUBMITTED = re.compile(r"^Submitted batch job \d+\b.*$")


def named_job(output: str, *, parsable: bool) -> str:
    """Line of sbatch's output that names its job; empty if none does, or several could."""
    pattern = _ID if parsable else _SUBMITTED
    lines = [line for text in output.splitlines() if pattern.match(line := text.strip())]
    return f"{lines[0]}\n" if len(lines) == 1 else ""
