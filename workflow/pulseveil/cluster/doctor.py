"""Checks whether a cluster is ready for a study, before a submission; each fault comes with a remedy."""

from __future__ import annotations

import math
import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from rich import box
from rich.table import Table
from rich.text import Text

from pulseveil.cluster import diagnosis, inventory, trial_job
from pulseveil.cluster.diagnosis import State, Verdict
from pulseveil.cluster.inventory import Reply, Setup, ask, options
from pulseveil.cluster.trial_job import Trial, Waits

# Without sacct and sacctmgr: a cluster that keeps no accounts can run a study.
_NEEDED = ("sbatch", "squeue", "scancel", "scontrol", "sinfo")
_TRIAL_MINUTES = 10


class Visit:
    """One examination of a cluster; sends each query once."""

    def __init__(self, setup: Setup, environment: Mapping[str, str], waits: Waits) -> None:
        self.setup = setup
        self.waits = waits
        self._environment = environment

    def has(self, name: str) -> bool:
        """Whether this command is in PATH."""
        return shutil.which(name, path=self._environment.get("PATH", "")) is not None

    def ask(self, name: str, *arguments: str) -> Reply:
        """Reply of a command of the cluster."""
        return ask(self._environment, name, *arguments, seconds=self.waits.answer)

    @cached_property
    def partitions(self) -> tuple[inventory.Partition, ...]:
        """All partitions of the cluster, hidden ones included."""
        return inventory.partitions(self.ask("scontrol", "--all", "show", "partition", "--oneliner").output)

    @cached_property
    def settings(self) -> dict[str, str]:
        """Settings of the cluster, by name."""
        return inventory.settings(self.ask("scontrol", "show", "config").output)

    @cached_property
    def associations(self) -> str:
        """Output of sacctmgr for this user; empty without accounting."""
        where = ("show", "user", _user(), "withassoc", f"format={inventory.ASSOCIATION_FORMAT}")
        reply = self.ask("sacctmgr", "--noheader", "--parsable2", *where)
        return reply.output if reply.good else ""

    @cached_property
    def trial(self) -> Trial:
        """Result of a trial job."""
        # A limit that could not be read counts as none: the trial job asks for a few minutes anyway.
        limits = [
            partition.minutes or math.inf for partition in diagnosis.chosen(self.setup, self.partitions)
        ]
        # A plan that exceeds the limit of the partition must not hide faults of the node.
        minutes = int(max(1, min(_TRIAL_MINUTES, self.setup.minutes, *limits)))
        return trial_job.hold(self.setup, self._environment, self.waits, minutes)


@dataclass(frozen=True)
class Check:
    """One check; it is done only if all checks in `needs` were ok."""

    subject: str
    needs: tuple[str, ...]
    look: Callable[[Visit], Verdict]


def _commands(visit: Visit) -> Verdict:
    if missing := [name for name in _NEEDED if not visit.has(name)]:
        mend = (
            "Run this on a login node, with SLURM's commands in PATH (on many clusters: module load slurm)."
        )
        return Verdict("wrong", f"not in PATH: {', '.join(missing)}", mend)
    return Verdict("ok", f"in PATH: {', '.join(_NEEDED)}")


def _controller(visit: Visit) -> Verdict:
    return diagnosis.controller(visit.ask("scontrol", "ping"))


def _accounting(visit: Visit) -> Verdict:
    # Only the exit code counts: the query is for the jobs of an unused name.
    reply = visit.ask("sacct", "--allocations", "--noheader", "--format=JobIdRaw", "--name=none")
    return diagnosis.accounting(visit.setup, reply)


def _partition(visit: Visit) -> Verdict:
    if not visit.partitions:
        mend = "Run `scontrol show partition` to see why."
        return Verdict("unknown", "scontrol shows no partition", mend)
    return diagnosis.partition(visit.setup, visit.partitions)


def _nodes(visit: Visit) -> Verdict:
    reply = visit.ask("sinfo", "--noheader", "--all", "--exact", f"--format={inventory.NODE_FORMAT}")
    if not reply.good:
        return Verdict("unknown", reply.said, "Run the check again when sinfo answers.")
    return diagnosis.nodes(visit.setup, visit.partitions, inventory.node_groups(reply.output))


def _time_limit(visit: Visit) -> Verdict:
    return diagnosis.time_limit(visit.setup, visit.partitions)


def _submission(visit: Visit) -> Verdict:
    asked = (*options(visit.setup), f"--time={visit.setup.minutes}")
    reply = visit.ask("sbatch", "--test-only", *asked, "--wrap=true")
    known = () if reply.good else inventory.accounts(visit.associations)
    return diagnosis.submission(reply, known)


def _job_age(visit: Visit) -> Verdict:
    return diagnosis.job_age(visit.setup, visit.settings)


def _job_count(visit: Visit) -> Verdict:
    limits = [inventory.Limit("MaxJobCount", inventory.number(visit.settings.get("MaxJobCount", "")), None)]
    # A cluster may keep accounts without enforcing their limits.
    if re.search("all|limits|safe", visit.settings.get("AccountingStorageEnforce", "")):
        limits += _accounted(visit)
    return diagnosis.job_count(visit.setup, limits)


def _accounted(visit: Visit) -> list[inventory.Limit]:
    """Limits of the user's association and of the QOS that apply to the planned jobs."""
    found = []
    partitions = diagnosis.chosen(visit.setup, visit.partitions)
    names = [partition.qos for partition in partitions]
    for partition in partitions:
        own = inventory.association(
            visit.associations, visit.settings.get("ClusterName", ""), visit.setup.account, partition.name
        )
        if own is not None:
            found.append(own.limit)
            names.append(own.qos)
    reply = visit.ask(
        "sacctmgr", "--noheader", "--parsable2", "show", "qos", f"format={inventory.QOS_FORMAT}"
    )
    return found + inventory.qos_limits(reply.output, names)


def _directory(visit: Visit) -> Verdict:
    try:
        with tempfile.NamedTemporaryFile(prefix=".pulseveil-check-", dir=visit.setup.directory):
            return Verdict("ok", f"{visit.setup.directory} is writable")
    except OSError as error:
        mend = "Run this in a folder of your own, with room left."
        return Verdict("wrong", f"{visit.setup.directory}: {error.strerror}", mend)


def _node(visit: Visit) -> Verdict:
    return diagnosis.node(visit.setup, visit.trial)


def _gpu(visit: Visit) -> Verdict:
    return diagnosis.gpu(visit.trial)


def _user() -> str:
    """Name of this user in SLURM; the number of a user without a name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


# A check must stand after all checks that it needs.
CHECKS = (
    Check("commands", (), _commands),
    Check("controller", ("commands",), _controller),
    Check("accounting", ("controller",), _accounting),
    Check("partition", ("controller",), _partition),
    Check("nodes", ("partition",), _nodes),
    Check("time limit", ("partition",), _time_limit),
    Check("submission", ("nodes",), _submission),
    Check("memory of squeue", ("controller",), _job_age),
    Check("number of jobs", ("partition",), _job_count),
    Check("work directory", (), _directory),
    Check("a job on a node", ("submission", "work directory"), _node),
)
GPU_CHECK = Check("GPU", ("a job on a node",), _gpu)


__all__ = ["Finding", "Setup", "Waits", "examine", "render"]

_STYLES: Mapping[State, str] = {"ok": "green", "wrong": "bold red", "unknown": "yellow"}


@dataclass(frozen=True)
class Finding:
    """Result of a check by its subject; mend: one sentence, empty if nothing is wrong."""

    subject: str
    state: State
    found: str
    mend: str = ""


def examine(setup: Setup, environment: Mapping[str, str], waits: Waits | None = None) -> Iterator[Finding]:
    """Examine everything that a study needs from the cluster; yields one finding per check.

    environment: for the commands of SLURM, as in a run of the study.
    """
    visit = Visit(setup, environment, waits or Waits())
    causes: dict[str, str] = {}
    for check in (*CHECKS, GPU_CHECK) if setup.gpus else CHECKS:
        if cause := next((causes[need] for need in check.needs if need in causes), None):
            # The first cause, also for checks further down: to mend one in between would not help.
            causes[check.subject] = cause
            yield Finding(check.subject, "unknown", "not looked at", f"First mend this: {cause}.")
            continue
        verdict = check.look(visit)
        if verdict.state != "ok":
            causes[check.subject] = check.subject
        yield Finding(check.subject, verdict.state, verdict.found, verdict.mend)


def render(findings: Iterable[Finding]) -> Table:
    """The findings as a table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "looked at", "found"):
        table.add_column(heading, no_wrap=heading != "found")
    for finding in findings:
        # Text, because brackets in answers of the cluster, as in "[root@vm]", would be read as markup.
        found = Text(finding.found)
        if finding.mend:
            found.append(f"\n{finding.mend}", style="bold")
        table.add_row(Text(finding.state, style=_STYLES[finding.state]), finding.subject, found)
    return table
