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


def _table(heading):
    """The table of the page below a heading: names of its columns, and its rows as lists of texts."""
    page = (FOLDER / "index.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("|")]
    title, _, *rows = ([cell.strip() for cell in line] for line in lines)
    return title, rows


def test_the_page_counts_verdicts():
    title, rows = _table("Verdicts")
    table = pd.read_csv(FOLDER / "reproduction.csv")
    for scenario, cells, *counts in rows:
        own = table if scenario == "all" else table[table["scenario"] == scenario]
        assert (int(cells), [int(count) for count in counts]) == (
            len(own),
            [(own["verdict"] == verdict).sum() for verdict in title[2:]],
        )
    assert [row[0] for row in rows] == [*table["scenario"].unique(), "all"]


def _share(value, sign=""):
    return f"{value:{sign}.3f}".replace("0.", ".", 1)


def _with_limits(value, low, high, sign=""):
    return f"{_share(value, sign)} [{_share(low)}, {_share(high)}]"


def _without_budget(table):
    budgets = table[["epsilon_generator", "epsilon_detector"]]
    return table[(budgets == np.inf).all(axis=1)]


LEARNT_FROM = {
    "real windows": ["real"],
    "people": ["tstr", "tstr_15", "tstr_dgan"],
    "real windows and people": ["augmented", "augmented_dgan"],
}
DETECTORS = {"CNN": "cnn", "logistic regression": "logistic", "random forest": "forest"}


def test_the_page_tells_the_accuracies_without_a_budget():
    cells = _without_budget(pd.read_csv(FOLDER / "main.csv"))
    title, rows = _table("Without a budget")
    assert title == ["learnt from", "CNN, published", *DETECTORS]
    for learnt_from, published_accuracy, *values in rows:
        found = re.fullmatch(r"(real windows(?: and )?)?(?:(\d+) (people) of (\w+))?", learnt_from)
        kind, subjects, people, generator = found.groups(default="")
        own = cells[
            cells["evaluation"].isin(LEARNT_FROM[kind + people])
            & (cells["generator"] == (generator.lower() or "none"))
            & (cells["subjects"] == int(subjects or 0))
        ]
        ours = []
        for detector in DETECTORS.values():
            of_detector = own[own["detector"] == detector]
            texts = {
                _with_limits(row.accuracy, row.accuracy_low, row.accuracy_high)
                for row in of_detector.itertuples()
            }
            ours.append(" ".join(texts))
        assert values == ours, learnt_from
        of_cnn = own.loc[own["detector"] == "cnn", "published_accuracy"].dropna()
        assert published_accuracy == ", ".join(map(_share, of_cnn.unique())), learnt_from


def test_the_page_tells_what_synthetic_people_add_to_real_windows(computed):
    table = _without_budget(pd.read_csv(computed / "tables" / "differences.csv"))
    accuracy = table[table["metric"] == "accuracy"]
    added = accuracy[(accuracy["against"] == "real") & accuracy["evaluation"].str.startswith("augmented")]
    title, rows = _table("What synthetic people add to real windows")
    assert title == ["added", *DETECTORS]
    for people, *values in rows:
        subjects, generator = re.fullmatch(r"(\d+) (?:people|person) of (\w+)", people).groups()
        own = added[(added["generator"] == generator.lower()) & (added["subjects"] == int(subjects))]
        assert values == [
            " ".join(map(_difference, own[own["detector"] == name].itertuples()))
            for name in DETECTORS.values()
        ], people


def _difference(row):
    """A difference with its interval; a mark if two people decide whether the interval holds 0."""
    mark = " ‡" if row.two_people == "yes" else ""
    return _with_limits(row.difference, row.low, row.high, sign="+") + mark


def test_the_page_tells_whether_networks_beat_the_rule():
    cells = _without_budget(pd.read_csv(FOLDER / "main.csv"))
    networks = cells[cells["detector"].isin(["cnn", "cnn_lstm", "transformer"])]
    # Cells of several scenarios are trained in the first one.
    trained = networks[networks["evaluation"] == networks["trained_in"]]
    lowest = trained["accuracy_minus_public_signs_low"]
    page = " ".join((FOLDER / "index.md").read_text().split())
    rules = cells[cells["evaluation"] == "real"].set_index("detector")
    for rule in ("public_signs", "elapsed_time", "majority"):
        values = rules.loc[rule, ["accuracy", "accuracy_low", "accuracy_high"]]
        assert _with_limits(*values) in page
    assert f"None of the {len(trained)} networks" in page
    assert lowest.notna().all()
    assert not (lowest > 0).any()


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
