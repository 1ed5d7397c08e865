"""scripts/submit.py on a machine without SLURM: the controller is a background process."""

import os
import subprocess
import sys
import time

import pandas as pd
import pytest
import yaml

from tests.workflow.conftest import LIGHT, ROOT, Runner


@pytest.fixture
def without_slurm(tmp_path):
    """An environment in which everything is found but SLURM."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for directory in os.environ["PATH"].split(os.pathsep):
        if not os.path.isdir(directory):
            continue
        for name in os.listdir(directory):
            link = folder / name
            if name != "sbatch" and not link.is_symlink():
                link.symlink_to(os.path.join(directory, name))
    return os.environ | {"PATH": str(folder)}


def submit(environment, directory, *arguments):
    command = [sys.executable, str(ROOT / "scripts" / "submit.py"), "--directory", str(directory)]
    command += ["--configfile", str(directory / "study.yaml"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def wait(condition, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited for nothing"
        time.sleep(0.5)


def test_a_study_runs_in_the_background_is_looked_at_ended_and_gone_on_with(
    without_slurm, tmp_path, finished_light
):
    runner = Runner(tmp_path / "place")
    runner.directory.mkdir()
    # Many seeds: nobody is told to end a study that has ended.
    (runner.directory / "study.yaml").write_text(yaml.safe_dump(LIGHT | {"seeds": 60}))
    assert "no controller runs" in submit(without_slurm, runner.directory, "--status").stdout
    more = ("--", "--cores", "1")
    started = submit(without_slurm, runner.directory, *more)
    assert started.returncode == 0, started.stderr
    assert started.stdout.startswith("controller: process")
    wait(lambda: any(runner.result("windows").rglob("*.h5")))
    assert "controller: process" in submit(without_slurm, runner.directory, "--status").stdout
    again = submit(without_slurm, runner.directory, *more)
    assert (again.returncode, "has its controller: process" in again.stderr) == (2, True), again.stderr
    ended = submit(without_slurm, runner.directory, "--cancel")
    assert "ended its controller: process" in ended.stdout, ended.stderr
    assert not runner.result("report.html").exists()
    (runner.directory / "study.yaml").write_text(yaml.safe_dump(LIGHT))
    assert submit(without_slurm, runner.directory, *more).returncode == 0
    wait(runner.result("report.html").exists)
    wait(lambda: "no controller runs" in submit(without_slurm, runner.directory, "--status").stdout, 60)
    tables = [pd.read_csv(place.result("tables/main.csv")) for place in (runner, finished_light)]
    pd.testing.assert_frame_equal(*tables)
