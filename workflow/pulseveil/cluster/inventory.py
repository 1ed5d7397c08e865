"""What a cluster has, by one question each to scontrol, sinfo and sacctmgr (SLURM 20 to 24).

A command may be missing, fail or never answer. Beside it: what a user plans to ask of the cluster.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

NODE_FORMAT = "%R|%T|%m|%G"
ASSOCIATION_FORMAT = "DefaultAccount,Cluster,Account,Partition,QOS,DefaultQOS,MaxJobs,MaxSubmit"
QOS_FORMAT = "Name,MaxJobsPU,MaxSubmitPU"

_PAIR = re.compile(r"(?:^|\s)(\w+)=(\S*)")
_SETTING = re.compile(r"^(\w+)\s*=\s*(.*?)\s*$", re.MULTILINE)
_TIME = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")
_OUT_OF_SERVICE = ("block", "down", "drain", "err", "fail", "fut", "inval", "maint", "unk")
# A QOS that nobody chose; it is there on every cluster with accounting.
_COMMON_QOS = "normal"


@dataclass(frozen=True)
class Partition:
    """A partition; minutes: its time limit, None where it could not be read; qos: empty for none."""

    name: str
    default: bool
    state: str
    minutes: float | None
    qos: str


@dataclass(frozen=True)
class NodeGroup:
    """Nodes of a partition that are alike."""

    partition: str
    state: str
    mem_mb: int
    gpu: bool

    @property
    def in_service(self) -> bool:
        """Whether jobs may start on them, now or when others have ended."""
        # A star: the node does not respond.
        return not self.state.endswith("*") and not self.state.startswith(_OUT_OF_SERVICE)


@dataclass(frozen=True)
class Limit:
    """How many jobs `source` lets a user have in the queue and run at a time; None: as many as wanted."""

    source: str
    queued: int | None
    running: int | None


@dataclass(frozen=True)
class Association:
    """What a user's jobs are counted on; qos: the one that they get when they ask for none."""

    limit: Limit
    qos: str


def partitions(text: str) -> tuple[Partition, ...]:
    """All partitions of `scontrol show partition --oneliner`."""
    found = []
    for line in text.splitlines():
        # The first one wins: a value may itself hold "name=value".
        fields = dict(reversed(_PAIR.findall(line)))
        if name := fields.get("PartitionName"):
            qos = fields.get("QoS", "N/A")
            found.append(
                Partition(
                    name,
                    fields.get("Default") == "YES",
                    fields.get("State", "?"),
                    minutes(fields.get("MaxTime", "")),
                    "" if qos == "N/A" else qos,
                )
            )
    return tuple(found)


def minutes(text: str) -> float | None:
    """A time limit as SLURM prints it, in minutes; None where it is none."""
    if text.upper() in ("UNLIMITED", "INFINITE"):
        return math.inf
    if not (match := _TIME.fullmatch(text)):
        return None
    days, hours, mins, secs = (int(part or 0) for part in match.groups())
    return days * 24 * 60 + hours * 60 + mins + secs / 60


def node_groups(text: str) -> tuple[NodeGroup, ...]:
    """The nodes of `sinfo --noheader --exact` in NODE_FORMAT."""
    found = []
    for line in text.splitlines():
        fields = line.strip().split("|", 3)
        if len(fields) == 4 and fields[2].rstrip("+").isdecimal():
            name, state, memory, gres = fields
            found.append(NodeGroup(name, state.lower(), int(memory.rstrip("+")), _has_gpu(gres)))
    return tuple(found)


def _has_gpu(gres: str) -> bool:
    """Whether generic resources like "gpu:a100:4(S:0-1),lscratch:800" hold a GPU."""
    parts = (part.split(":") for part in re.sub(r"\([^)]*\)", "", gres).split(","))
    return any(part[0] == "gpu" and part[-1] != "0" for part in parts)


def settings(text: str) -> dict[str, str]:
    """The settings of `scontrol show config`."""
    return dict(_SETTING.findall(text))


def number(text: str) -> int | None:
    """The whole number that a text begins with, as in "300 sec"."""
    match = re.match(r"\s*(\d+)", text)
    return int(match[1]) if match else None


def association(text: str, cluster: str, account: str, partition: str) -> Association | None:
    """The user's association in `sacctmgr show user withassoc` that a job belongs to; None without one.

    account: empty for the user's default one.
    """
    found = None
    for row in _rows(text, 8):
        default, of_cluster, name, of_partition, qos, default_qos, running, queued = row
        if of_cluster != cluster or name != (account or default) or of_partition not in ("", partition):
            continue
        only_qos = qos if qos and "," not in qos else _COMMON_QOS
        limit = Limit(f"account {name}", number(queued), number(running))
        # One for this partition counts more than one for all.
        if found is None or of_partition:
            found = Association(limit, default_qos or only_qos)
    return found


def accounts(text: str) -> list[str]:
    """The user's accounts in `sacctmgr show user withassoc`."""
    return sorted({row[2] for row in _rows(text, 8) if row[2]})


def qos_limits(text: str, names: Iterable[str]) -> list[Limit]:
    """The limits of these QOS in `sacctmgr show qos`."""
    wanted = set(names)
    rows = _rows(text, 3)
    return [Limit(f"QOS {name}", number(queued), number(run)) for name, run, queued in rows if name in wanted]


def _rows(text: str, columns: int) -> list[list[str]]:
    """The lines of sacctmgr's parsable answer that have so many columns."""
    rows = (line.split("|") for line in text.splitlines())
    return [row for row in rows if len(row) == columns]


_LINES = 3
_ENDING_S = 1.0


@dataclass(frozen=True)
class Reply:
    """What a command said; code is None where it is missing or did not answer in time."""

    code: int | None
    output: str
    errors: str

    @property
    def good(self) -> bool:
        """Whether the command did what it was asked."""
        return self.code == 0

    @property
    def said(self) -> str:
        """Its last words, for people."""
        text = self.errors if self.errors.strip() else self.output
        # Stars: the frame that scontrol draws around a call for the administrator.
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("*")]
        return "; ".join(lines[-_LINES:]) or f"exit code {self.code}"


def ask(environment: Mapping[str, str], name: str, *arguments: str, seconds: float) -> Reply:
    """The reply of a command within so many seconds; the command and all that it started are ended then."""
    program = shutil.which(name, path=environment.get("PATH", ""))
    if program is None:
        return Reply(None, "", f"{name} is not in PATH")
    try:
        process = subprocess.Popen(
            [program, *arguments],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return Reply(None, "", f"{name} does not start: {error.strerror}")
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        return Reply(None, "", f"{name} did not answer within {seconds:g} s")
    except BaseException:
        _end(process)
        raise
    return Reply(process.returncode, output, errors)


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a command with its children, one of which may hold its output open."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # One that waits for a dead file system cannot even be killed: it is left behind.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_ENDING_S)


@dataclass(frozen=True)
class Setup:
    """The plan that a cluster is examined for.

    directory: where the study runs. gpus: of a job, 0 or 1. minutes: time limit of the longest job at its
    first try. mem_mb: memory of a job at its first try; tries: the last of so many asks for as many times
    both. jobs: the most in the queue at a time. status_command: squeue or sacct.
    partition, account: empty for the cluster's default. pause_s: the longest time between two looks at the
    queue. latency_wait_s: how long a file of an ended job is waited for.
    """

    directory: Path
    gpus: int
    minutes: int
    mem_mb: int
    jobs: int
    status_command: str
    partition: str = ""
    account: str = ""
    tries: int = 1
    pause_s: int = 180
    latency_wait_s: int = 60


def options(setup: Setup) -> list[str]:
    """The options of sbatch that ask for the planned partition, account, memory and GPU."""
    gres = f"gpu:{setup.gpus}" if setup.gpus else ""
    wanted = {"partition": setup.partition, "account": setup.account, "gres": gres}
    return [
        *(f"--{name}={value}" for name, value in wanted.items() if value),
        f"--mem={setup.mem_mb}M",
        "--nodes=1",
        "--ntasks=1",
    ]
