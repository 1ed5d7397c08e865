"""The commands of the README, typed into a copy of the project."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.conftest import ROOT

pytestmark = pytest.mark.workflow

# What continuous integration runs itself, around this test.
RUN_BY_CI = ("make lint", "make test")
# A server does not end: tests/browser starts it by the same command.
SERVERS = ("make app",)
# These read the results of the demo.
AFTER_THE_DEMO = (".venv/bin/snakemake --report demo-report.html",)


def commands():
    """The commands in the README's sh blocks, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The tracked files in a directory of their own, with this environment as its .venv."""
    target = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)
    return target


def run(copy, command):
    """The finished command; make takes the environment for installed, as a second call would."""
    if command.startswith("make "):
        command = command.replace("make ", "make -o .venv/.installed ", 1)
    return subprocess.run(shlex.split(command), cwd=copy, capture_output=True, text=True, check=False)


def test_the_readme_names_the_commands_of_ci():
    assert set(RUN_BY_CI) <= set(commands())
    assert len(commands()) >= 6


@pytest.mark.parametrize(
    "command", [c for c in commands() if c not in (*RUN_BY_CI, *SERVERS, *AFTER_THE_DEMO, "make demo")]
)
def test_a_command_of_the_readme_works(copy, command):
    result = run(copy, command)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"stage +runs +jobs", result.stderr)


def test_the_demo_ends_with_its_table_and_a_second_run_has_no_job(copy):
    result = run(copy, "make demo")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"study demo: reused 0 models, trained \d+$", result.stdout, re.MULTILINE)
    assert re.search(r"cnn +cgan +0\.\d+ \[", result.stdout)
    assert re.search(r"private  6 subjects, .* ε gen 10", result.stdout)
    assert re.search(r"logistic +posterior +0\.\d+ \[", result.stdout)
    assert "Private (ε 10): whatever anybody learns" in result.stdout
    assert "results/demo/report.html" in result.stdout
    assert "Holds:\n- No file was changed since the release." in result.stdout
    for name in ("tables/main.csv", "figures/main.png", "report.html"):
        assert (copy / "results" / "demo" / name).stat().st_size > 1000
    ledger = copy / "results" / "demo" / "release" / "posterior" / "ledger.json"
    released = ledger.read_bytes()
    again = run(copy, "make demo")
    assert "Nothing to be done" in again.stdout + again.stderr
    # A second release would spend the same people's budget again.
    assert ledger.read_bytes() == released
    assert set(AFTER_THE_DEMO) <= set(commands())
    for command in AFTER_THE_DEMO:
        done = run(copy, command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (copy / "demo-report.html").stat().st_size > 1000
