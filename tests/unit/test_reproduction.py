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


def _least_epsilon(table):
    """The epsilon of a cell's budgets, which are equal; a part without a budget has infinity."""
    return table[["epsilon_generator", "epsilon_detector"]].min(axis=1)


def _without_budget(table):
    return table[_least_epsilon(table) == np.inf]


LEARNT_FROM = {
    "real windows": ["real"],
    "people": ["tstr", "tstr_15", "tstr_dgan"],
    "real windows and people": ["augmented", "augmented_dgan", "private_15", "private_100"],
}
DETECTORS = {"CNN": "cnn", "logistic regression": "logistic", "random forest": "forest"}
NETWORKS = ("cnn", "cnn_lstm", "transformer")


def _learnt_from(cells, words):
    """Cells whose detectors learnt from what a row of the page names."""
    found = re.fullmatch(r"(real windows(?: and )?)?(?:(\d+) (people) of (\w+))?", words)
    kind, subjects, people, generator = found.groups(default="")
    return cells[
        cells["evaluation"].isin(LEARNT_FROM[kind + people])
        & (cells["generator"] == (generator.lower() or "none"))
        & (cells["subjects"] == int(subjects or 0))
    ]


def _accuracies(cells):
    """Published accuracies of the CNN, and ours of each detector; scenarios may share a cell."""
    texts = []
    for detector in DETECTORS.values():
        own = cells[cells["detector"] == detector].itertuples()
        texts.append({_with_limits(row.accuracy, row.accuracy_low, row.accuracy_high) for row in own})
    of_cnn = cells.loc[cells["detector"] == "cnn", "published_accuracy"].dropna()
    return [", ".join(map(_share, of_cnn.unique())), *map(" ".join, texts)]


def test_the_page_tells_the_accuracies_without_a_budget():
    cells = _without_budget(pd.read_csv(FOLDER / "main.csv"))
    title, rows = _table("Without a budget")
    assert title == ["learnt from", "CNN, published", *DETECTORS]
    for learnt_from, *values in rows:
        assert values == _accuracies(_learnt_from(cells, learnt_from)), learnt_from


def test_the_page_tells_the_accuracies_with_a_budget():
    cells = pd.read_csv(FOLDER / "main.csv")
    assert set(cells["unit"]) == {"window"}
    title, rows = _table("With a budget of one window")
    assert title == ["learnt from", "ε", "ε of a person", "CNN, published", *DETECTORS]
    for learnt_from, epsilon, of_person, *values in rows:
        own = _learnt_from(cells, learnt_from)
        own = own[_least_epsilon(own) == float(epsilon)]
        assert values == _accuracies(own), (learnt_from, epsilon)
        (of_cnn,) = own.loc[own["detector"] == "cnn", "epsilon_subject"]
        assert of_person == (f"{of_cnn:,.0f}" if of_cnn > 100 else f"{of_cnn:.1f}"), (learnt_from, epsilon)


def test_the_page_tells_what_a_budget_leaves():
    cells = pd.read_csv(FOLDER / "main.csv")
    # Cells of several scenarios are trained in the first one.
    cells = cells[(_least_epsilon(cells) < np.inf) & (cells["evaluation"] == cells["trained_in"])]
    networks = cells[cells["detector"].isin(NETWORKS)]
    better = networks[networks["accuracy_minus_majority_low"] > 0]
    assert set(better["generator"]) == {"moments"}
    assert not (cells["accuracy_minus_public_signs_low"] > 0).any()
    assert cells["accuracy_minus_public_signs_low"].notna().all()
    worse = (cells["accuracy_minus_public_signs_high"] < 0).sum()
    real = cells[cells["evaluation"] == "real"]
    of_network = real["detector"].isin(NETWORKS)
    gan = cells[(cells["evaluation"] == "tstr") & (cells["generator"] == "cgan")]
    better_of_gan = (gan["accuracy_minus_majority_low"] > 0).sum()
    page = " ".join((FOLDER / "index.md").read_text().split())
    for words in (
        f"None of the {len(cells)} cells with a budget, of all numbers of people, is shown to be better than",
        f"and {worse} are shown to be worse. Of the {len(networks)} networks among them {len(better)} are",
        f"CNN, CNN-LSTM and transformer have {_range(real[of_network])}, "
        f"logistic regression {_range(real[~of_network])}, and the rule",
        f"Of the {len(gan)} cells on people of the cGAN alone {better_of_gan} is shown",
        f"their SD over seeds is {_share(gan['accuracy_sd_seeds'].median())} in the median",
    ):
        assert words in page


def _range(cells):
    return f"{_share(cells['accuracy'].min())} to {_share(cells['accuracy'].max())}"


def test_the_page_tells_the_numbers_of_seeds():
    table = pd.read_csv(FOLDER / "reproduction.csv")
    seeds = table.loc[table["ours"].notna(), "seeds"].value_counts()
    page = " ".join((FOLDER / "index.md").read_text().split())
    assert set(seeds.index) == {1, 3}
    assert f"{seeds[3]} published cells have three seeds and {seeds[1]} have one" in page


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
    networks = cells[cells["detector"].isin(NETWORKS)]
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
