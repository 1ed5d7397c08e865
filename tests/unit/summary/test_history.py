"""History of a study's results, and the comparison of a study with its earlier self."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from pulseveil.core.errors import InputError
from pulseveil.summary import history
from pulseveil.summary.printing import write_csv
from tests.unit.summary.test_terminal_verdicts import row

ROOT = Path(__file__).resolve().parents[3]
BEGUN = datetime(2026, 11, 28, 10, 0, 5, tzinfo=UTC)
SETTINGS = {"name": "demo", "seeds": 2, "folds": ("S1", "S2"), "audit": {"level": 0.05}}


@pytest.fixture
def results(tmp_path):
    """Folder of results with a main table of one row."""
    folder = tmp_path / "results" / "demo"
    write_table(folder, 0.8)
    return folder


def write_table(folder, accuracy):
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    values = {"macro_f1": 0.7, "macro_f1_low": 0.6, "macro_f1_high": 0.8, "accuracy": accuracy}
    write_csv(folder / "tables" / "main.csv", pd.DataFrame([row("logistic", **values)]))


def keep(folder, settings, hours=0):
    return history.keep(folder, settings, "abc", BEGUN + timedelta(hours=hours))


def test_equal_results_are_kept_once(results):
    assert keep(results, SETTINGS).time == "2026-11-28T10:00:05"
    assert keep(results, SETTINGS, 1) is None
    (entry,) = history.entries(results)
    assert entry.table.read_bytes() == (results / "tables" / "main.csv").read_bytes()
    assert sorted(path.name for path in entry.folder.iterdir()) == ["entry.json", "main.csv", "study.json"]


def test_changed_keys_are_named_and_results_alone_too(results):
    keep(results, SETTINGS)
    assert keep(results, SETTINGS | {"seeds": 3, "audit": {"level": 0.1}}, 1).changed == (
        "seeds",
        "audit.level",
    )
    write_table(results, 0.9)
    assert keep(results, SETTINGS | {"seeds": 3, "audit": {"level": 0.1}}, 2).changed == ("results",)
    assert history.describe(history.entries(results)).splitlines() == [
        "2026-11-28T10:00:05  abc         first",
        "2026-11-28T11:00:05  abc         seeds, audit.level",
        "2026-11-28T12:00:05  abc         results",
    ]


def test_the_time_is_that_of_utc_wherever_the_machine_is(results):
    there = BEGUN.astimezone(tz=None).astimezone()
    assert history.keep(results, SETTINGS, "", there).time == "2026-11-28T10:00:05"


def test_an_entry_that_a_crash_has_cut_short_is_none(results):
    entry = keep(results, SETTINGS)
    (entry.folder / "entry.json").unlink()
    assert history.entries(results) == []
    assert keep(results, SETTINGS, 1).changed == ()


@pytest.mark.parametrize(("time", "number"), [("2026-11-27", 0), ("2026-11-28", 2), ("", 2)])
def test_a_time_of_no_entry_or_of_several_is_refused_with_the_times_that_there_are(results, time, number):
    keep(results, SETTINGS)
    keep(results, SETTINGS | {"seeds": 3}, 1)
    with pytest.raises(
        InputError, match=rf"found {number} entries of '{time}'; there are: 2026-11-28T10:00:05, 2"
    ):
        history.find(results, time)
    assert history.find(results, "2026-11-28T11").changed == ("seeds",)


def compare(folder, *arguments):
    command = [sys.executable, ROOT / "scripts" / "compare.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_study_is_compared_with_its_earlier_self(results, tmp_path):
    keep(results, SETTINGS)
    write_table(results, 0.9)
    keep(results, SETTINGS, 1)
    assert "11:00:05  abc         results" in compare(tmp_path, "demo", "--history").stdout
    found = compare(tmp_path, "demo", "--with", "2026-11-28T10:00")
    assert "0.800 0.900 +0.100" in " ".join(found.stdout.split()), found.stderr
    table = pd.read_csv(tmp_path / "results" / "compare" / "demo-2026-11-28T10-00-05.csv")
    assert table["accuracy_change"].tolist() == pytest.approx([0.1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "expected a second study, --with TIME or --history"),
        (["--history"], "no history; each summary of a study adds to it"),
        (["--with", "2025"], "found 0 entries of '2025'; there are: none"),
    ],
)
def test_what_is_missing_is_said_in_one_line(results, tmp_path, arguments, words):
    refused = compare(tmp_path, "demo", *arguments)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
