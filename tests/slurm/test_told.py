"""What a user is told of a study on a cluster: by the controller, by --status, and by SLURM of its job."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from pulseveil.core import paths
from tests.slurm.cluster import wait_until
from tests.slurm.conftest import ROOT, OnCluster
from tests.workflow.conftest import LIGHT, Runner

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]

# One small job, looked at soon.
FEATURES = paths.REAL_FEATURES.format(study="light", cohort="simulated")
SOON = ("--retries", "1", "--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5")
MINUTES = ("--minutes", "60", "--grace", "10")


@dataclass(frozen=True)
class User:
    """Somebody on a login node, in a directory with a study file."""

    place: OnCluster
    variables: dict[str, str]

    def submit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """scripts/submit.py, as it is called from a shell."""
        command = [sys.executable, str(ROOT / "scripts" / "submit.py"), "--configfile", "study.yaml"]
        return subprocess.run(
            [*command, *arguments],
            env=self.place.cluster.environment | {"PYTHONPATH": str(ROOT / "workflow")} | self.variables,
            cwd=self.place.directory,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def submitted(self, *arguments: str) -> str:
        """The job id of a controller that was accepted."""
        done = self.submit(*MINUTES, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        found = re.match(r"controller: job (\d+); its words are in ", done.stdout)
        assert found, done.stdout
        return found[1]

    def end(self, job: str, seconds: float = 120) -> dict[str, str]:
        """What SLURM says of a job that has ended."""
        wait_until(
            lambda: job not in self.place.cluster.squeue("--format=%A"), seconds, "the end of the controller"
        )
        text = self.place.cluster.run("scontrol", "show", "job", "--oneliner", job).stdout
        return dict(re.findall(r"(\w+)=(\S*)", text))

    def words(self, job: str) -> str:
        """What the controller said."""
        folder = self.place.directory / ".snakemake" / "controller" / "light"
        return "".join(path.read_text() for path in folder.glob(f"{job}_*_log.err"))


def user(place: OnCluster, **variables: str) -> User:
    (place.directory / "study.yaml").write_text(yaml.safe_dump(LIGHT))
    return User(place, variables)


def break_windows(place: OnCluster) -> Path:
    """Windows that are there, and that no job can read."""
    windows = paths.WINDOWS.format(study="light", cohort="simulated", windows="detector")
    Runner(place.directory).snakemake(windows, study=LIGHT)
    (place.directory / windows).write_text("broken")
    return place.directory / windows


def test_a_task_that_fails_is_told_by_all_who_are_asked(on_cluster: OnCluster) -> None:
    here = user(on_cluster)
    break_windows(on_cluster)
    job = here.submitted("--mail", "root@localhost", "--", FEATURES, *SOON)
    found = here.end(job)
    assert (found["JobState"], found["ExitCode"]) == ("FAILED", "1:0")
    assert (found["MailUser"], found["MailType"]) == ("root@localhost", "END,FAIL")
    words = here.words(job)
    for attempt in (1, 2):
        assert f"failed: features: extract_features (cohort=simulated), try {attempt} of 2\n" in words
    assert re.search(
        r"\n    SLURM job \d+: FAILED, reason NonZeroExitCode, exit code 1:0, node n\d\n", words
    ), words
    assert "\n    log: logs/light/extract_features/simulated.log\n" in words
    assert re.search(
        r"\n    error: results/\S*detector.h5: not a readable HDF5 file .*; rerun the stage", words
    )
    told = "study light: 0 tasks done, 1 failed; failures are listed in logs/light/record.jsonl"
    assert told in words
    assert f"study light: failed with exit code 1: {told}" in words
    status = here.submit("--status").stdout
    line = " ".join(status.split())
    assert f"no controller runs; the last run: failed with exit code 1: {told}" in line
    assert "failed: features: extract_features (cohort=simulated), try 2 of 2" in line
    assert "error: results/light/windows/simulated/detector.h5: not a readable HDF5 file" in line
    assert re.search(r"│ features +│ +0 │ +3 │ +0 │ +0 │ +1 │", status), status


def test_a_finished_study_is_a_completed_job(on_cluster: OnCluster) -> None:
    here = user(on_cluster)
    windows = break_windows(on_cluster)
    windows.unlink()
    job = here.submitted("--", str(windows.relative_to(on_cluster.directory)), *SOON)
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
