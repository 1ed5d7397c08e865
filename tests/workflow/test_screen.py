"""What a run shows on a terminal, and what it leaves in a log."""

import os
import pty
import re
import shutil
import subprocess
import sys

import pytest

from tests.workflow.conftest import LIGHT, ROOT, Runner

NEWS_OF_SINGLE_JOBS = ("Select jobs", "Finished jobid", "steps (")


@pytest.fixture
def light(finished_light, tmp_path):
    """A copy of the finished light study without its summary."""
    folder = tmp_path / "light"
    shutil.copytree(finished_light.directory, folder)
    (folder / "results" / "light" / "report.html").unlink()
    return Runner(folder)


def on_a_terminal(command):
    """What a command writes to a terminal, and its exit code."""
    ours, theirs = pty.openpty()
    run = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT)
    os.close(theirs)
    written = b""
    # Reading fails where the last process closes the terminal.
    try:
        while block := os.read(ours, 65536):
            written += block
    except OSError:
        pass
    return written.decode(errors="replace"), run.wait(timeout=60)


def test_a_terminal_has_a_bar_with_jobs_hours_and_time_left_and_then_the_table(light):
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(light.directory)]
    said, code = on_a_terminal([*command, "--configfile", str(light.directory / "study.yaml")])
    assert code == 0, said
    assert re.search(r"0 of 1 jobs, 0\.0 of 0\.1 CPU minutes of the plan, about \d+ s left", said)
    assert "1 of 1 jobs" not in said.split("study light: reused")[-1]
    assert said.index("0 of 1 jobs") < said.index("logistic")
    assert "study light: reused 32 models, trained 0" in said
    assert not any(words in said for words in NEWS_OF_SINGLE_JOBS)


def test_a_log_has_no_bar_and_no_news_of_single_jobs(light):
    ended = light.snakemake(study=LIGHT)
    assert "\x1b[" not in ended.stderr
    assert "of 1 jobs" not in ended.stderr
    assert not any(words in ended.stderr for words in NEWS_OF_SINGLE_JOBS)
    log = max((light.directory / ".snakemake" / "log").glob("*.log"))
    assert "1 of 2 steps (50%) done" in log.read_text()


def test_repairs_of_recordings_are_told_once(finished_light):
    logs = (finished_light.directory / "logs" / "light").rglob("*.log")
    assert sum(log.read_text().count("Noted, left as it is:") for log in logs) == 1
