"""The doctor with answers copied from clusters, and with commands that fail or hang."""

import io
import math
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from pulseveil.cluster import diagnosis, inventory
from pulseveil.cluster.doctor import Finding, Setup, Waits, examine, render
from pulseveil.cluster.inventory import Association, Limit, NodeGroup, Reply, ask, options
from pulseveil.cluster.trial_job import Trial

SETUP = Setup(directory=Path("/work"), gpus=0, minutes=30, mem_mb=4000, jobs=100, status_command="squeue")
GPU_SETUP = Setup(directory=Path("/work"), gpus=1, minutes=30, mem_mb=4000, jobs=100, status_command="sacct")

PARTITIONS = """\
PartitionName=cpu AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES QoS=N/A \
DefaultTime=00:10:00 DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO MaxNodes=UNLIMITED \
MaxTime=UNLIMITED MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED Nodes=n[1-2] PriorityJobFactor=1 \
PriorityTier=10 RootOnly=NO ReqResv=NO OverSubscribe=NO OverTimeLimit=NONE PreemptMode=OFF State=UP \
TotalCPUs=32 TotalNodes=2 SelectTypeParameters=NONE JobDefaults=(null) DefMemPerNode=UNLIMITED \
MaxMemPerNode=UNLIMITED TRES=cpu=32,mem=125G,node=2,billing=32
PartitionName=short AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=NO QoS=brief \
DefaultTime=00:01:00 DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO MaxNodes=UNLIMITED \
MaxTime=00:01:00 MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED Nodes=n[1-2] PriorityJobFactor=1 \
PriorityTier=10 RootOnly=NO ReqResv=NO OverSubscribe=NO OverTimeLimit=NONE PreemptMode=OFF State=UP \
TotalCPUs=32 TotalNodes=2 SelectTypeParameters=NONE JobDefaults=(null) DefMemPerNode=UNLIMITED \
MaxMemPerNode=UNLIMITED TRES=cpu=32,mem=125G,node=2,billing=32
PartitionName=old Default=NO MaxTime=7-00:00:00 State=DOWN
"""
NODES = """\
cpu|idle|64000|(null)
cpu|down*|256000|gpu:2
short|mixed|32000+|gpu:a100:4(S:0-1),lscratch:800
"""
CONFIG = """\
Configuration data as of 2026-11-25T07:34:54
AccountingStorageEnforce = associations,limits,qos
ClusterName             = test
MaxJobCount             = 10000
MinJobAge               = 300 sec
SLURM_VERSION           = 22.05.8

Slurmctld(primary) at vm is UP
"""
ASSOCIATIONS = "lab|test|lab||normal||3|5\nlab|test|root||long,normal|long||\nlab|other|lab||normal||1|1\n"
QOS = "normal|2|7\nlong|||\n"


def planned(**changes: object) -> Setup:
    return Setup(**{**vars(SETUP), **changes})  # type: ignore[arg-type]


def commands(folder: Path, **scripts: str) -> Mapping[str, str]:
    """An environment with shell scripts in place of SLURM's commands."""
    folder.mkdir(exist_ok=True)
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def findings(setup: Setup, environment: Mapping[str, str], seconds: float = 1) -> dict[str, Finding]:
    waits = Waits(answer=seconds, start=seconds, end=seconds)
    return {finding.subject: finding for finding in examine(setup, environment, waits)}


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    # The shell's child holds the output open: after a kill of the shell alone the read would block.
    environment = commands(tmp_path, sinfo="sleep 30 &\nwait")
    started = time.monotonic()
    reply = ask(environment, "sinfo", seconds=0.3)
    assert (reply.code, reply.said) == (None, "sinfo did not answer within 0.3 s")
    assert time.monotonic() - started < 5


def test_a_command_may_be_missing_or_broken(tmp_path: Path) -> None:
    assert ask({}, "sbatch", seconds=1).said == "sbatch is not in PATH"
    broken = tmp_path / "sbatch"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    assert (
        ask({"PATH": str(tmp_path)}, "sbatch", seconds=1).said == "sbatch does not start: Exec format error"
    )


def test_last_words_leave_out_the_frame() -> None:
    frame = "*" * 41
    text = f"Slurmctld(primary) at vm is DOWN\n{frame}\n** RESTORE SLURMCTLD DAEMON TO SERVICE **\n{frame}\n"
    assert Reply(1, text, "").said == "Slurmctld(primary) at vm is DOWN"
    assert Reply(3, "", " \n").said == "exit code 3"


def test_partitions_are_read() -> None:
    cpu, short, old = inventory.partitions(PARTITIONS)
    assert (cpu.name, cpu.default, cpu.state, cpu.minutes, cpu.qos) == ("cpu", True, "UP", math.inf, "")
    assert (short.default, short.minutes, short.qos) == (False, 1, "brief")
    assert (old.state, old.minutes) == ("DOWN", 7 * 24 * 60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1-02:03:30", 1563.5), ("infinite", math.inf), ("00:01:00", 1), ("", None), ("NONE", None)],
)
def test_time_limits(text: str, expected: float | None) -> None:
    assert inventory.minutes(text) == expected


def test_nodes_are_read() -> None:
    idle, down, mixed = inventory.node_groups(f"{NODES}\nnonsense\ncpu|idle|many|(null)\n")
    assert idle == NodeGroup("cpu", "idle", 64000, gpu=False)
    assert (down.in_service, down.gpu) == (False, True)
    assert (mixed.in_service, mixed.gpu, mixed.mem_mb) == (True, True, 32000)


@pytest.mark.parametrize(
    ("state", "expected"),
    [("idle~", True), ("allocated", True), ("planned", True), ("draining", False), ("idle*", False)],
)
def test_nodes_in_service(state: str, expected: bool) -> None:
    assert NodeGroup("cpu", state, 1, gpu=False).in_service is expected


@pytest.mark.parametrize(
    ("gres", "expected"),
    [("gpu:2", True), ("gpu:2(S:0)", True), ("gpu", True), ("gpu:0", False), ("mps:gpu:2", False)],
)
def test_gpus_among_generic_resources(gres: str, expected: bool) -> None:
    assert inventory.node_groups(f"p|idle|1|{gres}")[0].gpu is expected


def test_settings_are_read() -> None:
    settings = inventory.settings(CONFIG)
    assert settings["ClusterName"] == "test"
    assert inventory.number(settings["MinJobAge"]) == 300
    assert inventory.number("UNLIMITED") is None


def test_limits_of_the_association_and_its_qos() -> None:
    def of(account: str) -> Association | None:
        return inventory.association(ASSOCIATIONS, "test", account, "cpu")

    assert of("") == Association(Limit("account lab", queued=5, running=3), "normal")
    assert of("root") == Association(Limit("account root", queued=None, running=None), "long")
    assert of("nosuch") is None
    assert inventory.accounts(ASSOCIATIONS) == ["lab", "root"]
    assert inventory.qos_limits(QOS, ["", "normal"]) == [Limit("QOS normal", queued=7, running=2)]


def test_an_association_of_the_partition_goes_before_the_general_one() -> None:
    text = "lab|test|lab||normal|||9\nlab|test|lab|cpu|normal|||4\nlab|test|lab|gpu|normal|||1\n"
    found = inventory.association(text, "test", "lab", "cpu")
    assert found is not None
    assert found.limit.queued == 4


def test_what_is_asked_of_sbatch() -> None:
    assert options(SETUP) == ["--mem=4000M", "--nodes=1", "--ntasks=1"]
    wanted = options(planned(gpus=1, partition="gpu", account="lab"))
    assert wanted[:3] == ["--partition=gpu", "--account=lab", "--gres=gpu:1"]


def test_a_backup_controller_will_do() -> None:
    text = "Slurmctld(primary) at a is DOWN\nSlurmctld(backup) at b is UP\n"
    assert diagnosis.controller(Reply(0, text, "")).state == "ok"
    unset = Reply(1, "", "scontrol: fatal: Unable to process configuration file")
    assert "SLURM_CONF" in diagnosis.controller(unset).mend


def test_accounting_is_needed_only_where_sacct_is_used() -> None:
    off = Reply(1, "", "Slurm accounting storage is disabled\n")
    assert diagnosis.accounting(SETUP, off).found.endswith("squeue is used")
    assert diagnosis.accounting(GPU_SETUP, off).state == "wrong"


@pytest.mark.parametrize(
    ("partition", "state", "found"),
    [
        ("", "ok", "cpu is UP (the default)"),
        ("cpu,short", "ok", "cpu, short is UP"),
        ("cpu,nosuch", "wrong", "no partition nosuch"),
        ("old", "wrong", "old is DOWN"),
    ],
)
def test_partition(partition: str, state: str, found: str) -> None:
    verdict = diagnosis.partition(planned(partition=partition), inventory.partitions(PARTITIONS))
    assert (verdict.state, verdict.found) == (state, found)


def test_no_default_partition() -> None:
    verdict = diagnosis.partition(SETUP, inventory.partitions(PARTITIONS)[1:])
    assert (verdict.found, verdict.mend) == (
        "no default partition",
        "Name one of these partitions: short, old.",
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "up to 64000 MB"),
        ({"mem_mb": 64001}, "have 64000 MB"),
        ({"mem_mb": 21333, "tries": 3}, "a job asks for 21333 MB, its last try for 63999 MB"),
        ({"mem_mb": 21334, "tries": 3}, "have 64000 MB"),
        ({"gpus": 1}, "no node of cpu has a GPU"),
        ({"gpus": 1, "partition": "short"}, "up to 32000 MB on a node with a GPU"),
        ({"partition": "old"}, "no node of old is in service: no nodes"),
    ],
)
def test_nodes(changes: dict[str, object], words: str) -> None:
    partitions, groups = inventory.partitions(PARTITIONS), inventory.node_groups(NODES)
    assert words in diagnosis.nodes(planned(**changes), partitions, groups).found


def test_time_limit_names_partitions_that_are_long_enough() -> None:
    partitions = inventory.partitions(PARTITIONS)
    assert diagnosis.time_limit(SETUP, partitions).state == "ok"
    verdict = diagnosis.time_limit(planned(partition="short"), partitions)
    assert verdict.state == "wrong"
    assert verdict.mend.endswith("another partition: cpu.")


def test_the_last_try_must_fit_into_the_time_limit() -> None:
    partitions = inventory.partitions(PARTITIONS)
    limit = int(next(p.minutes for p in partitions if p.name == "short") or 0)
    assert diagnosis.time_limit(planned(partition="short", minutes=limit), partitions).state == "ok"
    verdict = diagnosis.time_limit(planned(partition="short", minutes=limit, tries=3), partitions)
    assert (verdict.state, f"its last try for {3 * limit} min" in verdict.found) == ("wrong", True)
    assert "retries in profiles/slurm/config.yaml" in verdict.mend


@pytest.mark.parametrize(
    ("message", "mend"),
    [
        ("Invalid account or account/partition combination specified", "to one of these: lab."),
        (
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
            "Lower jobs, mem_mb or runtime",
        ),
        ("User's group not permitted to use this partition", "access to this partition"),
        ("Requested node configuration is not available", "until `sbatch --test-only` takes it"),
    ],
)
def test_a_refused_submission(message: str, mend: str) -> None:
    verdict = diagnosis.submission(Reply(1, "", f"allocation failure: {message}\n"), ["lab"])
    assert (verdict.state, verdict.found) == ("wrong", f"allocation failure: {message}")
    assert mend in verdict.mend


@pytest.mark.parametrize(
    ("age", "state"), [("300 sec", "ok"), ("180 sec", "wrong"), ("0 sec", "ok"), ("", "unknown")]
)
def test_memory_of_squeue(age: str, state: str) -> None:
    assert diagnosis.job_age(SETUP, {"MinJobAge": age}).state == state
    assert diagnosis.job_age(GPU_SETUP, {"MinJobAge": age}).state == "ok"


def test_number_of_jobs() -> None:
    limits = [Limit("MaxJobCount", 10000, None), Limit("QOS normal", 100, 20)]
    verdict = diagnosis.job_count(SETUP, limits)
    assert verdict.state == "wrong"
    assert "Set jobs to 99" in verdict.mend
    fewer = diagnosis.job_count(planned(jobs=99), limits)
    assert fewer.state == "ok"
    assert fewer.found.endswith("QOS normal: 20 run at a time")
    assert diagnosis.job_count(SETUP, []).state == "ok"


WROTE = {"number": "7", "state": "COMPLETED", "node": "n1", "python": "0.1.0"}


@pytest.mark.parametrize(
    ("trial", "state", "words"),
    [
        (Trial(**WROTE, lag_s=0.2), "ok", "seen here after 0.2 s"),
        (Trial(**WROTE, lag_s=90.0), "wrong", "latency-wait is 60 s"),
        (Trial(refusal="sbatch: error: no"), "wrong", "sbatch: error: no"),
        (Trial("7", state="PENDING", reason="Priority"), "unknown", "PENDING (Priority)"),
        (Trial("7", state="RUNNING"), "unknown", "did not end"),
        (Trial("7", state="FAILED"), "wrong", "left no file in /work"),
        (Trial("7", state="COMPLETED", lag_s=0, node="n1", python_log="not found"), "wrong", "not found"),
        (Trial(**(WROTE | {"state": "OUT_OF_MEMORY"})), "wrong", "ended early: OUT_OF_MEMORY"),
    ],
)
def test_a_job_on_a_node(trial: Trial, state: str, words: str) -> None:
    verdict = diagnosis.node(SETUP, trial)
    assert verdict.state == state
    assert words in verdict.found
    assert bool(verdict.mend) is (state != "ok")


@pytest.mark.parametrize(("gpus", "state"), [("1", "ok"), ("0", "wrong"), ("", "wrong")])
def test_gpu(gpus: str, state: str) -> None:
    assert diagnosis.gpu(Trial(**WROTE, gpus=gpus, gpus_log="ImportError: libcudart")).state == state


def test_without_slurm_everything_waits_for_it(tmp_path: Path) -> None:
    found = findings(planned(directory=tmp_path, gpus=1), {"PATH": ""})
    assert found.pop("commands").state == "wrong"
    assert found.pop("work directory").state == "ok"
    assert {finding.state for finding in found.values()} == {"unknown"}
    assert {finding.mend for finding in found.values()} == {"First mend this: commands."}


def test_a_controller_that_hangs_is_a_finding(tmp_path: Path) -> None:
    silent = dict.fromkeys(("sbatch", "squeue", "scancel", "scontrol", "sinfo"), "sleep 60")
    started = time.monotonic()
    found = findings(planned(directory=tmp_path), commands(tmp_path / "bin", **silent), seconds=0.5)
    assert time.monotonic() - started < 10
    assert (found["controller"].state, found["controller"].found) == (
        "wrong",
        "scontrol did not answer within 0.5 s",
    )


@pytest.mark.parametrize(
    "answer", ["sleep 60", "echo nonsense = [/red] | $(", "exit 3", "printf '\\377|||\\n|'"]
)
def test_any_answer_is_a_finding(tmp_path: Path, answer: str) -> None:
    ping = f'if [ "$1" = ping ]; then echo "Slurmctld(primary) at vm is UP"; exit; fi\n{answer}'
    scripts = dict.fromkeys(("sbatch", "squeue", "scancel", "sinfo", "sacct", "sacctmgr"), answer)
    environment = commands(tmp_path / "bin", scontrol=ping, **scripts)
    found = findings(planned(directory=tmp_path, gpus=1), environment, seconds=0.3)
    assert found["controller"].state == "ok"
    assert found["partition"].state == "unknown"
    assert len(found) == 12


def test_a_job_that_nobody_answers_for_is_cancelled(tmp_path: Path) -> None:
    (tmp_path / "partitions").write_text(PARTITIONS)
    (tmp_path / "nodes").write_text(NODES)
    environment = commands(
        tmp_path / "bin",
        scontrol=f'[ "$1" = ping ] && echo "Slurmctld at vm is UP" || cat {tmp_path}/partitions',
        sinfo=f"cat {tmp_path}/nodes",
        sbatch='case "$*" in *test-only*) echo "Job 7 to start" >&2;; *) sleep 60;; esac',
        squeue="exit 1",
        scancel=f'echo "$*" > {tmp_path}/cancelled',
    )
    study = tmp_path / "study"
    study.mkdir()
    found = findings(planned(directory=study), environment, seconds=0.3)
    assert found["a job on a node"].found == "sbatch did not answer within 0.9 s"
    assert (tmp_path / "cancelled").read_text().startswith("--name=pulseveil-check-")
    assert list(study.iterdir()) == []


def test_a_directory_that_nothing_can_be_written_to(tmp_path: Path) -> None:
    found = findings(planned(directory=tmp_path / "nosuch"), {"PATH": ""})
    assert found["work directory"].found.endswith("nosuch: No such file or directory")


def test_the_table_holds_the_words_of_the_cluster() -> None:
    output = io.StringIO()
    console = Console(file=output, width=110)
    console.print(
        render([Finding("GPU", "wrong", "said [/red] and [root@vm]", "Mend it."), Finding("b", "ok", "fine")])
    )
    assert "said [/red] and [root@vm]" in output.getvalue()
    assert "Mend it." in output.getvalue()
