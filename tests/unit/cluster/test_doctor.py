"""The doctor with answers copied from clusters, and with commands that fail or hang."""

import io
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from pulseveil.cluster import diagnosis, inventory
from pulseveil.cluster.calls import NO_ANSWER, NOT_STARTED, Answer, call
from pulseveil.cluster.doctor import Finding, Setup, Waits, examine, render

SETUP = Setup(Path("/work"), Path("/profile"), minutes=30, mem_mb=4000, jobs=100)

NODES = """\
cpu*|up|infinite|idle|64000|(null)|(null)|2|n[1-2]
cpu*|up|infinite|mixed|64000|(null)|(null)|1|n5
cpu*|up|infinite|down*|256000|gpu:2|(null)|1|n3
cpu*|up|infinite|allocated|3999|(null)|(null)|9|n[11-19]
cpu*|up|infinite|idle|32000+|gpu:a100:4(S:0-1),lscratch:800|a100|1|n4
short|up|1:00|mixed|32000|gpu:a100:4(S:0-1),lscratch:800|a100|1|n4
old|down|7-00:00:00|idle|64000|(null)|(null)|1|n6
"""
GROUPS = inventory.node_groups(NODES)
CONFIG = """\
Configuration data as of 2026-11-25T07:34:54
AccountingStorageEnforce = associations,limits,qos
ClusterName             = test
MaxJobCount             = 10000
MinJobAge               = 300 sec
SLURM_VERSION           = 22.05.8

Slurmctld(primary) at vm is UP
"""
ASSOCIATIONS = "lab|test|lab||normal||5\nlab|test|root||long,normal|long|\nlab|other|lab||normal||1\n"
QOS = "normal|7\nlong|\nbroken\n"


def commands(folder: Path, **scripts: str) -> Mapping[str, str]:
    """An environment with shell scripts in place of SLURM's commands."""
    folder.mkdir(exist_ok=True)
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def findings(
    setup: Setup, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, seconds: float = 1
) -> dict[str, Finding]:
    monkeypatch.setenv("PATH", environment["PATH"])
    waits = Waits(answer=seconds, start=seconds, end=seconds)
    return {finding.subject: finding for finding in examine(setup, waits)}


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    # The shell's child holds the output open: after a kill of the shell alone the read would block.
    environment = commands(tmp_path, sinfo="sleep 30 &\nwait")
    started = time.monotonic()
    answer = call(environment, "sinfo", seconds=0.3)
    assert (answer.code, answer.words) == (NO_ANSWER, "sinfo: no answer within 0.3 s")
    assert time.monotonic() - started < 5


def test_a_command_may_be_missing_or_broken(tmp_path: Path) -> None:
    missing = call({}, "sbatch", seconds=1)
    assert (missing.code, missing.words) == (NOT_STARTED, "sbatch is not in PATH")
    broken = tmp_path / "sbatch"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    found = call({"PATH": str(tmp_path)}, "sbatch", seconds=1)
    assert found.words == "sbatch does not start: Exec format error"


def test_last_words_leave_out_the_frame() -> None:
    frame = "*" * 41
    text = f"Slurmctld(primary) at vm is DOWN\n{frame}\n** RESTORE SLURMCTLD DAEMON TO SERVICE **\n{frame}\n"
    assert Answer(1, text, "").words == "Slurmctld(primary) at vm is DOWN"
    assert Answer(3, "", " \n").words == "exit code 3"


def test_nodes_are_read() -> None:
    idle, _, down, _, gpus, short, old = inventory.node_groups(
        f"{NODES}\nnonsense\ncpu|up|1|idle|many|x|y|2|n9\n"
    )
    assert (idle.partition, idle.default, idle.minutes, idle.mem_mb) == ("cpu", True, math.inf, 64000)
    assert (idle.in_service, idle.gres, idle.names, idle.count) == (True, "(null)", "n[1-2]", 2)
    assert (down.in_service, down.gres) == (False, "gpu:2")
    assert (gpus.in_service, gpus.mem_mb, gpus.features) == (True, 32000, "a100")
    assert (short.default, short.minutes) == (False, 1)
    assert (old.in_service, old.minutes) == (False, 7 * 24 * 60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1-02:03:30", 1563.5), ("infinite", math.inf), ("1:00", 1), ("2:00:00", 120), ("", math.inf)],
)
def test_time_limits(text: str, expected: float) -> None:
    assert inventory.minutes(text) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [("idle~", True), ("allocated", True), ("planned", True), ("draining", False), ("idle*", False)],
)
def test_nodes_in_service(state: str, expected: bool) -> None:
    assert replace(GROUPS[0], state=state).in_service is expected


@pytest.mark.parametrize(
    ("gres", "wanted", "expected"),
    [
        ("gpu:2", "gpu:1", True),
        ("gpu:2(S:0)", "gpu:1", True),
        ("gpu", "gpu:1", True),
        ("gpu:0", "gpu:1", False),
        ("mps:gpu:2", "gpu:1", False),
        ("lscratch:800,gpu:a100:4(S:0-1)", "gpu:a100:1", True),
        ("gpu:v100:4", "gpu:a100:1", False),
        ("gpu:4", "gpu:a100:1", False),
        ("(null)", "", True),
    ],
)
def test_gpus_among_generic_resources(gres: str, wanted: str, expected: bool) -> None:
    assert replace(GROUPS[0], gres=gres).has(wanted) is expected


def test_a_class_has_all_nodes_that_are_alike_and_others_are_left_out_by_name() -> None:
    found = inventory.classes(SETUP, GROUPS)
    assert [(group.names, group.count, group.others) for group in found] == [
        ("n[1-2],n5", 3, "n3,n[11-19],n4"),
        ("n4", 1, "n[1-2],n5,n3,n[11-19]"),
    ]
    (only,) = inventory.classes(replace(SETUP, partition="short"), GROUPS)
    assert (only.partition, only.names, only.others) == ("short", "n4", "")
    both = inventory.classes(replace(SETUP, partition="short,cpu"), GROUPS)
    assert [group.names for group in both] == ["n[1-2],n5", "n4"]
    assert inventory.classes(replace(SETUP, partition="old"), GROUPS) == []
    constrained = inventory.classes(replace(SETUP, constraint="a100"), GROUPS)
    assert [group.names for group in constrained] == ["n4"]
    assert len(inventory.classes(replace(SETUP, constraint="a100|v100"), GROUPS)) == 2


def test_settings_are_read() -> None:
    settings = inventory.settings(CONFIG)
    assert settings["ClusterName"] == "test"
    assert inventory.number(settings["MinJobAge"]) == 300
    assert inventory.number("UNLIMITED") is None


def test_limits_of_the_association_and_its_qos() -> None:
    def of(account: str) -> tuple[int | None, str]:
        return inventory.association(ASSOCIATIONS, "test", account, "cpu")

    assert of("") == (5, "normal")
    assert of("root") == (None, "long")
    assert of("nosuch") == (None, "")
    assert inventory.accounts(ASSOCIATIONS) == ["lab", "root"]
    assert inventory.qos_limits(QOS) == {"normal": 7, "long": None}


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_an_association_of_the_partition_goes_before_the_general_one(order: tuple[int, ...]) -> None:
    rows = ("lab|test|lab||normal||9\n", "lab|test|lab|cpu|normal||4\n", "lab|test|lab|gpu|normal||1\n")
    text = "".join(rows[number] for number in order)
    assert inventory.association(text, "test", "lab", "cpu") == (4, "normal")


def test_the_options_of_sbatch() -> None:
    assert SETUP.options == ["--mem=4000M", "--time=30", "--nodes=1", "--ntasks=1"]
    wanted = replace(SETUP, gres="gpu:1", partition="gpu", account="lab").options
    assert wanted[:3] == ["--partition=gpu", "--account=lab", "--gres=gpu:1"]


def test_a_backup_controller_will_do() -> None:
    text = "Slurmctld(primary) at a is DOWN\nSlurmctld(backup) at b is UP\n"
    assert diagnosis.controller(Answer(0, text, "")).state == "ok"
    unset = Answer(1, "", "scontrol: fatal: Unable to process configuration file")
    assert "SLURM_CONF" in diagnosis.controller(unset).remedy
    assert "module load slurm" in diagnosis.controller(Answer(127, "", "scontrol is not in PATH")).remedy


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({}, "ok", "4 nodes in service have 4000 MB"),
        ({"mem_mb": 64001}, "wrong", "no node of cpu in service has 64001 MB"),
        ({"mem_mb": 21333, "tries": 3}, "ok", "have 63999 MB, which the last try of a job needs"),
        ({"mem_mb": 21334, "tries": 3}, "wrong", "has 64002 MB"),
        ({"gres": "gpu:1", "partition": "short"}, "ok", "1 nodes in service have 4000 MB and gpu:1"),
        ({"gres": "gpu:1", "mem_mb": 32001}, "wrong", "no node of cpu in service has 32001 MB and gpu:1"),
        ({"partition": "old"}, "wrong", "n6 (64000 MB) is down, as its partition is down"),
        ({"partition": "nosuch"}, "wrong", ": no nodes"),
    ],
)
def test_nodes(changes: dict[str, object], state: str, words: str) -> None:
    finding = diagnosis.nodes(replace(SETUP, **changes), GROUPS)
    assert (finding.state, words in finding.found) == (state, True), finding


def test_no_node_with_a_gpu() -> None:
    setup = replace(SETUP, gres="gpu:1")
    others = [group for group in GROUPS if not (group.partition == "cpu" and group.has("gpu:1"))]
    assert diagnosis.nodes(setup, others).remedy.endswith("or name another partition: short.")


def test_time_limit_names_partitions_that_are_long_enough() -> None:
    assert diagnosis.time_limit(SETUP, GROUPS).state == "ok"
    finding = diagnosis.time_limit(replace(SETUP, partition="short"), GROUPS)
    assert finding.state == "wrong"
    assert finding.remedy.endswith("another partition: cpu.")


def test_the_last_try_must_fit_into_the_time_limit() -> None:
    setup = replace(SETUP, partition="short", minutes=1)
    assert diagnosis.time_limit(setup, GROUPS).state == "ok"
    finding = diagnosis.time_limit(replace(setup, tries=3), GROUPS)
    assert (finding.state, finding.found) == (
        "wrong",
        "1 min; the last try of the longest job needs 3 min",
    )
    assert "retries in the profile" in finding.remedy


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (
            "allocation failure: Invalid account or account/partition combination specified",
            "to one of these: lab.",
        ),
        (
            "allocation failure: Job violates accounting/QOS policy"
            " (job submit limit, user's size and/or time limits)",
            "Lower jobs, mem_mb or runtime",
        ),
        ("allocation failure: User's group not permitted to use this partition", "access to this partition"),
        ("allocation failure: Requested node configuration is not available", "Lower resources in the study"),
        ("invalid partition specified: nosuch", "Name one of these partitions: cpu, short, old."),
        ("something else", "Submit a job by hand"),
    ],
)
def test_a_refused_submission(message: str, remedy: str) -> None:
    finding = diagnosis.submission(Answer(1, "", f"{message}\n"), GROUPS, ["lab"])
    assert (finding.state, finding.found) == ("wrong", message)
    assert remedy in finding.remedy
    late = diagnosis.submission(Answer(NO_ANSWER, "", "no answer"), GROUPS, [])
    assert late.state == "unknown"


@pytest.mark.parametrize(
    ("cause", "remedy"),
    [
        ("srun: fatal: Could not establish a configuration source", "Set SLURM_CONF"),
        (
            "srun: fatal: SLURM_MEM_PER_CPU, SLURM_MEM_PER_NODE are mutually exclusive",
            "outside of an allocation",
        ),
        ("slurm_script: 4: /x/python: not found", "folders that all nodes mount"),
        ("ModuleNotFoundError: No module named 'pulseveil'", "folders that all nodes mount"),
        ("ImportError: libcudart.so.12", "envs/lock-gpu-py311.txt"),
        ("slurmstepd: error: Step 7.0 exceeded memory limit (300 > 200), being killed", "resources.mem_mb"),
        ("some output files are missing.", "Raise latency-wait"),
    ],
)
def test_remedies(cause: str, remedy: str) -> None:
    assert remedy in diagnosis.find_remedy(cause)


@pytest.mark.parametrize(
    ("age", "state", "accounted"),
    [("300 sec", "ok", "ok"), ("180 sec", "wrong", "ok"), ("0 sec", "ok", "ok"), ("", "unknown", "unknown")],
)
def test_memory_of_squeue(age: str, state: str, accounted: str) -> None:
    settings = {"MinJobAge": age}
    assert diagnosis.job_age(settings, accounting=False).state == state
    assert diagnosis.job_age(settings, accounting=True).state == accounted


def test_number_of_jobs() -> None:
    limits = {"MaxJobCount": 10000, "QOS normal": 100}
    finding = diagnosis.job_count(SETUP, limits)
    assert finding.state == "wrong"
    assert "Set jobs to 99" in finding.remedy
    assert diagnosis.job_count(replace(SETUP, jobs=99), limits).state == "ok"
    assert diagnosis.job_count(SETUP, {}).state == "ok"


SILENT = dict.fromkeys(("sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacctmgr"), "sleep 60")


def test_without_slurm_the_trial_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(replace(SETUP, directory=tmp_path), {"PATH": ""}, monkeypatch)
    assert [finding.state for finding in found.values()] == ["ok", "wrong", "unknown"]
    assert found["slurmctld"].found == "scontrol is not in PATH"
    assert found["trial"].remedy == "Repair this first: slurmctld."


def test_a_controller_that_hangs_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.monotonic()
    setup = replace(SETUP, directory=tmp_path)
    found = findings(setup, commands(tmp_path / "bin", **SILENT), monkeypatch, seconds=0.5)
    assert time.monotonic() - started < 10
    slurmctld = found["slurmctld"]
    assert (slurmctld.state, slurmctld.found) == ("wrong", "scontrol: no answer within 0.5 s")


@pytest.mark.parametrize(
    "answer", ["sleep 60", "echo nonsense = [/red] | $(", "exit 3", "printf '\\377|||\\n|'"]
)
def test_any_answer_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    ping = f'if [ "$1" = ping ]; then echo "Slurmctld(primary) at vm is UP"; exit; fi\n{answer}'
    environment = commands(tmp_path / "bin", **dict.fromkeys(SILENT, answer) | {"scontrol": ping})
    setup = replace(SETUP, directory=tmp_path, gres="gpu:1")
    found = findings(setup, environment, monkeypatch, seconds=0.3)
    assert found["slurmctld"].state == "ok"
    assert found["nodes"].state == "unknown"
    assert found["trial"].state == "unknown"
    assert len(found) == 8


def test_a_directory_that_nothing_can_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(replace(SETUP, directory=tmp_path / "nosuch"), {"PATH": ""}, monkeypatch)
    assert found["work directory"].found.endswith("nosuch: No such file or directory")


def test_the_table_holds_the_words_of_the_cluster() -> None:
    output = io.StringIO()
    console = Console(file=output, width=110)
    console.print(
        render(
            [Finding("GPU", "wrong", "said [/red] and [root@vm]", "Repair it."), Finding("b", "ok", "fine")]
        )
    )
    assert "said [/red] and [root@vm]" in output.getvalue()
    assert "Repair it." in output.getvalue()
