"""The stand-ins for SLURM's commands, with Snakemake and without, while SLURM fails."""

import time
from subprocess import CompletedProcess

import pytest

from pulseveil.cluster import stand_ins
from tests.slurm.cluster import wait_until
from tests.slurm.conftest import OnCluster, finished

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]

ONE_JOB = """
rule made:
    output:
        "made.txt",
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=5,
    shell:
        "echo start >> starts; test -e again || sleep 600; echo done > {output}"
"""


def run_without(on_cluster: OnCluster, daemon: str, *command: str) -> CompletedProcess[str]:
    """Run a command while a daemon is down for 3 s."""
    on_cluster.cluster.stop_daemon(daemon)
    process = on_cluster.start(*command)
    time.sleep(3)
    on_cluster.cluster.start_daemon(daemon)
    return finished(process, seconds=60)


def submitted(on_cluster: OnCluster, state: str = "RUNNING") -> list[str]:
    """Ids of the jobs in this state that were submitted from this directory."""
    lines = on_cluster.cluster.squeue("--states", state, "--format=%A|%Z")
    return [line.partition("|")[0] for line in lines if line.endswith(f"|{on_cluster.directory}")]


def test_a_wrong_partition_fails_at_once(on_cluster: OnCluster) -> None:
    begin = time.monotonic()
    done = on_cluster.run("sbatch", "--partition=none", "--wrap", "true")
    assert done.returncode == 1
    assert "Invalid partition name" in done.stderr
    assert time.monotonic() - begin < 5


def test_sbatch_and_squeue_wait_for_the_controller(on_cluster: OnCluster) -> None:
    submission = ("sbatch", "--parsable", "--mem=100", "--output=/dev/null", "--wrap", "true")
    done = run_without(on_cluster, "slurmctld", *submission)
    assert done.returncode == 0, done.stderr
    job = done.stdout.strip()
    done = run_without(on_cluster, "slurmctld", "squeue", "--noheader", "--states=all", "--format=%A")
    assert done.returncode == 0, done.stderr
    assert job in done.stdout.split()


def test_an_answer_that_was_lost_makes_no_second_job(on_cluster: OnCluster) -> None:
    cluster = on_cluster.cluster
    name = ("--job-name", "lost", "--comment", "rule_a|b_wildcards_c")
    cluster.pause("slurmctld")
    submission = on_cluster.start(
        "sbatch", "--parsable", "--mem=100", "--output=/dev/null", *name, "--wrap", "sleep 1"
    )
    # The call waits for 10 s (MessageTimeout). slurmctld accepts the job when it continues.
    time.sleep(11)
    cluster.resume("slurmctld")
    done = finished(submission, seconds=60)
    assert done.returncode == 0, done.stderr
    assert cluster.squeue("--states=all", "--name", "lost", "--format=%A") == [done.stdout.strip()]


def test_the_status_command_suits_the_cluster(on_cluster: OnCluster) -> None:
    assert stand_ins.status_command(on_cluster.environment) == "squeue"
    settings = on_cluster.cluster.directory / "slurm.conf"
    before = settings.read_text()
    settings.write_text(before.replace("MinJobAge=300", "MinJobAge=60"))
    try:
        on_cluster.cluster.run("scontrol", "reconfigure")
        assert stand_ins.status_command(on_cluster.environment) == "sacct"
    finally:
        settings.write_text(before)
        on_cluster.cluster.run("scontrol", "reconfigure")


def test_a_run_outlasts_outages_and_a_cancelled_job(on_cluster: OnCluster) -> None:
    here, cluster = on_cluster.directory, on_cluster.cluster
    (here / "Snakefile").write_text(ONE_JOB)
    cluster.stop_daemon("slurmctld")
    run = on_cluster.snakemake(here / "Snakefile", "--default-resources", "slurm_partition=cpu")
    time.sleep(10)
    cluster.start_daemon("slurmctld")
    wait_until((here / "starts").exists, 60, "start of the first job")

    # slurmctld writes its state every 5 s: the job must survive the kill.
    time.sleep(6)
    cluster.kill_daemon("slurmctld")
    time.sleep(10)
    cluster.start_daemon("slurmctld")

    (here / "again").touch()
    cluster.run("scancel", *submitted(on_cluster))
    done = finished(run, seconds=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Trying to restart job" in done.stderr
    assert (here / "made.txt").read_text() == "done\n"
    assert (here / "starts").read_text().split() == ["start", "start"]
    jobs = cluster.squeue("--states=all", "--format=%T|%m|%Z")
    ends = {line.removesuffix(f"|{here}") for line in jobs if line.endswith(f"|{here}")}
    assert ends == {"CANCELLED|1000M", "COMPLETED|2000M"}


def test_sacct_tells_of_a_cancelled_job(on_accounting_cluster: OnCluster) -> None:
    here, cluster = on_accounting_cluster.directory, on_accounting_cluster.cluster
    (here / "Snakefile").write_text(ONE_JOB)
    settings = ("--slurm-status-command", "sacct", "--default-resources", "slurm_account=lab")
    run = on_accounting_cluster.snakemake(here / "Snakefile", *settings)
    wait_until((here / "starts").exists, 60, "start of the first job")
    (here / "again").touch()
    cluster.run("scancel", *submitted(on_accounting_cluster))
    done = finished(run, seconds=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Trying to restart job" in done.stderr


def states(on_cluster: OnCluster, run: str) -> list[str]:
    """States of a run's jobs as sacct gives them to Snakemake."""
    query = ("sacct", "-X", "--parsable2", "--clusters", "all", "--noheader", "--format=JobIdRaw,State")
    lines = on_cluster.run(*query, "--name", run).stdout.splitlines()
    return [line.partition("|")[2] for line in lines]


def submit(on_cluster: OnCluster, run: str, partition: str) -> str:
    """Submit a long job for the whole node, and wait until it runs."""
    whole = ("--cpus-per-task=4", "--mem=100", "--requeue", "--output=/dev/null", "--wrap", "sleep 100")
    job = on_cluster.run("sbatch", "--parsable", "--job-name", run, "--partition", partition, *whole)
    number = job.stdout.strip()
    wait_until(lambda: number in on_cluster.cluster.squeue("--states=R", "--format=%A"), 30, "start")
    return number


def test_ends_that_snakemake_does_not_know_become_a_cancellation(on_accounting_cluster: OnCluster) -> None:
    here = on_accounting_cluster
    cancelled = submit(here, "by-hand", "cpu")
    here.run("scancel", cancelled)
    wait_until(lambda: states(here, "by-hand") == ["CANCELLED"], 20, "a cancelled job")

    submit(here, "ended", "scavenge_cancel")
    here.run("scancel", submit(here, "stronger", "cpu"))
    wait_until(lambda: states(here, "ended") == ["CANCELLED"], 20, "a job that was preempted for good")

    requeued = submit(here, "requeued", "scavenge")
    stronger = submit(here, "stronger", "cpu")
    wait_until(lambda: states(here, "requeued") == ["PREEMPTED"], 20, "a job that waits for its restart")
    here.run("scancel", stronger, requeued)


def test_sacct_waits_for_the_database(on_accounting_cluster: OnCluster) -> None:
    here = on_accounting_cluster
    done = run_without(here, "slurmdbd", "sacct", "-X", "--noheader", "--format=JobIdRaw")
    assert done.returncode == 0, done.stderr
    assert "trying again for 40 s" in done.stderr


def test_a_full_queue_is_waited_for(on_accounting_cluster: OnCluster) -> None:
    here = on_accounting_cluster
    limit = ("sacctmgr", "--immediate", "modify", "user", "root", "set")
    job = submit(here, "full", "cpu")
    here.cluster.run(*limit, "maxsubmitjobs=1")
    try:
        waiting = here.start("sbatch", "--parsable", "--mem=100", "--output=/dev/null", "--wrap", "true")
        time.sleep(2)
        assert waiting.poll() is None
        here.run("scancel", job)
        done = finished(waiting, seconds=60)
    finally:
        here.cluster.run(*limit, "maxsubmitjobs=-1")
    assert done.returncode == 0, done.stderr
    assert "AssocMaxSubmitJobLimit; trying again until the limit allows it" in done.stderr


def test_a_cluster_without_accounting_is_asked_by_squeue_even_when_sacct_is_called(
    on_cluster: OnCluster,
) -> None:
    job = on_cluster.run(
        "sbatch", "--parsable", "--job-name", "fallback", "--mem=100", "--output=/dev/null", "--wrap", "true"
    )
    assert job.returncode == 0, job.stderr
    wait_until(lambda: states(on_cluster, "fallback") == ["COMPLETED"], 30, "the end of a job")
