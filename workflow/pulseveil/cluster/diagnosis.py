"""Verdicts on a cluster's answers for a plan: each function judges one answer and runs no command."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pulseveil.cluster import inventory
from pulseveil.cluster.inventory import Limit, NodeGroup, Partition, Reply, Setup
from pulseveil.cluster.trial_job import Trial

State = Literal["ok", "wrong", "unknown"]

_PROFILE = "profiles/slurm/config.yaml"
# Patterns in the refusals of sbatch, each with its remedy. The first pattern that matches counts.
_REFUSALS = {
    r"\baccount\b": f"Set slurm_account in {_PROFILE} to {{accounts}}.",
    r"group|permi|access": "Ask the cluster's administrators for access to this partition.",
    "qos|limit": "Lower jobs, mem_mb or runtime to what this limit allows, or ask for a higher one.",
}


@dataclass(frozen=True)
class Verdict:
    """Result of one check; mend: one sentence, empty if nothing is wrong."""

    state: State
    found: str
    mend: str = ""


def controller(reply: Reply) -> Verdict:
    """Judge `scontrol ping`: one controller that is up suffices."""
    if up := [line.strip() for line in reply.output.splitlines() if line.rstrip().endswith("is UP")]:
        return Verdict("ok", "; ".join(up))
    if re.search("configuration|slurm.conf|SlurmctldHost", reply.said):
        return Verdict("wrong", reply.said, "Set SLURM_CONF to the slurm.conf that the login nodes use.")
    return Verdict("wrong", reply.said, "Wait until `scontrol ping` says UP, or tell the administrators.")


def accounting(setup: Setup, reply: Reply) -> Verdict:
    """Judge an answer of sacct, which need not work if squeue is used."""
    if reply.good:
        return Verdict("ok", f"sacct answers; {setup.status_command} is used")
    if setup.status_command == "squeue":
        return Verdict("ok", f"{reply.said}; squeue is used")
    # With a sacct that always fails, Snakemake would wait for ever, without a message.
    mend = f"Set slurm-status-command to squeue in {_PROFILE}."
    return Verdict("wrong", reply.said, mend)


def chosen(setup: Setup, partitions: Sequence[Partition]) -> list[Partition]:
    """The planned partitions that exist; without a plan the default partition."""
    names = setup.partition.split(",")
    return [p for p in partitions if (p.name in names if setup.partition else p.default)]


def partition(setup: Setup, partitions: Sequence[Partition]) -> Verdict:
    """Judge whether the planned partitions exist and take jobs."""
    other = f"Name one of these partitions: {', '.join(p.name for p in partitions)}."
    found = chosen(setup, partitions)
    missing = set(filter(None, setup.partition.split(","))) - {p.name for p in found}
    if missing:
        return Verdict("wrong", f"no partition {', '.join(sorted(missing))}", other)
    if not found:
        return Verdict("wrong", "no default partition", other)
    if closed := [p for p in found if p.state != "UP"]:
        return Verdict("wrong", f"{closed[0].name} is {closed[0].state}", other)
    names = ", ".join(p.name for p in found)
    return Verdict("ok", f"{names} is UP" + ("" if setup.partition else " (the default)"))


def nodes(setup: Setup, partitions: Sequence[Partition], groups: Sequence[NodeGroup]) -> Verdict:
    """Judge whether a node of the planned partitions has the memory and the GPU of a job."""
    names = [p.name for p in chosen(setup, partitions)]
    within = [g for g in groups if g.partition in names]
    serving = [g for g in within if g.in_service]
    where = ", ".join(names)
    if not serving:
        states = ", ".join(sorted({g.state for g in within})) or "no nodes"
        mend = f"Name another partition, or ask the administrators about `sinfo --list-reasons -p {where}`."
        return Verdict("wrong", f"no node of {where} is in service: {states}", mend)
    fitting = [g for g in serving if g.gpu] if setup.gpus else serving
    if not fitting:
        others = sorted({g.partition for g in groups if g.gpu and g.in_service})
        mend = f"Name a partition with GPUs: {', '.join(others)}."
        mend = mend if others else "Set resources.gpu to 0 in the study: no partition has a GPU in service."
        return Verdict("wrong", f"no node of {where} has a GPU", mend)
    most = max(g.mem_mb for g in fitting)
    with_gpu = " with a GPU" if setup.gpus else ""
    asked = f"a job asks for {setup.mem_mb} MB{_at_last(setup, 'MB', setup.mem_mb)}"
    # The last try counts: it asks for the most, and a try that fits on no node would wait for ever.
    if most < setup.mem_mb * setup.tries:
        mend = (
            f"Set resources.mem_mb to at most {most // setup.tries} in the study{_fewer(setup)},"
            " or name a partition with larger nodes."
        )
        return Verdict("wrong", f"nodes{with_gpu} have {most} MB; {asked}", mend)
    return Verdict("ok", f"up to {most} MB on a node{with_gpu}; {asked}")


def time_limit(setup: Setup, partitions: Sequence[Partition]) -> Verdict:
    """Judge the time limit of the planned partitions.

    Many clusters accept a job above the limit and never start it.
    """
    limits = [p.minutes for p in chosen(setup, partitions) if p.minutes is not None]
    if not limits:
        return Verdict("unknown", "the time limit is not readable", "Compare it by hand: `sinfo -o '%R %l'`.")
    limit = max(limits)
    text = "no limit" if math.isinf(limit) else f"{limit:g} min"
    needed = setup.minutes * setup.tries
    found = f"{text}; the longest job asks for {setup.minutes} min{_at_last(setup, 'min', setup.minutes)}"
    if limit >= needed:
        return Verdict("ok", found)
    longer = [p.name for p in partitions if (p.minutes or 0) >= needed and p.state == "UP"]
    choice = f", or name another partition: {', '.join(longer)}" if longer else ""
    less = "Set resources.runtime, or the seeds of a job (pack), to less in the study"
    faster = ", or resources.gpu_speedup to more" if setup.gpus else ""
    return Verdict("wrong", found, f"{less}{faster}{_fewer(setup)}{choice}.")


def _at_last(setup: Setup, unit: str, first: int) -> str:
    """Demand of the last try of a job, as part of a sentence; empty for a single try."""
    return f", its last try for {first * setup.tries} {unit}" if setup.tries > 1 else ""


def _fewer(setup: Setup) -> str:
    """Remedy of fewer tries, as part of a sentence; empty for a single try."""
    return f", or retries in {_PROFILE} to less" if setup.tries > 1 else ""


def submission(reply: Reply, accounts: Sequence[str]) -> Verdict:
    """Judge `sbatch --test-only`, which applies all rules for partitions, accounts and limits."""
    if reply.good:
        return Verdict("ok", reply.said.removeprefix("sbatch: "))
    # No answer in time is the state of the cluster and no fault of the plan.
    if reply.code is None:
        return Verdict("unknown", reply.said, "Run the check again when the cluster is less busy.")
    for pattern, mend in _REFUSALS.items():
        if re.search(pattern, reply.said, re.IGNORECASE):
            known = "one of these: " + ", ".join(accounts) if accounts else "an account that bills for you"
            return Verdict("wrong", reply.said, mend.format(accounts=known))
    mend = "Change what the study asks for, or its partition, until `sbatch --test-only` takes it."
    return Verdict("wrong", reply.said, mend)


def job_age(setup: Setup, settings: dict[str, str]) -> Verdict:
    """Judge how long squeue remembers an ended job.

    Snakemake never learns the end of a job that squeue forgets between two status checks.
    """
    if setup.status_command == "sacct":
        return Verdict("ok", "sacct remembers all jobs")
    age = inventory.number(settings.get("MinJobAge", ""))
    if age is None:
        return Verdict("unknown", "MinJobAge is not told", "Ask the administrators for MinJobAge.")
    if age == 0:
        return Verdict("ok", "squeue forgets no job (MinJobAge 0)")
    found = f"squeue forgets a job {age} s after its end; looks are up to {setup.pause_s} s apart"
    if age <= setup.pause_s:
        # Three pauses: status checks may then fail for two pauses.
        mend = (
            f"Set slurm-status-command to sacct in {_PROFILE}, or ask for MinJobAge={3 * setup.pause_s + 1}."
        )
        return Verdict("wrong", found, mend)
    spare = age - setup.pause_s
    return Verdict("ok", f"{found}: silence of {spare} s is survived")


def job_count(setup: Setup, limits: Sequence[Limit]) -> Verdict:
    """Judge the limits on jobs in the queue."""
    queued = [(limit.queued, limit.source) for limit in limits if limit.queued is not None]
    running = [(limit.running, limit.source) for limit in limits if limit.running is not None]
    # Not "<": the controller itself is one more job in the queue.
    if queued and min(queued)[0] <= setup.jobs:
        most, source = min(queued)
        mend = f"Set jobs to {max(1, most - 1)} in {_PROFILE}."
        return Verdict("wrong", f"{source}: {most} jobs in the queue; {setup.jobs} are planned", mend)
    told = [f"{source}: {most} in the queue" for most, source in sorted(queued)[:1]]
    told += [f"{source}: {most} run at a time" for most, source in sorted(running)[:1]]
    return Verdict("ok", "; ".join([f"{setup.jobs} jobs are planned", *told]))


def node(setup: Setup, trial: Trial) -> Verdict:
    """Judge the trial job: whether its node runs this Python, and its files are seen here in time."""
    if trial.refusal:
        return Verdict("wrong", trial.refusal, "Submit a job by hand with `sbatch --wrap true` to see why.")
    if trial.waits:
        found = f"job {trial.number} did not start: {trial.state} ({trial.reason})"
        mend = f"Look up {trial.reason} among the reasons in `man squeue`, and run the check again."
        return Verdict("unknown", found, mend)
    if trial.runs:
        mend = f"Run `{sys.executable} -c 'import pulseveil'` on a node, and see whether it hangs."
        return Verdict("unknown", f"job {trial.number} did not end: {trial.state}", mend)
    # The job writes the name of its node first: without that file it did not reach the folder.
    if trial.lag_s is None and not trial.node:
        found = (
            f"job {trial.number} ended ({trial.state or 'forgotten'}) and left no file in {setup.directory}"
        )
        return Verdict("wrong", found, "Move this folder to a file system that all nodes mount at this path.")
    if not trial.python:
        found = f"{sys.executable} fails on {trial.node}: {trial.python_log or trial.state}"
        return Verdict(
            "wrong",
            found,
            "Install the environment (envs/venv.sh) in a folder that all nodes mount at this path.",
        )
    if trial.lag_s is None:
        found = f"job {trial.number} on {trial.node} ended early: {trial.state} ({trial.reason})"
        return Verdict("wrong", found, "Raise resources.mem_mb in the study.")
    allowed = f"latency-wait is {setup.latency_wait_s} s"
    lag = f"a file of {trial.node} was seen here after {trial.lag_s:.1f} s ({allowed})"
    if trial.lag_s > setup.latency_wait_s:
        return Verdict("wrong", lag, f"Set latency-wait to {2 * trial.lag_s:.0f} in {_PROFILE}.")
    return Verdict("ok", f"Python runs; {lag}")


def gpu(trial: Trial) -> Verdict:
    """Judge the number of GPUs that TensorFlow sees on the node."""
    if not trial.gpus.isdecimal():
        found = f"TensorFlow does not start on {trial.node}: {trial.gpus_log or trial.state}"
        return Verdict("wrong", found, "Install the environment from envs/lock-gpu-py311.txt.")
    found = f"{trial.gpus} GPUs seen by TensorFlow on {trial.node}"
    if int(trial.gpus):
        return Verdict("ok", found)
    mend = (
        "Install the environment from envs/lock-gpu-py311.txt,"
        " and see whether `srun --gres=gpu:1 nvidia-smi` finds a driver."
    )
    return Verdict("wrong", found, mend)
