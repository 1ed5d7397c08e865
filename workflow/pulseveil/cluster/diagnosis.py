"""Findings about a cluster for a plan: each function judges one answer and runs no command."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pulseveil.cluster import calls, inventory
from pulseveil.cluster.calls import Answer
from pulseveil.cluster.inventory import NodeGroup, Setup
from pulseveil.cluster.stand_ins import STATUS_PAUSE_S

State = Literal["ok", "wrong", "unknown"]

_PROFILE = "the profile (profiles/slurm/config.yaml)"
# Patterns in the causes of failures, each with its remedy. The first pattern that matches counts.
_REMEDIES = {
    "partition (?:name|specified)": "Name one of these partitions: {partitions}.",
    r"\baccount\b": f"Set slurm_account in {_PROFILE} to one of these: {{accounts}}.",
    "configuration source|configuration file|slurm.conf|SlurmctldHost": (
        "Set SLURM_CONF to a slurm.conf that all nodes and this machine have at the same path."
    ),
    "is not in PATH": "Run this on a login node, with SLURM's commands in PATH (often: module load slurm).",
    "mutually exclusive|SLURM_MEM": "Run this outside of an allocation (salloc, srun).",
    "memory limit|OUT_OF_MEMORY|oom": "Raise resources.mem_mb in the study.",
    "files are missing|latency": f"Raise latency-wait in {_PROFILE}.",
    r"libcu|tensorflow|CUDA": (
        "Install the environment from envs/lock-gpu-py311.txt,"
        " and see whether `srun --gres=gpu:1 nvidia-smi` finds a driver."
    ),
    "not found|No such file|No module|cannot execute|exit code 127|chdir|permission": (
        "Install the environment (envs/venv.sh) and run the study in folders that all nodes mount at the same"
        " path; tell the administrators if only some nodes fail."
    ),
    "MaxJobs|GrpJobs": (
        "Wait for the end of your other jobs. The controller is a job, too: where only one job may run, run"
        " `snakemake --profile profiles/slurm` on the login node."
    ),
    "group|permi|access": "Ask the administrators for access to this partition.",
    "qos|limit": "Lower jobs, mem_mb or runtime to what this limit allows, or ask for a higher one.",
    "node configuration|can not be satisfied|generic resource": (
        "Lower resources in the study, or name another partition."
    ),
}
_LESS = f"Lower {{}} in the study, or retries in {_PROFILE}"
_OTHERWISE = "Submit a job by hand with `sbatch --wrap true`, and show the administrators this finding."


@dataclass(frozen=True)
class Finding:
    """Result of one check; remedy: one sentence, empty if nothing is wrong."""

    subject: str
    state: State
    found: str
    remedy: str = ""


def find_remedy(cause: str, *, accounts: Iterable[str] = (), partitions: Iterable[str] = ()) -> str:
    """What a user can do about the cause of a failure; accounts: of the user; partitions: of the cluster."""
    found = (remedy for pattern, remedy in _REMEDIES.items() if re.search(pattern, cause, re.IGNORECASE))
    return next(found, _OTHERWISE).format(
        accounts=", ".join(accounts) or "those of `sacctmgr show associations`",
        partitions=", ".join(partitions) or "those of `sinfo`",
    )


def controller(ping: Answer) -> Finding:
    """Judge `scontrol ping`: one controller that is up suffices."""
    if up := [line.strip() for line in ping.output.splitlines() if line.rstrip().endswith("is UP")]:
        return Finding("slurmctld", "ok", "; ".join(up))
    remedy = "Wait until `scontrol ping` says UP, or tell the administrators."
    named = re.search("configuration|slurm.conf|SlurmctldHost|not in PATH", ping.words)
    return Finding("slurmctld", "wrong", ping.words, find_remedy(ping.words) if named else remedy)


def nodes(setup: Setup, groups: Sequence[NodeGroup]) -> Finding:
    """Judge whether a node in service has what the last try of a job needs.

    A job that fits on no node is accepted on many clusters, and never starts.
    """
    memory = setup.mem_mb * setup.tries
    fitting = [g for g in groups if g.in_service and g.mem_mb >= memory and g.has(setup.gres)]
    needed = f"{memory} MB{f' and {setup.gres}' if setup.gres else ''}, which the last try of a job needs"
    within = inventory.planned(setup, groups)
    if found := [group for group in fitting if group in within]:
        return Finding("nodes", "ok", f"{sum(g.count for g in found)} nodes in service have {needed}")
    names = setup.partition or ", ".join(dict.fromkeys(g.partition for g in within)) or "a default partition"
    there = "; ".join(f"{group.describe()} is {group.state}" for group in within) or "no nodes"
    remedy = f"{_LESS.format('mem_mb or gpu')}, or name another partition{_names(fitting)}."
    return Finding("nodes", "wrong", f"no node of {names} in service has {needed}: {there}", remedy)


def time_limit(setup: Setup, groups: Sequence[NodeGroup]) -> Finding:
    """Judge the time limit of the planned partitions.

    Many clusters accept a job above the limit and never start it.
    """
    needed = setup.minutes * setup.tries
    limit = max((group.minutes for group in inventory.planned(setup, groups)), default=math.inf)
    text = "no limit" if math.isinf(limit) else f"{limit:g} min"
    found = f"{text}; the last try of the longest job needs {needed} min"
    if limit >= needed:
        return Finding("time limit", "ok", found)
    longer = [group for group in groups if group.minutes >= needed and group.in_service]
    remedy = f"{_LESS.format('runtime, pack')}, or name another partition{_names(longer)}."
    return Finding("time limit", "wrong", found, remedy)


def _names(groups: Iterable[NodeGroup]) -> str:
    names = ", ".join(dict.fromkeys(group.partition for group in groups))
    return f": {names}" if names else ""


def submission(answer: Answer, groups: Sequence[NodeGroup], accounts: Sequence[str]) -> Finding:
    """Judge `sbatch --test-only`, which applies all rules for partitions, accounts and limits.

    accounts: of the user.
    """
    if answer.code == 0:
        return Finding("submission", "ok", answer.words.removeprefix("sbatch: "))
    if answer.code == calls.NO_ANSWER:
        # That is the state of the cluster and no fault of the plan.
        return Finding("submission", "unknown", answer.words, "Run the check when the cluster is less busy.")
    partitions = dict.fromkeys(group.partition for group in groups)
    remedy = find_remedy(answer.words, accounts=accounts, partitions=partitions)
    return Finding("submission", "wrong", answer.words, remedy)


def job_age(settings: Mapping[str, str], *, accounting: bool) -> Finding:
    """Judge how long squeue remembers an ended job.

    Snakemake never learns the end of a job that squeue forgets between two status checks. The controller then
    uses sacct, which needs accounting.
    """
    subject, age = "memory of squeue", inventory.number(settings.get("MinJobAge", ""))
    if age is None:
        remedy = "Ask the administrators for MinJobAge."
        return Finding(subject, "unknown", "scontrol shows no MinJobAge", remedy)
    if age == 0:
        return Finding(subject, "ok", "squeue forgets no job (MinJobAge 0)")
    found = f"squeue forgets a job {age} s after its end; status checks are up to {STATUS_PAUSE_S} s apart"
    if age > STATUS_PAUSE_S:
        return Finding(subject, "ok", f"{found}: an outage of {age - STATUS_PAUSE_S} s does no harm")
    if accounting:
        return Finding(subject, "ok", f"{found}: sacct is used")
    # Three pauses: status checks may then fail for two pauses.
    remedy = f"Ask the administrators for MinJobAge={3 * STATUS_PAUSE_S + 1}."
    return Finding(subject, "wrong", found, remedy)


def job_count(setup: Setup, limits: Mapping[str, int]) -> Finding:
    """Judge the limits on a user's jobs in the queue, by the name of who sets them."""
    words = [f"{source}: {most} in the queue" for source, most in limits.items()]
    found = "; ".join([f"{setup.jobs} jobs are planned", *words])
    most = min(limits.values(), default=math.inf)
    # Not ">=": the controller itself is one more job in the queue.
    if most > setup.jobs:
        return Finding("number of jobs", "ok", found)
    return Finding("number of jobs", "wrong", found, f"Set jobs to {max(1, most - 1)} in {_PROFILE}.")
