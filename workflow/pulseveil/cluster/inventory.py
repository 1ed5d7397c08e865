"""Facts about a cluster from scontrol, sinfo and sacctmgr (SLURM 20 to 24), and the demands of a plan.

A command may be missing, fail or never answer.
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
# Beginnings of the states in which nodes start no jobs.
_OUT_OF_SERVICE = ("block", "down", "drain", "err", "fail", "fut", "inval", "maint", "unk")
# The QOS of a user for whom none was chosen; every cluster with accounting has it.
_COMMON_QOS = "normal"


@dataclass(frozen=True)
class Partition:
    """A partition; minutes: its time limit, None if unreadable; qos: empty for none."""

    name: str
    default: bool
    state: str
    minutes: float | None
    qos: str


@dataclass(frozen=True)
class NodeGroup:
    """Nodes of one partition in the same state; mem_mb, gpu: per node."""

    partition: str
    state: str
    mem_mb: int
    gpu: bool

    @property
    def in_service(self) -> bool:
        """Whether jobs may start on the nodes, now or once other jobs have ended."""
        # sinfo marks nodes that do not respond with a star.
        return not self.state.endswith("*") and not self.state.startswith(_OUT_OF_SERVICE)


@dataclass(frozen=True)
class Limit:
    """Largest number of jobs of a user in the queue and running; None: no limit; source: who sets it."""

    source: str
    queued: int | None
    running: int | None


@dataclass(frozen=True)
class Association:
    """Account entry that a user's jobs count against; qos: the QOS of jobs that name none."""

    limit: Limit
    qos: str


def partitions(text: str) -> tuple[Partition, ...]:
    """Partitions in the output of `scontrol show partition --oneliner`."""
    found = []
    for line in text.splitlines():
        # Reversed, so that the first pair of a name wins: a value may itself contain "name=value".
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
    """Time limit in SLURM's notation, in minutes.

    Returns:
        Infinity for no limit; None for text that is not a time limit.

    Examples:
        >>> minutes("1-02:00:30")
        1560.5
        >>> minutes("UNLIMITED")
        inf
    """
    if text.upper() in ("UNLIMITED", "INFINITE"):
        return math.inf
    if not (match := _TIME.fullmatch(text)):
        return None
    days, hours, mins, secs = (int(part or 0) for part in match.groups())
    return days * 24 * 60 + hours * 60 + mins + secs / 60


def node_groups(text: str) -> tuple[NodeGroup, ...]:
    """Nodes in the output of `sinfo --noheader --exact` in NODE_FORMAT."""
    found = []
    for line in text.splitlines():
        fields = line.strip().split("|", 3)
        if len(fields) == 4 and fields[2].rstrip("+").isdecimal():
            name, state, memory, gres = fields
            found.append(NodeGroup(name, state.lower(), int(memory.rstrip("+")), _has_gpu(gres)))
    return tuple(found)


def _has_gpu(gres: str) -> bool:
    """Whether generic resources such as "gpu:a100:4(S:0-1),lscratch:800" include a GPU."""
    parts = (part.split(":") for part in re.sub(r"\([^)]*\)", "", gres).split(","))
    return any(part[0] == "gpu" and part[-1] != "0" for part in parts)


def settings(text: str) -> dict[str, str]:
    """Settings in the output of `scontrol show config`."""
    return dict(_SETTING.findall(text))


def number(text: str) -> int | None:
    """Whole number at the beginning of a text; None without one.

    Examples:
        >>> number("300 sec")
        300
    """
    match = re.match(r"\s*(\d+)", text)
    return int(match[1]) if match else None


def association(text: str, cluster: str, account: str, partition: str) -> Association | None:
    """Association that a job counts against, from `sacctmgr show user withassoc`; None without one.

    account: empty for the user's default account.
    """
    found = None
    for row in _rows(text, 8):
        default, of_cluster, name, of_partition, qos, default_qos, running, queued = row
        # One accounting database may serve several clusters.
        if of_cluster != cluster or name != (account or default) or of_partition not in ("", partition):
            continue
        only_qos = qos if qos and "," not in qos else _COMMON_QOS
        limit = Limit(f"account {name}", number(queued), number(running))
        # An association for this partition takes precedence over one for all partitions.
        if found is None or of_partition:
            found = Association(limit, default_qos or only_qos)
    return found


def accounts(text: str) -> list[str]:
    """Accounts of the user, from `sacctmgr show user withassoc`."""
    return sorted({row[2] for row in _rows(text, 8) if row[2]})


def qos_limits(text: str, names: Iterable[str]) -> list[Limit]:
    """Limits of the named QOS, from `sacctmgr show qos`."""
    wanted = set(names)
    rows = _rows(text, 3)
    return [Limit(f"QOS {name}", number(queued), number(run)) for name, run, queued in rows if name in wanted]


def _rows(text: str, columns: int) -> list[list[str]]:
    """Rows of sacctmgr's parsable output that have this number of columns."""
    rows = (line.split("|") for line in text.splitlines())
    return [row for row in rows if len(row) == columns]


_LINES = 3
_ENDING_S = 1.0


@dataclass(frozen=True)
class Reply:
    """Reply of a command; code is None if the command does not start or did not answer in time."""

    code: int | None
    output: str
    errors: str

    @property
    def good(self) -> bool:
        """Whether the command succeeded."""
        return self.code == 0

    @property
    def said(self) -> str:
        """Last lines of the reply, for people."""
        text = self.errors if self.errors.strip() else self.output
        # Lines with stars are the frame that scontrol draws around a message to administrators.
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("*")]
        return "; ".join(lines[-_LINES:]) or f"exit code {self.code}"


def ask(environment: Mapping[str, str], name: str, *arguments: str, seconds: float) -> Reply:
    """Reply of a command; after `seconds` the command and its children are killed."""
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
        # Ctrl-C does not reach the command, which has a session of its own.
        _end(process)
        raise
    return Reply(process.returncode, output, errors)


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a command and its children; one that holds the output open would block the read."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # A process that waits for a dead file system cannot be killed. It is left behind.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_ENDING_S)


@dataclass(frozen=True)
class Setup:
    """Demands of a plan on a cluster.

    directory: where the study runs. gpus: per job, 0 or 1. minutes: time limit of the longest job in its
    first try. mem_mb: memory of a job in its first try. jobs: largest number in the queue. status_command:
    squeue or sacct. partition, account: empty for the cluster's default. tries: largest number of tries of a
    job; try n asks for n times the time and memory. pause_s: longest pause between two status checks.
    latency_wait_s: time that Snakemake waits for a file of an ended job.
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
    """Options of sbatch for the planned partition, account, memory and GPU."""
    # As in `stand_ins.with_gres`: some clusters refuse --gpus.
    gres = f"gpu:{setup.gpus}" if setup.gpus else ""
    wanted = {"partition": setup.partition, "account": setup.account, "gres": gres}
    return [
        *(f"--{name}={value}" for name, value in wanted.items() if value),
        f"--mem={setup.mem_mb}M",
        "--nodes=1",
        "--ntasks=1",
    ]
