"""The project and its results in folders whose names a shell or Snakemake could read as more than a name."""

import re
import shutil

import pytest

from tests.workflow.conftest import LIGHT, ROOT, Runner

pytestmark = pytest.mark.workflow

PARTS = ("Snakefile", "workflow", "scripts", "config", "profiles")
SMALL = LIGHT | {
    "note": "braces are no wildcards: {seed}",
    "detectors": ["logistic"],
    "seeds": 1,
    "folds": 1,
    "evaluations": LIGHT["evaluations"][1:],
}
# What Snakemake itself cannot have in the name of its working directory is a pair of braces.
PROJECT_NAME = "it's a {seed} {0} $(touch ran) `touch ran`"
RESULTS_NAME = "it's { $(touch ran) `touch ran`"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of the project, used instead of the installed one."""
    folder = tmp_path / PROJECT_NAME
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / part, folder / part)
    monkeypatch.setenv("PYTHONPATH", str(folder / "workflow"))
    return folder


def test_a_study_runs_in_folders_with_blanks_quotes_braces_and_commands(project, tmp_path):
    runner = Runner(tmp_path / RESULTS_NAME)
    runner.directory.mkdir()
    planned = runner.snakemake("--dry-run", study=SMALL, snakefile=project / "Snakefile")
    assert re.search(r"^total +10$", planned.stdout + planned.stderr, re.MULTILINE)
    runner.snakemake(study=SMALL, snakefile=project / "Snakefile")
    assert "tstr" in runner.result("tables/main.csv").read_text()
    assert list(runner.directory.rglob("*.log"))
    assert not [*tmp_path.rglob("ran"), *ROOT.glob("ran")]


def test_a_working_directory_that_is_a_pattern_is_refused(project):
    result = Runner(project).snakemake("--dry-run", study=SMALL, snakefile=project / "Snakefile", check=False)
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert "takes words in braces for wildcards" in output
    assert "--directory" in output
    assert "Traceback" not in output
