"""The package of docs/extension.md, written, installed and run as its page says."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.conftest import ROOT

pytestmark = pytest.mark.workflow

PAGE = (ROOT / "docs" / "extension.md").read_text()


@dataclass(frozen=True)
class Package:
    """The page's folder, and where its package is installed for processes that are told so."""

    folder: Path
    site: Path

    def run(self, *command):
        """The finished Python process, started in the folder."""
        path = os.pathsep.join(filter(None, [str(self.site), os.environ.get("PYTHONPATH")]))
        return subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    def plan(self):
        """The finished scripts/plan.py of the page's study."""
        return self.run(ROOT / "scripts" / "plan.py", "study.yaml")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.S)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("my-models")
    for name, text in re.findall(r"`([\w./]+)`:\n\n```\w+\n(.*?)```", PAGE, flags=re.S):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "my_models" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text("\n".join(blocks("toml")))
    made = Package(folder, tmp_path_factory.mktemp("site"))
    # No network, and nothing of this environment changes.
    how = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--target", made.site)
    result = made.run("-m", "pip", "install", *how, ".")
    assert result.returncode == 0, result.stderr
    return made


def test_the_package_of_the_page_is_planned_and_run_to_its_tables(package):
    planned = package.plan()
    assert planned.returncode == 0, planned.stderr
    assert "detectors: synthetic" in planned.stdout
    assert package.run("make_recordings.py").returncode == 0
    snakefile = ("-s", ROOT / "Snakefile", "--directory", package.folder)
    ended = package.run("-m", "snakemake", "--cores", "1", *snakefile, "--configfile", "study.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    results = package.folder / "results" / "extension"
    cells = pd.read_csv(results / "tables" / "main.csv").fillna({"generator": "none"})
    assert set(zip(cells["evaluation"], cells["generator"], cells["detector"], strict=True)) == {
        *(
            ("synthetic", generator, detector)
            for generator in ("moments", "blurred")
            for detector in ("logistic", "nearest_mean")
        ),
        ("real", "none", "logistic"),
        ("real", "none", "nearest_mean"),
    }
    assert cells["accuracy"].between(0.5, 1).all()
    assert "blurred" in set(pd.read_csv(results / "tables" / "quality.csv")["generator"])
    assert "Nearest mean" in (results / "report.html").read_text()


def test_a_class_that_does_not_fit_ends_the_plan_with_the_line_on_the_page(package):
    fits, lacks = "expected_seconds(settings, rows, private)", "expected_seconds(settings, rows)"
    assert refused(package, lambda text: text.replace(fits, lacks)) == blocks("text")[0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("from numpy import no_such_name\n", "ImportError: cannot import name 'no_such_name' from 'numpy'"),
        ("raise RuntimeError('no licence')\n", "RuntimeError: no licence"),
        ("def :\n", "SyntaxError: invalid syntax"),
    ],
)
def test_a_module_that_cannot_be_imported_ends_the_plan_with_its_reason(package, line, reason):
    message = refused(package, lambda text: line + text)
    assert message.startswith(
        "error: entry point blurred = my_models.blurred:Blurred of pulseveil.generators: cannot be loaded "
        f"({reason}"
    )
    assert message.count("\n") == 1


def refused(package, change):
    """What the plan says after a change of the installed generator, which is undone."""
    module = package.site / "my_models" / "blurred.py"
    whole = module.read_text()
    module.write_text(change(whole))
    try:
        result = package.plan()
    finally:
        module.write_text(whole)
    assert result.returncode == 2
    assert result.stdout == ""
    return result.stderr
