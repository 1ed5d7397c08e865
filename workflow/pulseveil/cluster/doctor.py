"""Checks whether a cluster is ready for a study, before a submission; each fault comes with a remedy."""

from __future__ import annotations

import os
import pwd
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from pulseveil.cluster import diagnosis, inventory, jobs, trial
from pulseveil.cluster.calls import Answer, call
from pulseveil.cluster.diagnosis import Finding, State
from pulseveil.cluster.inventory import NodeGroup, Setup
from pulseveil.cluster.trial import PROJECT, Waits
from pulseveil.core.errors import InputError
from pulseveil.study import dag

__all__ = ["Finding", "Setup", "Waits", "examine", "render"]

Ask = Callable[..., Answer]
# Without these no trial can run. A plan that exceeds a limit must not hide faults of nodes.
_NEEDED = ("work directory", "slurmctld", "submission")
_STYLES: Mapping[State, str] = {"ok": "green", "wrong": "bold red", "unknown": "yellow"}


def examine(setup: Setup, waits: Waits | None = None) -> list[Finding]:
    """Examine all that a study needs from the cluster, and run a trial on each class of nodes."""
    waits = waits or Waits()
    ask = partial(call, jobs.own_environment(), seconds=waits.answer)
    findings = [_directory(setup), diagnosis.controller(ask("scontrol", "ping"))]
    groups: tuple[NodeGroup, ...] = ()
    if findings[-1].state == "ok":
        sinfo = ask("sinfo", "--noheader", "--all", "--exact", f"--format={inventory.NODE_FORMAT}")
        groups = inventory.node_groups(sinfo.output)
        findings += _limits(setup, sinfo, groups, ask)
    faults = [f.subject for f in findings if f.state != "ok" and f.subject in _NEEDED]
    classes = inventory.classes(setup, groups)
    if faults or not classes:
        remedy = f"Repair this first: {', '.join(faults) or 'nodes'}."
        return [*findings, Finding("trial", "unknown", "not done", remedy)]
    return [*findings, *trial.run(setup, classes, waits)]


def _directory(setup: Setup) -> Finding:
    subject = "work directory"
    try:
        dag.require_plain_words(PROJECT, setup.directory, Path(sys.executable))
        with tempfile.NamedTemporaryFile(prefix=trial.PREFIX, dir=setup.directory):
            return Finding(subject, "ok", f"{setup.directory} is writable")
    except InputError as error:
        found, _, remedy = str(error).partition("; ")
        return Finding(subject, "wrong", found, f"{remedy.capitalize()}.")
    except OSError as error:
        remedy = "Run this in a folder of your own, with room left."
        return Finding(subject, "wrong", f"{setup.directory}: {error.strerror}", remedy)


def _limits(setup: Setup, sinfo: Answer, groups: Sequence[NodeGroup], ask: Ask) -> list[Finding]:
    """Findings on what the cluster allows: nodes, time, a submission, and the number of jobs."""
    settings = inventory.settings(ask("scontrol", "show", "config").output)
    where = ("show", "user", _user(), "withassoc", f"format={inventory.ASSOCIATION_FORMAT}")
    accounts = ask("sacctmgr", "--noheader", "--parsable2", *where).output
    tried = ask("sbatch", "--test-only", *setup.options, "--wrap=true")
    again = "Run the check again when sinfo answers."
    return [
        diagnosis.nodes(setup, groups) if groups else Finding("nodes", "unknown", sinfo.words, again),
        diagnosis.time_limit(setup, groups),
        diagnosis.submission(tried, groups, inventory.accounts(accounts)),
        diagnosis.job_age(settings, accounting=bool(accounts)),
        diagnosis.job_count(setup, _job_limits(setup, groups, settings, accounts, ask)),
    ]


def _job_limits(
    setup: Setup, groups: Sequence[NodeGroup], settings: Mapping[str, str], accounts: str, ask: Ask
) -> dict[str, int]:
    """Limits on the number of jobs, of the cluster, and of the account and QOS of the planned jobs."""
    found = {"MaxJobCount": inventory.number(settings.get("MaxJobCount", ""))}
    # A cluster may keep accounts without enforcing their limits.
    if re.search("all|limits|safe", settings.get("AccountingStorageEnforce", "")):
        answer = ask("sacctmgr", "--noheader", "--parsable2", "show", "qos", f"format={inventory.QOS_FORMAT}")
        of_qos = inventory.qos_limits(answer.output)
        for partition in dict.fromkeys(group.partition for group in inventory.planned(setup, groups)):
            cluster = settings.get("ClusterName", "")
            found["account"], own = inventory.association(accounts, cluster, setup.account, partition)
            names = re.findall(r"\bQoS=(\S+)", ask("scontrol", "show", "partition", partition).output)
            found |= {f"QOS {name}": of_qos.get(name) for name in (*names, own)}
    return {source: most for source, most in found.items() if most is not None}


def _user() -> str:
    """Name of this user in SLURM; the number of a user without a name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def render(findings: Iterable[Finding]) -> Table:
    """The findings as a table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "examined", "found"):
        table.add_column(heading, no_wrap=heading != "found")
    for finding in findings:
        # Text, because brackets in answers of the cluster, as in "[root@vm]", would be read as markup.
        found = Text(finding.found)
        if finding.remedy:
            found.append(f"\n{finding.remedy}", style="bold")
        table.add_row(Text(finding.state, style=_STYLES[finding.state]), finding.subject, found)
    return table
