"""Reports on a study on a cluster: of the controller, of --status, and of SLURM on the controller's job."""

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
    assert "try 2 of 2" not in words
    assert re.search(
        r"\n    SLURM job \d+: FAILED, reason NonZeroExitCode, exit code 1:0, node n\d\n", words
    ), words
    assert "\n    log: logs/light/extract_features/simulated.log\n" in words
    assert re.search(
        r"\n    error: results/\S*detector.h5: not a readable HDF5 file .*; rerun the stage", words
    )
    summary = "study light: 0 tasks done, 1 failed; failures are listed in logs/light/record.jsonl"
    assert summary in words
    assert f"study light: failed with exit code 1: {summary}" in words
    status = here.submit("--status").stdout
    line = " ".join(status.split())
    assert f"no controller runs; the last run: failed with exit code 1: {summary}" in line
    assert "failed: features: extract_features (cohort=simulated), try 1 of 2" in line
    assert "error: results/light/windows/simulated/detector.h5: not a readable HDF5 file" in line
    assert re.search(r"│ features +│ +0 │ +3 │ +0 │ +0 │ +1 │", status), status


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


def test_a_study_that_is_cancelled_is_no_failed_job(on_cluster: OnCluster) -> None:
    here = user(on_cluster)
    job = here.submitted("--mail", "root@localhost", "--", WINDOWS, *SOON)
    wait_until(lambda: "SLURM run ID" in here.words(job), 60, "the controller's Snakemake")
    answer = here.submit("--cancel").stdout
    assert answer.startswith(f"study light: ended its controller: job {job}, running"), answer
    assert here.end(job)["JobState"] == "CANCELLED", here.words(job)
    words = "stopped, by --cancel or another signal; a new start goes on from there"
    assert f"study light: {words}" in here.words(job)
    assert f"no controller runs; the last run: {words}" in " ".join(here.submit("--status").stdout.split())
    wait_until(lambda: bool(on_cluster.cluster.mails(job)), 10, "the mail")
    (mail,) = on_cluster.cluster.mails(job)
    assert "Ended" in mail
    assert "CANCELLED" in mail
