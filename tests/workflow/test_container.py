"""Jobs in an Apptainer image: the one that the project's definition file makes, or none."""

import shutil

import pytest

from tests.workflow.conftest import LIGHT, ROOT, Runner

pytestmark = pytest.mark.workflow

SMALL = LIGHT | {
    "generators": [],
    "detectors": ["logistic"],
    "seeds": 1,
    "folds": 1,
    "evaluations": LIGHT["evaluations"][:1],
}
# Writes the image of each command down and runs the command without it.
STAND_IN = """#!/bin/sh
if [ "$1" = --version ]; then echo "apptainer version 1.4.0"; exit; fi
for word; do
    case "$word" in *.sif) echo "$word" >> "$IMAGES" ;; esac
done
exec bash -c "$word"
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of the project, with the stand-in for Apptainer first in PATH."""
    folder, programs = tmp_path / "project", tmp_path / "bin"
    for part in ("workflow", "scripts", "config", "profiles"):
        shutil.copytree(ROOT / part, folder / part)
    shutil.copy(ROOT / "Snakefile", folder)
    programs.mkdir()
    (programs / "apptainer").write_text(STAND_IN)
    (programs / "apptainer").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("IMAGES", str(tmp_path / "images.txt"))
    monkeypatch.setenv("PYTHONPATH", str(folder / "workflow"))
    return folder


def run(project, tmp_path, *arguments):
    runner = Runner(tmp_path / "results")
    runner.directory.mkdir()
    return runner.snakemake(
        *arguments, "--sdm", "apptainer", study=SMALL, snakefile=project / "Snakefile", check=False
    )


@pytest.mark.parametrize("arguments", [[], ["--dry-run"]])
def test_jobs_shall_run_in_an_image_that_nobody_has_built(project, tmp_path, arguments):
    result = run(project, tmp_path, *arguments)
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert f"{project / 'pulseveil.sif'}: no such image" in output
    assert "apptainer build pulseveil.sif envs/pulseveil.def" in output
    assert (ROOT / "envs" / "pulseveil.def").exists()
    assert "Traceback" not in output
    assert not (tmp_path / "images.txt").exists()


def test_all_jobs_run_in_the_image_of_the_definition_file(project, tmp_path):
    (project / "pulseveil.sif").touch()
    result = run(project, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    images = (tmp_path / "images.txt").read_text().splitlines()
    # Windows, features, scores and tables.
    assert images == [str(project / "pulseveil.sif")] * 4
