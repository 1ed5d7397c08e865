"""A study through profiles/slurm, on a cluster without accounting."""

import time
from pathlib import Path

import pytest
import yaml

from tests.slurm.cluster import wait_until
from tests.slurm.conftest import ROOT, OnCluster, finished
from tests.workflow.conftest import LIGHT, Runner

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]

STUDY = LIGHT | {"detectors": ["logistic"], "seeds": 1}


TIMED = {"journal.jsonl", "hours.csv", "ro-crate-metadata.json"}


def results(directory: Path) -> dict[str, bytes]:
    """All results except files with the time, the machine or the duration of a run, or named by its time."""
    files = [path for path in (directory / "results").rglob("*") if path.is_file()]
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in files
        if path.name not in TIMED
        and not path.name.endswith(".provenance.json")
        and "history" not in path.parts
    }


def test_a_study_gives_the_same_bytes_as_on_one_machine(on_cluster: OnCluster, tmp_path_factory) -> None:
    local = Runner(tmp_path_factory.mktemp("local"))
    local.snakemake(study=STUDY)
    done = finished(on_cluster.study(STUDY), seconds=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(on_cluster.cluster.squeue("--states=CD", "--format=%Z|%A")) > 5
    check_same(local.directory, on_cluster.directory, "light")


@pytest.mark.slow
def test_the_demo_gives_the_same_bytes_as_on_one_machine(on_cluster: OnCluster, tmp_path_factory) -> None:
    # Noise from the seeds: secret noise gives other bytes in each run. Three people, to save time.
    keys = {"privacy_noise": "reproducible", "folds": 3}
    demo = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text()) | keys
    local = Runner(tmp_path_factory.mktemp("local"))
    begin = time.monotonic()
    local.snakemake(study=demo)
    between = time.monotonic()
    done = finished(on_cluster.study(demo), seconds=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    check_same(local.directory, on_cluster.directory, "demo")
    print(f"demo: {between - begin:.0f} s here, {time.monotonic() - between:.0f} s through SLURM")


def check_same(local: Path, cluster: Path, study: str) -> None:
    """Require the same bytes of results in both directories, and that there are many results."""
    expected, found = results(local), results(cluster)
    assert {f"results/{study}/tables/main.csv", f"results/{study}/report.html"} <= expected.keys()
    assert sum(name.endswith(".h5") for name in expected) > 5
    assert [name for name in expected if expected[name] != found.get(name)] == []


TWO_KINDS = """
from pulseveil.study import dag


rule all:
    input:
        "0.txt",
        "1.txt",


rule with_gpus:
    output:
        "{gpus}.txt",
    resources:
        **dag.gpu_resources(workflow, lambda wildcards: int(wildcards.gpus)),
        mem_mb=1000,
        runtime=5,
    shell:
        "echo ${{CUDA_VISIBLE_DEVICES-none}} > {output}"
"""


def test_jobs_with_a_gpu_go_to_the_partition_with_gpus(on_cluster: OnCluster) -> None:
    (on_cluster.directory / "Snakefile").write_text(TWO_KINDS)
    partitions = ROOT / "profiles" / "slurm" / "partitions.yaml"
    run = on_cluster.snakemake(
        on_cluster.directory / "Snakefile", "--slurm-partition-config", str(partitions)
    )
    done = finished(run, seconds=120)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = on_cluster.cluster.squeue("--states=all", "--format=%P|%b|%k|%Z")
    ends = {line.rpartition("|")[0] for line in jobs if line.endswith(f"|{on_cluster.directory}")}
    comment = "rule_with_gpus_wildcards"
    assert ends == {f"cpu|N/A|{comment}_0", f"gpu|gres:gpu:1|{comment}_1"}
    assert (on_cluster.directory / "0.txt").read_text() == "none\n"
    assert (on_cluster.directory / "1.txt").read_text() == "0\n"


LONG_JOB = """
rule made:
    output:
        "made.txt",
    resources:
        mem_mb=1000,
        runtime=5,
    shell:
        "echo start >> starts; test -e again || sleep 600; echo done > {output}"
"""


def test_a_job_of_a_dead_node_runs_again_on_another_one(on_cluster: OnCluster) -> None:
    here, cluster = on_cluster.directory, on_cluster.cluster
    (here / "Snakefile").write_text(LONG_JOB)
    run = on_cluster.snakemake(here / "Snakefile")
    wait_until((here / "starts").exists, 60, "start of the job")
    (here / "again").touch()
    lines = cluster.squeue("--states=R", "--format=%N|%Z")
    (node,) = [line.partition("|")[0] for line in lines if line.endswith(f"|{here}")]
    cluster.kill_node(node)
    try:
        done = finished(run, seconds=200)
    finally:
        cluster.start_node(node)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (here / "made.txt").read_text() == "done\n"
    # No third start: Snakemake waited for the requeued job and submitted no job of its own.
    assert (here / "starts").read_text().split() == ["start", "start"]


def test_the_profile_holds_what_a_cluster_needs() -> None:
    keys = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    assert keys["executor"] == "slurm"
    # Without either key the cluster decides, and a requeued job can run beside its second copy.
    assert ("slurm-requeue" in keys) != ("slurm-no-requeue" in keys)
    assert keys["retries"] >= 1
