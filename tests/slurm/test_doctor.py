"""The doctor on real clusters: a healthy one, and one fault per test."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from pulseveil.cluster import trial_job
from pulseveil.cluster.doctor import Finding, Setup, Waits, examine
from tests.slurm.cluster import Cluster, wait_until
from tests.slurm.conftest import ROOT, OnCluster

pytestmark = pytest.mark.slurm


def planned(directory: Path, **changes: object) -> Setup:
    plain = {"directory": directory, "gpus": 0, "minutes": 30, "mem_mb": 4000, "jobs": 100}
    return Setup(**{**plain, "status_command": "squeue", **changes})  # type: ignore[arg-type]


def environment(cluster: Cluster) -> Mapping[str, str]:
    return cluster.environment | {"PYTHONPATH": str(ROOT / "workflow")}


def examined(cluster: Cluster, directory: Path, **changes: object) -> dict[str, Finding]:
    found = examine(planned(directory, **changes), environment(cluster))
    return {finding.subject: finding for finding in found}


def states(found: Mapping[str, Finding]) -> set[str]:
    return {finding.state for finding in found.values()}


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


def test_a_healthy_cluster(cluster: Cluster, tmp_path: Path) -> None:
    directory = tmp_path / "it's a folder"
    directory.mkdir()
    found = examined(cluster, directory)
    assert states(found) == {"ok"}, found
    assert found["accounting"].found == "Slurm accounting storage is disabled; squeue is used"
    assert list(directory.iterdir()) == []
    assert cluster.squeue() == []


def test_a_healthy_cluster_with_accounting(accounting_cluster: Cluster, tmp_path: Path) -> None:
    found = examined(accounting_cluster, tmp_path, account="lab", status_command="sacct")
    assert states(found) == {"ok"}, found


def test_through_the_stand_ins(on_cluster: OnCluster, tmp_path: Path) -> None:
    found = list(examine(planned(tmp_path), on_cluster.environment))
    assert {finding.state for finding in found} == {"ok"}, found


def test_tensorflow_sees_no_gpu_in_a_fake_one(cluster: Cluster, tmp_path: Path) -> None:
    found = examined(cluster, tmp_path, gpus=1, partition="gpu")
    gpu = found.pop("GPU")
    assert states(found) == {"ok"}, found
    assert (gpu.state, gpu.found) == ("wrong", "0 GPUs seen by TensorFlow on n1")
    assert "envs/lock-gpu-py311.txt" in gpu.mend


def test_a_wrong_partition(cluster: Cluster, tmp_path: Path) -> None:
    found = examined(cluster, tmp_path, partition="nosuch")
    assert (found["partition"].state, found["partition"].found) == ("wrong", "no partition nosuch")
    assert "cpu, gpu, short" in found["partition"].mend
    assert found["a job on a node"].mend == "First mend this: partition."


def test_a_wrong_account(accounting_cluster: Cluster, tmp_path: Path) -> None:
    found = examined(accounting_cluster, tmp_path, account="nosuch")["submission"]
    assert (found.state, found.found) == (
        "wrong",
        "allocation failure: Invalid account or account/partition combination specified",
    )
    assert found.mend.endswith("to one of these: lab, root.")


def test_a_limit_on_jobs(accounting_cluster: Cluster, tmp_path: Path) -> None:
    modify = ("sacctmgr", "--immediate", "modify", "user", "root", "where", "account=lab", "set")
    accounting_cluster.run(*modify, "maxsubmit=50")
    try:
        found = examined(accounting_cluster, tmp_path)["number of jobs"]
    finally:
        accounting_cluster.run(*modify, "maxsubmit=-1")
    assert (found.state, found.found) == ("wrong", "account lab: 50 jobs in the queue; 100 are planned")


def test_a_time_limit_that_is_too_short(cluster: Cluster, tmp_path: Path) -> None:
    found = examined(cluster, tmp_path, partition="short")
    limit = found.pop("time limit")
    assert (limit.state, limit.found) == ("wrong", "1 min; the longest job asks for 30 min")
    assert states(found) == {"ok"}, found


def test_too_much_memory(cluster: Cluster, tmp_path: Path) -> None:
    found = examined(cluster, tmp_path, mem_mb=64001)["nodes"]
    assert (found.state, found.found) == ("wrong", "nodes have 64000 MB; a job asks for 64001 MB")


def test_no_node_in_service(accounting_cluster: Cluster, tmp_path: Path) -> None:
    with drained(accounting_cluster, "n1"):
        found = examined(accounting_cluster, tmp_path)["nodes"]
    assert (found.state, found.found) == ("wrong", "no node of cpu is in service: drained")


def test_a_job_that_does_not_start_is_taken_back(accounting_cluster: Cluster, tmp_path: Path) -> None:
    waits = Waits(start=1)
    with drained(accounting_cluster, "n1"):
        trial = trial_job.hold(planned(tmp_path), environment(accounting_cluster), waits, minutes=1)
    assert trial.waits
    assert accounting_cluster.squeue() == []
    assert list(tmp_path.iterdir()) == []


def test_a_python_that_is_not_on_the_node(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nosuch/python")
    found = examined(cluster, tmp_path)["a job on a node"]
    assert found.state == "wrong"
    assert found.found.startswith("/nosuch/python fails on n1: ")
    assert "not found" in found.found


def test_a_controller_that_is_down(cluster: Cluster, tmp_path: Path) -> None:
    cluster.kill_daemon("slurmctld")
    try:
        found = examined(cluster, tmp_path)
    finally:
        cluster.start_daemon("slurmctld")
    assert found["controller"].state == "wrong"
    assert found["controller"].found.endswith("is DOWN")
    assert found["a job on a node"].mend == "First mend this: controller."
