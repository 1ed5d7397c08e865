"""Faults of a cluster that hit the jobs of a study, on a real cluster, through profiles/slurm.

Each test prints what the fault cost (pytest -rP): seconds from its end to the end of the study or to the next
step, what was lost, what ran twice.
"""

import re
import signal
import sys
import time
from pathlib import Path

import pytest

from pulseveil.core import paths
from tests.slurm.cluster import kill, process_ids, wait_until
from tests.slurm.conftest import OnCluster, finished
from tests.slurm.sleeping import SNAKEFILE, STEPS, cost, finish, names, once, output, start, steps
from tests.workflow.conftest import Runner
from tests.workflow.test_interruption import STUDY, models

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]

HUNGRY = """
rule made:
    output:
        "made.txt",
    resources:
        mem_mb=lambda wildcards, attempt: 700 * attempt,
        runtime=5,
    shell:
        "echo start >> starts; python3 -c 'import time; held = bytearray(900 << 20); time.sleep(4)';"
        " echo done > {output}"
"""


def test_a_job_above_its_memory_runs_again_with_more(on_cluster: OnCluster) -> None:
    here = on_cluster.directory
    (here / "Snakefile").write_text(HUNGRY)
    run = on_cluster.snakemake(here / "Snakefile")
    wait_until(lambda: "FAILED|700M" in ends(on_cluster), 90, "the end of a job above its memory")
    since = time.monotonic()
    done = finished(run, seconds=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ends(on_cluster) == ["COMPLETED|1400M", "FAILED|700M"]
    assert (here / "made.txt").read_text() == "done\n"
    assert (here / "starts").read_text().split() == ["start", "start"]
    print(f"memory: finished {time.monotonic() - since:.0f} s after the kill")


def ends(place: OnCluster) -> list[str]:
    """State and memory of each job of this directory."""
    lines = place.cluster.squeue("--states=all", "--format=%T|%m|%Z")
    return sorted(line.rpartition("|")[0] for line in lines if line.endswith(f"|{place.directory}"))


def test_a_training_at_its_time_limit_goes_on_to_the_same_model(
    on_cluster: OnCluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = paths.MODELS.format(
        study=STUDY["name"],
        cohort="simulated",
        generator="cgan",
        unit="subject",
        epsilon_generator="inf",
        seed=0,
    )
    local = Runner(tmp_path_factory.mktemp("local"))
    local.snakemake(model, study=STUDY)

    run = on_cluster.study(STUDY, model)
    wait_until(lambda: "cgan: step" in logs(on_cluster, "logs"), 300, "a training")
    # SLURM checks limits every 30 s: the training is stopped until SLURM continues it and sends SIGTERM.
    training = processes(on_cluster, "train_generator.py")
    assert training
    kill(training, signal.SIGSTOP)
    (job,) = on_cluster.cluster.squeue("--states=R", "--format=%A", "--name", run_id(on_cluster))
    on_cluster.cluster.run("scontrol", "update", f"JobId={job}", "EndTime=now")
    wait_until(lambda: states(on_cluster, job) == ["TIMEOUT"], 120, "the time limit")
    since = time.monotonic()
    report = logs(on_cluster, ".snakemake/slurm_logs")
    assert "interrupted: stop requested: state stored after step" in report, report
    done = finished(run, seconds=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cgan: continue after step" in logs(on_cluster, "logs")
    expected, found = models(local.directory / model), models(on_cluster.directory / model)
    assert expected.keys() == found.keys()
    assert all((expected[name] == found[name]).all() for name in expected)
    print(f"time limit: finished {time.monotonic() - since:.0f} s after it")


def processes(place: OnCluster, script: str) -> list[int]:
    """Python processes that run a script in this directory."""
    found = []
    for pid in process_ids():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            here = Path(f"/proc/{pid}/cwd").readlink() == place.directory
        except OSError:
            continue
        if here and words[0].endswith("python") and any(word.endswith(script) for word in words[1:2]):
            found.append(pid)
    return found


def states(place: OnCluster, job: str) -> list[str]:
    """The state of one job."""
    return place.cluster.squeue("--states=all", "--jobs", job, "--format=%T")


def run_id(place: OnCluster) -> str:
    """Name of the jobs of the last run in this directory."""
    lines = place.cluster.squeue("--states=all", "--format=%j|%Z")
    return [line.partition("|")[0] for line in lines if line.endswith(f"|{place.directory}")][-1]


def logs(place: OnCluster, folder: str) -> str:
    """Text of all logs under a folder."""
    return "".join(path.read_text() for path in (place.directory / folder).rglob("*.log"))


PREEMPTED = """
rule all:
    input: "scavenge.txt", "scavenge_cancel.txt"
rule made:
    output: "{partition}.txt"
    resources:
        mem_mb=1000,
        runtime=5,
        slurm_partition=lambda wildcards: wildcards.partition,
    threads: 16
    shell:
        "echo start $(date +%s.%N) >> {wildcards.partition}.starts; test -e again || sleep 600;"
        " echo done > {output}"
"""


def test_preempted_jobs_run_again(on_cluster: OnCluster) -> None:
    here, cluster = on_cluster.directory, on_cluster.cluster
    (here / "Snakefile").write_text(PREEMPTED)
    run = on_cluster.snakemake(here / "Snakefile")
    kinds = ("scavenge", "scavenge_cancel")
    wait_until(lambda: all((here / f"{kind}.starts").exists() for kind in kinds), 90, "both jobs")
    (here / "again").touch()
    stronger = ("--partition=cpu", "--exclusive", "--nodes=2", "--output=/dev/null")
    # Jobs of both partitions are preempted. The requeued job waits until the stronger job has ended.
    cluster.run("sbatch", *stronger, "--wrap", "sleep 5")
    since = time.monotonic()
    done = finished(run, seconds=200)
    assert done.returncode == 0, done.stdout + done.stderr
    for kind in kinds:
        assert (here / f"{kind}.txt").read_text() == "done\n"
        assert len((here / f"{kind}.starts").read_text().splitlines()) == 2
    lines = cluster.squeue("--states=all", "--format=%P|%T|%Z")
    found = sorted(line.rpartition("|")[0] for line in lines if line.endswith(f"|{here}"))
    # A requeued job is the same job; after a cancelled job Snakemake submits another one.
    assert found == ["scavenge_cancel|COMPLETED", "scavenge_cancel|PREEMPTED", "scavenge|COMPLETED"]
    print(f"preemption: finished {time.monotonic() - since:.0f} s after it")


def test_a_study_outlasts_a_minute_without_squeue(on_cluster: OnCluster) -> None:
    process = start(on_cluster)
    wait_until(lambda: bool(steps(on_cluster)), 60, "a running step")
    # Stopped in order: a killed slurmctld would forget that a step has just ended, and start it again.
    on_cluster.cluster.stop_daemon("slurmctld")
    time.sleep(60)
    on_cluster.cluster.start_daemon("slurmctld")
    since = time.monotonic()
    finish(on_cluster, process, 200)
    assert once(on_cluster)
    print(f"squeue: finished {time.monotonic() - since:.0f} s after it came back")


def test_a_study_outlasts_a_full_queue_and_a_minute_without_sacct(on_accounting_cluster: OnCluster) -> None:
    here, cluster = on_accounting_cluster, on_accounting_cluster.cluster
    limit = ("sacctmgr", "--immediate", "modify", "user", "root", "set")
    cluster.run(*limit, "maxsubmitjobs=2")
    try:
        process = start(here, jobs=STEPS)
        wait_until(lambda: bool(steps(here)), 60, "a running step")
        assert len(names(here)) <= 2
        cluster.stop_daemon("slurmdbd")
        time.sleep(60)
        cluster.start_daemon("slurmdbd")
        since = time.monotonic()
        finish(here, process, 200)
    finally:
        cluster.run(*limit, "maxsubmitjobs=-1")
    assert once(here)
    print(f"sacct: finished {time.monotonic() - since:.0f} s after it came back")


def test_a_partition_that_is_drained_for_a_while_costs_no_try(on_cluster: OnCluster) -> None:
    update = ("scontrol", "update", "PartitionName=cpu")
    process = start(on_cluster)
    wait_until(lambda: bool(steps(on_cluster)), 60, "a running step")
    on_cluster.cluster.run(*update, "State=DRAIN")
    report = "sbatch is tried again for 7 days: Required partition not available (inactive or drain)"
    try:
        wait_until(lambda: report in output(on_cluster), 150, "the words of the controller")
    finally:
        on_cluster.cluster.run(*update, "State=UP")
    since = time.time()
    finish(on_cluster, process, 200)
    assert once(on_cluster)
    assert output(on_cluster).count(f"{report}; to end the study instead: scripts/submit.py --cancel") == 1
    assert "Error" not in output(on_cluster)
    print(f"drain: {cost(on_cluster, since)}")


def test_jobs_that_would_wait_for_ever_are_reported_with_the_remedy(on_cluster: OnCluster) -> None:
    # Longer than the partition allows: SLURM accepts such jobs and never starts them.
    too_long = SNAKEFILE.replace("runtime=5", 'runtime=5, slurm_partition="short"')
    since = time.monotonic()
    process = start(on_cluster, snakefile=too_long, look=1)
    report = r"will not start by itself: \d+, \d+ \(PartitionTimeLimit\); its time limit exceeds"
    wait_until(lambda: bool(re.search(report, output(on_cluster))), 150, "the words of the controller")
    print(f"waiting for ever: reported {time.monotonic() - since:.0f} s after the start of the study")
    time.sleep(3)
    assert output(on_cluster).count("PartitionTimeLimit") == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 130
    assert not names(on_cluster)


def test_a_node_without_python_costs_no_try_and_is_left_out(on_cluster: OnCluster) -> None:
    cluster = on_cluster.cluster
    cluster.kill_node("n1")
    # SLURM fills the first node first: all jobs go to the broken node unless it is excluded.
    cluster.start_node("n1", without=Path(sys.prefix))
    since = time.time()
    try:
        finish(on_cluster, start(on_cluster, snakefile=SNAKEFILE + TOLD, jobs=STEPS), 240)
    finally:
        cluster.kill_node("n1")
        cluster.start_node("n1")
    assert once(on_cluster)
    words = output(on_cluster)
    assert words.count("node n1: 2 jobs ended before their task began. These tries do not count") == 1
    assert "python: not found" in words
    assert "try 2 of 3" not in words
    jobs = cluster.squeue("--states=F", "--format=%N|%Z").count(f"n1|{on_cluster.directory}")
    print(f"node without Python: {jobs} jobs ended on it, {cost(on_cluster)}")
    print(f"node without Python: finished {time.time() - since:.0f} s after the start of the study")


TOLD = """
from pulseveil.cluster import listener
onstart:
    listener.listen(workflow, STUDY)
"""
