"""All that a private study leaves, file by file: what depends on real people without noise is said so."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pulseveil.core import paths, store
from pulseveil.core.contracts import WindowSet
from pulseveil.study import tasks
from pulseveil.study.cells import WindowsCell
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from pulseveil.study.tasks import Task
from tests.tokens import hexadecimals, pieces
from tests.workflow.conftest import LIGHT, ROOT, Runner

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

STUDY = LIGHT | {
    "name": "guarded",
    "detectors": ["logistic", "public_signs"],
    "epsilons": ["inf", 8],
    "seeds": 1,
    "folds": ["S1"],
    "audit": {"evaluation": "real", "trainings": 3, "runs": 10, "repetitions": 30},
}
REPRODUCIBLE = STUDY | {"privacy_noise": "reproducible"}
# Times, and names of releases: they differ from run to run, whatever the data are.
PASSING = re.compile(
    r'"(finished|started|startTime|endTime|datePublished)": "[^"]*"'
    r'|"seconds": [\d.e-]+|"release": "[0-9a-f]+"'
)


def windows_of(runner: Runner) -> list[Path]:
    names = ("generator", "detector")
    return [
        runner.directory / paths.WINDOWS.format(study="guarded", cohort="simulated", windows=name)
        for name in names
    ]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Runner:
    """The study with its windows alone."""
    runner = Runner(tmp_path_factory.mktemp("prepared"))
    relative = [str(path.relative_to(runner.directory)) for path in windows_of(runner)]
    runner.snakemake(*relative, study=STUDY)
    return runner


@pytest.fixture(scope="module")
def run(prepared, tmp_path_factory):
    """Runs a study on the prepared windows, or on what `change` makes of them; returns its results."""

    def runs(study, change=lambda path: None) -> Path:
        folder = tmp_path_factory.mktemp("run")
        shutil.copytree(prepared.directory, folder, dirs_exist_ok=True)
        runner = Runner(folder)
        for path in windows_of(runner):
            change(path)
        runner.snakemake(study=study)
        # The folder of a history is named by the time, which is another one in each run.
        (entry,) = runner.result("history", "guarded").iterdir()
        entry.rename(entry.with_name("TIME"))
        return runner.result("", "guarded")

    return runs


@pytest.fixture(scope="module")
def twice(run) -> tuple[Path, Path]:
    """The study on the same windows, with other noise."""
    return run(STUDY), run(STUDY)


def other_people(path: Path) -> None:
    """The windows of other simulated people under the same names."""
    cohorts = {"simulated": {"kind": "simulated", "subjects": 4, "seed": 99}}
    plan = make_plan(check_study(yaml.safe_load(yaml.safe_dump(STUDY | {"cohorts": cohorts})), "test"))
    job = tasks.job(plan, Task("prepare_cohort", WindowsCell("simulated", path.stem))).model_dump_json()
    command = [sys.executable, str(ROOT / "scripts/prepare_cohort.py"), "--job", job, "--out", str(path)]
    subprocess.run(command, check=True, capture_output=True)


def another_held_out_person(path: Path) -> None:
    """The windows with those of another person for S1, from whom no model with a budget learns."""
    before = store.read_record(path, WindowSet)
    other_people(path)
    others = store.read_record(path, WindowSet)
    parts = [others.take(others.subject == "S1"), before.take(before.subject != "S1")]
    store.write_record(path, WindowSet.concatenate(parts), cell_hash=store.read_cell_hash(path))


def one_bit(path: Path) -> None:
    """The windows with the last bit of one sample of S3 changed."""
    windows = store.read_record(path, WindowSet)
    row = int(np.flatnonzero(windows.subject == "S3")[5])
    values = windows.windows
    values[row, 30, 2] = np.nextafter(values[row, 30, 2], np.float32(np.inf))
    store.write_record(path, windows, cell_hash="of the changed windows")


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def lasting(path: Path) -> bytes:
    """The content of a file without times; lines of the journal in order of their text."""
    if path.name == "hours.csv":
        table = pd.read_csv(path)
        return table[["stage", "rule", "model", "jobs", "expected_hours"]].to_csv().encode()
    if path.suffix not in (".json", ".jsonl"):
        return path.read_bytes()
    lines = PASSING.sub("", path.read_text()).splitlines()
    if path.name == "ro-crate-metadata.json":
        lines = _without_hours(lines)
    return "\n".join(sorted(lines) if path.suffix == ".jsonl" else lines).encode()


def _without_hours(lines: list[str]) -> list[str]:
    """The lines of a crate without size and hash of the measured hours."""
    place = next(i for i, line in enumerate(lines) if '"@id": "hours.csv",' in line and "{" in lines[i - 1])
    end = next(i for i in range(place, len(lines)) if "}" in lines[i])
    return lines[:place] + lines[end:]


def listed(folder: Path) -> list[str]:
    """The patterns of files in the statement's list of what is not protected."""
    text = (folder / "statement.txt").read_text()
    section = text.split("Not protected\n\n")[1].split("\n\n")[0]
    bullets = [" ".join(bullet.split()) for bullet in re.split(r"(?m)^- ", section)]
    found = [i for i, bullet in enumerate(bullets) if "in these files of the study" in bullet]
    return [bullet.split(": ")[0] for bullet in bullets[found[0] + 1 :]]


def matching(folder: Path, pattern: str) -> set[str]:
    if pattern.endswith("**"):
        pattern += "/*"
    return {path.relative_to(folder).as_posix() for path in folder.glob(pattern) if path.is_file()}


def test_the_list_of_what_is_not_protected_is_exact(run, twice):
    """A file is on the list where real people show in it beside the releases.

    Either of two shows that. With fixed noise, the file changes with a person from whom no model with a
    budget learns. Or a piece of it is the same under other noise, and another for other people.
    """
    first, again = twice
    others = run(STUDY, other_people)
    fixed, fixed_others = run(REPRODUCIBLE), run(REPRODUCIBLE, another_held_out_person)
    dependent = set()
    for name in names(first) | names(fixed):
        if name in names(fixed) and (
            name not in names(fixed_others) or lasting(fixed / name) != lasting(fixed_others / name)
        ):
            dependent.add(name)
        if name in names(first) & names(again):
            if name not in names(others):
                dependent.add(name)
            elif lasting(first / name) != lasting(others / name):
                one, two, other = (pieces(folder / name) for folder in (first, again, others))
                same = {place for place in one if one[place] == two.get(place)}
                if any(other.get(place) != one[place] for place in same):
                    dependent.add(name)
    patterns = listed(first)
    assert {p: bool(matching(first, p) & dependent) for p in patterns} == dict.fromkeys(patterns, True)
    told = set().union(*(matching(first, p) for p in patterns if p != ".runs/**"))
    # The changes of this test write windows anew, and not what is written beside them.
    beside = {name for name in told if name.endswith(("/pieces.json", "/cohort.html"))}
    assert len(beside) == 4
    assert dependent == (told - beside) | {name for name in dependent if name.startswith(".runs/")}


def test_nothing_outside_the_stores_knows_one_bit(run, twice):
    """Whatever looks like a hash is a constant of the plan, or another one in each run on the same data."""
    first, again = twice
    changed = run(STUDY, one_bit)
    stores = (".runs/", "windows/", "features/simulated/real.h5")
    leaving = [name for name in names(first) if not name.startswith(stores)]
    assert len(leaving) > 40
    for name in leaving:
        one, two, other = (hexadecimals(folder / name) for folder in (first, again, changed))
        assert one & two <= other, name


def test_counts_by_person_are_in_no_report_and_labels_in_no_crate(twice):
    page = (twice[0] / "report.html").read_text()
    cohorts = page.split('<h2 id="cohorts">')[1].split("<h2")[0]
    assert "<table" not in cohorts
    assert "S1" not in cohorts
    assert "such counts have no noise" in cohorts
    assert "scores/" not in (twice[0] / "ro-crate-metadata.json").read_text()
