"""The doctor on real clusters: healthy ones, and one fault per test."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pulseveil.cluster import trial
from pulseveil.cluster.doctor import Finding, Setup, Waits, examine
from tests.slurm.cluster import Cluster, limited, wait_until
from tests.slurm.conftest import ROOT, OnCluster
from tests.slurm.login import user

pytestmark = pytest.mark.slurm

PLAN = Setup(Path(), ROOT / "profiles" / "slurm", minutes=30, mem_mb=4000, jobs=100)
# The controller is submitted, and cancelled at once.
AT_ONCE = Waits(start=0)
ENVIRONMENT = Path(sys.executable).parents[1]


def examined(
    place: OnCluster,
    waits: Waits | None = None,
    *,
    variables: Mapping[str, str] | None = None,
    **changes: object,
) -> dict[str, Finding]:
    """Findings by subject, as for a user on a login node; nothing may be left of the examination."""
    files, queue = set(place.directory.iterdir()), place.cluster.squeue("--format=%A")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (place.login | dict(variables or {})).items():
            patch.setenv(name, value)
        found = examine(replace(PLAN, **{"directory": place.directory, **changes}), waits)
    assert set(place.directory.iterdir()) == files
    assert set(place.cluster.squeue("--format=%A")) <= set(queue)
    return {finding.subject: finding for finding in found}


def not_ok(found: Mapping[str, Finding]) -> list[str]:
    return [subject for subject, finding in found.items() if finding.state != "ok"]


@contextmanager
def drained(cluster: Cluster, node: str) -> Iterator[None]:
    """Drain a node within the block."""
    update = ("scontrol", "update", f"nodename={node}")
    cluster.run(*update, "state=drain", "reason=test")
    try:
        yield
    finally:
        cluster.run(*update, "state=resume")
        # Until the node has answered slurmctld, it counts as not responding: "idle*".
        idle = ("sinfo", "--noheader", "--partition=cpu", f"--nodes={node}", "--format=%T")
        wait_until(lambda: cluster.run(*idle).stdout.strip() == "idle", 30, f"return of {node}")


@contextmanager
def hidden(cluster: Cluster, node: str, folder: Path) -> Iterator[None]:
    """Hide a folder on a node within the block."""
    cluster.kill_node(node)
    cluster.start_node(node, without=folder)
    try:
        yield
    finally:
        cluster.kill_node(node)
        cluster.start_node(node)


@contextmanager
def two_classes(cluster: Cluster) -> Iterator[None]:
    """Give the second node a feature within the block."""
    update = ("scontrol", "update", "nodename=n2")
    cluster.run(*update, "AvailableFeatures=other", "ActiveFeatures=other")
    try:
        yield
    finally:
        cluster.run(*update, "ActiveFeatures=", "AvailableFeatures=")


@contextmanager
def busy(cluster: Cluster, node: str) -> Iterator[None]:
    """Let a job of another user have all cores of a node within the block."""
    options = (f"--nodelist={node}", "--exclusive", "--mem=100", "--output=/dev/null")
    job = cluster.run("sbatch", "--parsable", *options, "--wrap", "sleep 300").stdout.strip()
    wait_until(lambda: job in cluster.squeue("--states=R", "--format=%A"), 30, "the other job")
    try:
        yield
    finally:
        cluster.run("scancel", job)
        wait_until(lambda: job not in cluster.squeue("--format=%A"), 30, "the end of the other job")


def test_a_healthy_cluster_with_accounting(on_accounting_cluster: OnCluster) -> None:
    found = examined(on_accounting_cluster, account="lab")
    assert not_ok(found) == [], found
    assert found["job on class 1"].found == "n1 (64000 MB, gpu:2): PulseVeil 0.1.0 ran on n1"


def test_an_allocation_a_wrapper_and_a_slurm_conf_of_its_own_do_no_harm(on_cluster: OnCluster) -> None:
    folder = on_cluster.directory / "site"
    folder.mkdir()
    real = on_cluster.cluster.run("sh", "-c", "command -v sbatch").stdout.strip()
    (folder / "sbatch").write_text(
        f"#!/bin/sh\necho 'Note: 17 nodes are down'\n{real} \"$@\"; code=$?\necho 80; exit $code\n"
    )
    (folder / "sbatch").chmod(0o755)
    of_salloc = {"SLURM_JOB_ID": "999999", "SLURM_MEM_PER_CPU": "100", "SLURM_NTASKS": "7"}
    path = f"{folder}{os.pathsep}{on_cluster.cluster.environment['PATH']}"
    here = user(on_cluster, PATH=path, COLUMNS="400", **of_salloc)
    before = set(on_cluster.directory.iterdir())
    done = here.submit("--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " n[1-2] (64000 MB, gpu:2): PulseVeil 0.1.0 ran on n1 " in done.stdout
    assert set(on_cluster.directory.iterdir()) == before
    assert on_cluster.cluster.squeue() == []


def test_tensorflow_sees_no_gpu_in_a_fake_one(on_cluster: OnCluster) -> None:
    found = examined(on_cluster, gres="gpu:1", partition="gpu")
    assert not_ok(found) == ["job on class 1"], found
    gpu = found["job on class 1"]
    assert gpu.state == "wrong"
    assert gpu.found == "n[1-2] (64000 MB, gpu:2): PulseVeil 0.1.0 ran on n1; TensorFlow sees 0 GPUs there"
    assert "envs/lock-gpu-py311.txt" in gpu.remedy


def test_a_class_of_nodes_without_python_is_found_beside_a_healthy_one(on_cluster: OnCluster) -> None:
    with two_classes(on_cluster.cluster), hidden(on_cluster.cluster, "n2", ENVIRONMENT):
        found = examined(on_cluster)
    assert not_ok(found) == ["job on class 2"], found
    assert found["job on class 1"].found.startswith("n1 (")
    broken = found["job on class 2"]
    assert broken.state == "wrong"
    assert broken.found.startswith("n2 (64000 MB, gpu:2): SLURM job ")
    assert ": FAILED, reason NonZeroExitCode, exit code 127:0, node n2; " in broken.found
    assert broken.found.endswith(f"{sys.executable}: not found")
    assert "folders that all nodes mount" in broken.remedy


# srun looks for its file for a minute.
@pytest.mark.parametrize("what", ["python", pytest.param("slurm.conf", marks=pytest.mark.slow)])
def test_a_node_without_what_the_controller_needs(on_cluster: OnCluster, what: str) -> None:
    own = on_cluster.directory / "login"
    own.mkdir()
    shutil.copy(on_cluster.cluster.directory / "slurm.conf", own)
    configuration = {"SLURM_CONF": str(own / "slurm.conf")} if what == "slurm.conf" else {}
    with hidden(on_cluster.cluster, "n1", own if configuration else ENVIRONMENT):
        found = examined(on_cluster, variables=configuration)
    assert not_ok(found) == ["controller"], found
    controller = found["controller"]
    assert controller.state == "wrong"
    assert ": FAILED, reason NonZeroExitCode, exit code " in controller.found
    assert ", node n1; " in controller.found
    if configuration:
        assert "srun: fatal: Unable to process configuration file" in controller.found
        assert controller.remedy.startswith("Set SLURM_CONF to a slurm.conf that all nodes")
    else:
        assert controller.found.endswith(f"execve(): {sys.executable}: No such file or directory")
        assert "folders that all nodes mount" in controller.remedy


def test_a_busy_cluster_is_not_a_wrong_one(on_cluster: OnCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_MOST_CLASSES", 1)
    with two_classes(on_cluster.cluster), busy(on_cluster.cluster, "n1"), busy(on_cluster.cluster, "n2"):
        found = examined(on_cluster, Waits(start=2))
    assert not_ok(found) == ["controller", "other classes"], found
    assert found["controller"].state == "unknown"
    assert "pending" in found["controller"].found
    assert (found["other classes"].state, found["other classes"].found) == ("unknown", "1 of 2 not tried: n2")


def test_a_class_of_busy_nodes_is_not_a_wrong_one(on_cluster: OnCluster) -> None:
    with two_classes(on_cluster.cluster), busy(on_cluster.cluster, "n2"):
        found = examined(on_cluster, Waits(end=50))
    assert not_ok(found) == ["job on class 2"], found
    waiting = found["job on class 2"]
    assert waiting.state == "unknown"
    assert "is PENDING (" in waiting.found


@pytest.mark.slow
def test_where_one_job_may_run_the_controller_takes_its_place(on_accounting_cluster: OnCluster) -> None:
    with limited(on_accounting_cluster.cluster, ("user", "root"), "maxjobs=1"):
        found = examined(on_accounting_cluster, Waits(end=30), account="lab")
    assert not_ok(found) == ["job on class 1"], found
    assert "is PENDING (AssocMaxJobsLimit)" in found["job on class 1"].found
    assert "`snakemake --profile profiles/slurm` on the login node" in found["job on class 1"].remedy


def test_after_ctrl_c_nothing_is_left(on_cluster: OnCluster) -> None:
    here, cluster = on_cluster.directory, on_cluster.cluster
    user(on_cluster)
    script = str(ROOT / "scripts" / "submit.py")
    # The workers of pytest ignore Ctrl-C, and so would their child processes.
    with_signal = ("env", "--default-signal=INT")
    command = (*with_signal, sys.executable, script, "--configfile", "study.yaml", "--check")
    process = subprocess.Popen(
        command, env=on_cluster.login, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    names = ("--states=R", "--name=pulseveil-controller-check", "--format=%A")
    wait_until(lambda: bool(cluster.squeue(*names)), 120, "the controller")
    controller = cluster.squeue(*names)
    wait_until(lambda: len(cluster.squeue("--states=R")) > len(controller), 120, "the job on a node")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert [path.name for path in here.iterdir()] == ["study.yaml"]
    assert cluster.squeue() == []
    # Nothing may submit jobs later.
    time.sleep(3)
    assert cluster.squeue() == []


def test_a_wrong_partition(on_cluster: OnCluster) -> None:
    found = examined(on_cluster, partition="nosuch")
    assert found["nodes"].state == "wrong"
    assert found["nodes"].found.startswith("no node of nosuch in service has 4000 MB")
    assert "cpu, gpu, short" in found["nodes"].remedy
    assert (found["submission"].state, "nvalid partition" in found["submission"].found) == ("wrong", True)
    assert found["trial"].remedy == "Repair this first: submission."


def test_a_directory_with_a_blank(on_cluster: OnCluster) -> None:
    directory = on_cluster.directory / "it's a folder"
    directory.mkdir()
    found = examined(on_cluster, directory=directory)
    assert not_ok(found) == ["work directory", "trial"], found
    assert "need a path without blanks" in found["work directory"].found


def test_a_wrong_account(on_accounting_cluster: OnCluster) -> None:
    found = examined(on_accounting_cluster, account="nosuch")["submission"]
    assert (found.state, found.found) == (
        "wrong",
        "allocation failure: Invalid account or account/partition combination specified",
    )
    assert found.remedy.endswith("to one of these: lab, root.")


def test_the_account_and_the_partitions_of_the_profile_count(on_accounting_cluster: OnCluster) -> None:
    profile = on_accounting_cluster.directory / "profile"
    shutil.copytree(PLAN.profile, profile)
    here = user(on_accounting_cluster, COLUMNS="400")
    keys = (profile / "config.yaml").read_text()
    (profile / "config.yaml").write_text(f"{keys}\ndefault-resources:\n  slurm_account: nosuch\n")
    done = here.submit("--check", "--profile", "profile")
    assert done.returncode == 1
    assert "Invalid account or account/partition combination specified" in done.stdout
    (profile / "partitions.yaml").write_text("partitions: {gpu: {}, nosuch: {}}\n")
    (profile / "config.yaml").write_text(f"{keys}\nslurm-partition-config: profile/partitions.yaml\n")
    assert "nvalid partition" in here.submit("--check", "--profile", "profile").stdout


def test_a_limit_on_jobs(on_accounting_cluster: OnCluster) -> None:
    of_account = ("user", "root", "where", "account=lab")
    with limited(on_accounting_cluster.cluster, of_account, "maxsubmit=50"):
        found = examined(on_accounting_cluster, AT_ONCE)["number of jobs"]
    assert found.state == "wrong"
    assert "100 jobs are planned; " in found.found
    assert "; account: 50 in the queue" in found.found


def test_a_time_limit_that_is_too_short(on_cluster: OnCluster) -> None:
    update = ("scontrol", "update", "partitionname=short")
    on_cluster.cluster.run(*update, "MaxTime=5")
    try:
        found = examined(on_cluster, partition="short")
    finally:
        on_cluster.cluster.run(*update, "MaxTime=1")
    assert not_ok(found) == ["time limit"], found
    limit = found["time limit"]
    assert (limit.state, limit.found) == ("wrong", "5 min; the last try of the longest job needs 30 min")


def test_too_much_memory(on_cluster: OnCluster) -> None:
    found = examined(on_cluster, AT_ONCE, mem_mb=32001, tries=2)["nodes"]
    assert (found.state, found.found) == (
        "wrong",
        "no node of cpu in service has 64002 MB, which the last try of a job needs:"
        " n[1-2] (64000 MB, gpu:2) is idle",
    )


def test_no_node_in_service(on_accounting_cluster: OnCluster) -> None:
    with drained(on_accounting_cluster.cluster, "n1"):
        found = examined(on_accounting_cluster)["nodes"]
    assert (found.state, found.found) == (
        "wrong",
        "no node of cpu in service has 4000 MB, which the last try of a job needs:"
        " n1 (64000 MB, gpu:2) is drained",
    )


def test_a_controller_that_is_down(on_cluster: OnCluster) -> None:
    directory, cluster = on_cluster.directory, on_cluster.cluster
    cluster.stop_daemon("slurmctld")
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in on_cluster.login.items():
                patch.setenv(name, value)
            found = {finding.subject: finding for finding in examine(replace(PLAN, directory=directory))}
    finally:
        cluster.start_daemon("slurmctld")
    assert found["slurmctld"].state == "wrong"
    assert found["slurmctld"].found.endswith("is DOWN")
    assert found["trial"].remedy == "Repair this first: slurmctld."
