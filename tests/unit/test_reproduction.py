"""The published archive of `config/paper-one.yaml` gives the committed tables, and its size stays small."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pulseveil.summary import published

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reproduction"
ARCHIVE = FOLDER / "NOT-PRIVATE_paper-one.tar.xz"
MOST_BYTES = 20_000_000
PUBLISHED_CELLS = 184


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """Folder of the results that the command of the page computes from the archive."""
    folder = tmp_path_factory.mktemp("reproduction")
    page = (FOLDER / "index.md").read_text()
    (command,) = re.findall(r"python (scripts/summarize\.py .*?)\n```", page, re.DOTALL)
    words = command.replace("\\\n", " ").replace("build/reproduction", str(folder)).split()
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "results" / "paper-one"


@pytest.mark.parametrize("name", ["tables/main.csv", "tables/reproduction.csv"])
def test_the_archive_gives_the_committed_tables(computed, name):
    found, kept = pd.read_csv(computed / name), pd.read_csv(FOLDER / Path(name).name)
    # Other processors may round the last digits of means and resampled intervals differently.
    pd.testing.assert_frame_equal(found, kept, check_exact=False, rtol=1e-9, atol=1e-12)


def test_the_archive_is_small():
    assert ARCHIVE.stat().st_size < MOST_BYTES


def test_the_page_tells_planned_and_used_hours():
    table, page = pd.read_csv(FOLDER / "hours.csv"), " ".join((FOLDER / "index.md").read_text().split())
    columns = ("expected_hours", "measured_hours", "trained_hours")
    expected, measured, trained = (f"{table[column].sum():.2f}" for column in columns)
    assert f"The plan says {expected} CPU hours; {measured} were measured." in page
    assert f"All trainings took {trained} hours of the clock" in page


def test_the_page_tells_how_far_seeds_differ():
    cells = pd.read_csv(FOLDER / "main.csv")
    several = cells["published_accuracy"].notna() & (cells["n_seeds"] > 1)
    spread = cells.loc[several, "accuracy_sd_seeds"]
    median, most = (f"{value:.3f}".lstrip("0") for value in (spread.median(), spread.max()))
    page = " ".join((FOLDER / "index.md").read_text().split())
    assert f"the accuracy of {len(spread)} published cells has an SD of {median} in the median" in page
    assert f"and of {most} at most" in page


def test_every_published_cell_has_its_row_and_verdicts_follow_from_the_numbers():
    table = pd.read_csv(FOLDER / "reproduction.csv")
    assert len(table) == PUBLISHED_CELLS
    verdicts = table["verdict"]
    run = table["ours"].notna()
    assert set(verdicts) <= {"reproduced", "not reproduced", "not defined", "not run"}
    assert (verdicts[~run].isin(["not run", "not defined"])).all()
    near = np.abs(table["ours"] - table["published"]) <= 0.02
    assert near[verdicts == "reproduced"].all()
    assert not near[verdicts == "not reproduced"].any()


def test_the_page_has_a_row_per_cell_and_a_letter_per_reason():
    table = pd.read_csv(FOLDER / "reproduction.csv")
    page = published.markdown(FOLDER / "reproduction.csv")
    rows = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) == PUBLISHED_CELLS + table["scenario"].nunique()
    reasons = {part for text in table["reason"].dropna() for part in text.split("; ")}
    general = {reason for reason in reasons if not reason.startswith("ours is ")}
    listed = re.findall(r"^- ([a-z]): (.*)$", page, re.MULTILINE)
    assert {reason for _, reason in listed} == general
    assert len({letter for letter, _ in listed}) == len(listed)
    # Scenario 1 has neither generators nor synthetic subjects, and one level of noise.
    head = page.split("### 1-LOSO_15real")[1].splitlines()[2]
    assert (
        head == "| detector | ε detector | published | ours [95 %] | seeds | difference | verdict | reasons |"
    )
