"""Reports on a study on a cluster: of the controller, of --status, and of SLURM on the controller's job."""

import os
import re

import pytest

from pulseveil.core import paths
from tests.slurm.cluster import wait_until
from tests.slurm.conftest import OnCluster
from tests.slurm.login import SOON, WINDOWS, user
from tests.workflow.conftest import LIGHT, Runner

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]

FEATURES = paths.REAL_FEATURES.format(study="light", cohort="simulated")


def break_windows(place: OnCluster) -> None:
    """Write a file of windows that no job can read."""
    Runner(place.directory).snakemake(WINDOWS, study=LIGHT)
    (place.directory / WINDOWS).write_text("broken")


def test_a_failed_task_is_in_the_log_the_record_and_the_status(on_cluster: OnCluster) -> None:
    here = user(on_cluster)
    break_windows(on_cluster)
    job = here.submitted("--mail", "root@localhost", "--", FEATURES, *SOON)
    found = here.end(job)
    assert (found["JobState"], found["ExitCode"]) == ("FAILED", "1:0")
    assert (found["MailUser"], found["MailType"]) == ("root@localhost", "END,FAIL")
    wait_until(lambda: bool(on_cluster.cluster.mails(job)), 10, "the mail")
    assert any("FAILED, ExitCode 1" in mail for mail in on_cluster.cluster.mails(job))
    words = here.words(job)
    assert "failed: features: extract_features (cohort=simulated), try 1 of 2\n" in words
    assert "\n    not tried again: the next try would read the same input\n" in words
    jobs = on_cluster.cluster.squeue("--states=all", "--format=%k|%Z")
    assert jobs.count(f"rule_extract_features_wildcards_simulated|{on_cluster.directory}") == 1, jobs
    assert re.search(
        r"\n    SLURM job \d+: FAILED, reason NonZeroExitCode, exit code 1:0, node n\d\n", words
    ), words
    assert "\n    log: logs/light/extract_features/simulated.log\n" in words
    assert re.search(
        r"\n    error: results/\S*detector.h5: not a readable HDF5 file .*; rerun the stage", words
    )
    summary = "0 tasks done, 1 failed; failures are listed in logs/light/record.jsonl"
    assert f"study light: {summary}" in words
    assert f"study light: failed with exit code 1: {summary}" in words
    status = here.submit("--status").stdout
    line = " ".join(status.split())
    assert f"no controller runs; the last run: failed with exit code 1: {summary}" in line
    assert "failed: features: extract_features (cohort=simulated), try 1 of 2" in line
    assert "error: results/light/windows/simulated/detector.h5: not a readable HDF5 file" in line
    assert re.search(r"│ features +│ +0 │ +3 │ +0 │ +0 │ +1 │", status), status
    print(f"failed task: {here.cost()}")


def test_a_finished_study_is_a_completed_job(on_cluster: OnCluster) -> None:
    here = user(on_cluster)
    job = here.submitted("--", WINDOWS, *SOON)
    assert here.end(job)["JobState"] == "COMPLETED"
    assert "study light: finished" in here.words(job)
    assert "no controller runs; the last run: finished" in here.submit("--status").stdout


def test_a_run_that_cannot_begin_is_a_failed_job_with_its_reason(on_cluster: OnCluster) -> None:
    here = user(on_cluster)
    job = here.submitted("--", "nosuch.txt", *SOON)
    found = here.end(job)
    assert (found["JobState"], found["ExitCode"]) == ("FAILED", "1:0")
    status = " ".join(here.submit("--status").stdout.split())
    assert "the last run: failed with exit code 1: " in status
    assert "nosuch.txt" in status


def test_a_wait_is_reported_with_its_limit_and_a_cancelled_study_is_no_failed_job(
    on_cluster: OnCluster,
) -> None:
    folder = on_cluster.directory / "site"
    folder.mkdir()
    real = on_cluster.cluster.run("sh", "-c", "command -v sbatch").stdout.strip()
    # Only jobs of Snakemake have a comment.
    refuse = 'case "$*" in *--comment*) echo "sbatch: error: the moon is full" >&2; exit 1 ;; esac'
    (folder / "sbatch").write_text(f'#!/bin/sh\n{refuse}\nexec {real} "$@"\n')
    (folder / "sbatch").chmod(0o755)
    here = user(on_cluster, PATH=f"{folder}{os.pathsep}{on_cluster.cluster.environment['PATH']}")
    job = here.submitted("--mail", "root@localhost", "--", WINDOWS, *SOON)
    message = "sbatch is tried again for 7 days: the moon is full"
    wait_until(lambda: message in here.words(job), 200, "the words of the controller")
    assert message in " ".join(here.submit("--status").stdout.split())
    assert here.words(job).count(f"{message}; to end the study instead: scripts/submit.py --cancel\n") == 1

    answer = here.submit("--cancel").stdout
    assert answer.startswith(f"study light: ended its controller: job {job}, running"), answer
    assert here.end(job)["JobState"] == "CANCELLED", here.words(job)
    words = "stopped, by --cancel or another signal; a new start goes on from there"
    assert f"study light: {words}" in here.words(job)
    # A submission that waits, and is interrupted, is no failure.
    assert re.search(r"study light: 0 tasks done, \d+ stopped", here.words(job)), here.words(job)
    assert "failed:" not in here.words(job)
    assert f"no controller runs; the last run: {words}" in " ".join(here.submit("--status").stdout.split())
    wait_until(lambda: bool(on_cluster.cluster.mails(job)), 10, "the mail")
    (mail,) = on_cluster.cluster.mails(job)
    assert "Ended" in mail
    assert "CANCELLED" in mail
