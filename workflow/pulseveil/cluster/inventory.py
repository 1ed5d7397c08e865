"""Facts about a cluster from the output of SLURM's commands (SLURM 20 to 24), and the demands of a plan."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pulseveil.cluster import jobs
from pulseveil.cluster.submission import Allocation

NODE_FORMAT = "%P|%a|%l|%T|%m|%G|%f|%D|%N"
ASSOCIATION_FORMAT = "DefaultAccount,Cluster,Account,Partition,QOS,DefaultQOS,MaxSubmit"
QOS_FORMAT = "Name,MaxSubmitPU"

_SETTING = re.compile(r"^(\w+)\s*=\s*(.*?)\s*$", re.MULTILINE)
_OPTIONS = ("partition", "account", "constraint", "gres")
# Beginnings of the states in which nodes start no jobs.
_OUT_OF_SERVICE = ("block", "down", "drain", "err", "fail", "fut", "inval", "maint", "unk")
# The QOS of a user for whom none was chosen; every cluster with accounting has it.
_COMMON_QOS = "normal"


@dataclass(frozen=True)
class Setup:
    """Demands of a plan on a cluster.

    directory: where the study runs. profile: folder of Snakemake's profile. allocation: of the controller.
    minutes, mem_mb: time limit of the longest job and memory of a job, in the first try. jobs: largest number
    in the queue. gres: of a job with a GPU, empty for a study without. partition, account, constraint: of
    jobs, empty for the cluster's default. tries: largest number of tries of a job; try n has n times the time
    and memory. arguments: further ones of Snakemake.
    """

    directory: Path
    profile: Path
    minutes: int
    mem_mb: int
    jobs: int
    allocation: Allocation = field(default_factory=Allocation)
    gres: str = ""
    partition: str = ""
    account: str = ""
    constraint: str = ""
    tries: int = 1
    arguments: tuple[str, ...] = ()

    @property
    def options(self) -> list[str]:
        """Options of sbatch for the longest job in its first try."""
        named = [f"--{name}={getattr(self, name)}" for name in _OPTIONS if getattr(self, name)]
        return [*named, f"--mem={self.mem_mb}M", f"--time={self.minutes}", "--nodes=1", "--ntasks=1"]


@dataclass(frozen=True)
class NodeGroup:
    """Nodes of one partition that are alike, named in SLURM's short form.

    minutes: time limit of the partition. state: of the nodes. mem_mb, gres: memory and generic resources per
    node. others: names of the planned nodes that are not like these.
    """

    partition: str
    default: bool
    minutes: float
    state: str
    mem_mb: int
    gres: str
    features: str
    count: int
    names: str
    others: str = ""

    @property
    def in_service(self) -> bool:
        """Whether jobs may start on the nodes, now or once other jobs have ended."""
        # sinfo marks nodes that do not respond with a star.
        return not self.state.endswith("*") and not self.state.startswith(_OUT_OF_SERVICE)

    def has(self, gres: str) -> bool:
        """Whether the nodes have a generic resource such as "gpu:1" or "gpu:a100:1".

        Generic resources of nodes look like "gpu:a100:4(S:0-1),lscratch:800".
        """
        kind = [word for word in gres.split(":") if not word.isdecimal()]
        parts = [part.split(":") for part in re.sub(r"\([^)]*\)", "", self.gres).split(",")]
        return not gres or any(part[: len(kind)] == kind and part[-1] != "0" for part in parts)

    def describe(self) -> str:
        """Names and equipment, for a user."""
        gres = "" if self.gres == "(null)" else f", {self.gres}"
        return f"{self.names} ({self.mem_mb} MB{gres})"


def node_groups(text: str) -> tuple[NodeGroup, ...]:
    """Nodes in the output of `sinfo --noheader --exact` in NODE_FORMAT."""
    found = []
    for line in text.splitlines():
        row = line.strip().split("|")
        if len(row) == 9 and row[4].rstrip("+").isdecimal() and row[7].isdecimal():
            name, available, limit, state, memory, gres, features, count, names = row
            state = state.lower() if available == "up" else f"down, as its partition is {available}"
            partition, default, memory = name.rstrip("*"), name.endswith("*"), memory.rstrip("+")
            found.append(
                NodeGroup(
                    partition, default, minutes(limit), state, int(memory), gres, features, int(count), names
                )
            )
    return tuple(found)


def minutes(text: str) -> float:
    """Time limit in the notation of sinfo, in minutes; infinity for no limit.

    Examples:
        >>> minutes("1-02:00:30")
        1560.5
        >>> minutes("infinite")
        inf
    """
    return jobs.seconds(text) / 60 if text[:1].isdecimal() else math.inf


def planned(setup: Setup, groups: Iterable[NodeGroup]) -> list[NodeGroup]:
    """Nodes of the planned partitions; without a plan, of the default partition."""
    names = setup.partition.split(",")
    return [g for g in groups if (g.partition in names if setup.partition else g.default)]


def classes(setup: Setup, groups: Iterable[NodeGroup]) -> list[NodeGroup]:
    """Planned nodes in service with the memory of a job; nodes that are alike form one group.

    The largest group comes first.
    """
    nodes = planned(setup, groups)
    alike: dict[tuple[object, ...], list[NodeGroup]] = {}
    for group in nodes:
        # A constraint that is more than one word is left to SLURM.
        suits = not setup.constraint.isidentifier() or setup.constraint in group.features.split(",")
        if group.in_service and suits and group.mem_mb >= setup.mem_mb:
            members = alike.setdefault((group.mem_mb, group.gres, group.features), [])
            # A node may be in several partitions: the first one counts.
            if not members or members[0].partition == group.partition:
                members.append(group)
    found = []
    for members in alike.values():
        others = [g.names for g in nodes if g.partition == members[0].partition and g not in members]
        names = ",".join(group.names for group in members)
        count = sum(group.count for group in members)
        found.append(replace(members[0], count=count, names=names, others=",".join(others)))
    return sorted(found, key=lambda group: (-group.count, group.names))


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


def association(text: str, cluster: str, account: str, partition: str) -> tuple[int | None, str]:
    """Largest number of jobs in the queue for an account, None without a limit, and the QOS of its jobs.

    text: of `sacctmgr show user withassoc`. account: empty for the user's default account.
    """
    found: tuple[int | None, str] = (None, "")
    of_partition = False
    for default, of_cluster, name, only, qos, default_qos, queued in _rows(text, 7):
        # One accounting database may serve several clusters. An association for this partition takes
        # precedence over one for all partitions.
        if of_cluster == cluster and name == (account or default) and only in ("", partition):
            if only or not of_partition:
                found = (number(queued), default_qos or (qos if qos and "," not in qos else _COMMON_QOS))
            of_partition = of_partition or bool(only)
    return found


def accounts(text: str) -> list[str]:
    """Accounts of the user, from `sacctmgr show user withassoc`."""
    return sorted({row[2] for row in _rows(text, 7) if row[2]})


def qos_limits(text: str) -> dict[str, int | None]:
    """Largest number of a user's jobs in the queue per QOS, from `sacctmgr show qos`."""
    return {name: number(queued) for name, queued in _rows(text, 2)}


def _rows(text: str, columns: int) -> list[list[str]]:
    """Rows of sacctmgr's parsable output that have this number of columns."""
    rows = (line.split("|") for line in text.splitlines())
    return [row for row in rows if len(row) == columns]
