"""Pre-processed files of the published study, in small: two people with three conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pulseveil.cohorts.preprocessed import PEOPLE, Preprocessed, PreprocessedSettings
from pulseveil.cohorts.wesad import ORDERS
from pulseveil.core.contracts import WindowSet
from pulseveil.core.errors import InputError
from pulseveil.runs.cohort import check_settings, prepare_cohort
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from pulseveil.windows.recipe import Recipe

COLUMNS = ["BVP", "EDA", "ACC_x", "ACC_y", "ACC_z", "TEMP"]
COURSES = {
    "S2": [["baseline", 130], ["stress", 70], ["amusement", 45]],
    "S10": [["baseline", 125], ["amusement", 50], ["stress", 94]],
}
CODES = {"baseline": 0, "stress": 1, "amusement": 2}


def seconds_of(person: str) -> np.ndarray:
    """Rows (seconds, 7) of a person: signals from exactly 0 to exactly 1, and a label of three conditions."""
    labels = np.concatenate([np.full(count, CODES[name]) for name, count in COURSES[person]])
    values = np.random.default_rng(len(labels)).normal(size=(len(labels), 6)).cumsum(axis=0)
    low, high = values.min(axis=0), values.max(axis=0)
    return np.column_stack([(values - low) / (high - low), labels])


def windows_of(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + 60] for start in range(0, len(rows) - 59, 30)]


def written_table(folder: Path, *, coding: str = "binary", **changed: Any) -> Path:
    rows = np.concatenate([seconds_of(person) for person in changed.get("people", COURSES)])
    if coding == "binary":
        rows[:, -1] = rows[:, -1] == 1
    path = folder / "wesad_preprocessed_1hz.csv"
    pd.DataFrame(rows, columns=[*COLUMNS, "label"]).to_csv(path)
    return path


def written_windows(folder: Path) -> tuple[Path, Path]:
    windows = np.stack([window for person in COURSES for window in windows_of(seconds_of(person))])
    labels = [np.bincount(window[:, -1].astype(int)).argmax() for window in windows]
    np.save(folder / "wesad_windows.npy", windows)
    np.save(folder / "wesad_labels.npy", np.array(labels))
    return folder / "wesad_windows.npy", folder / "wesad_labels.npy"


def prepared(data: Path, audience: Any = "generator", rule: Any = "majority", **keys: Any) -> WindowSet:
    settings = check_settings({"kind": "preprocessed", "data": data, "people": COURSES, **keys}, "test")
    return prepare_cohort(settings, Recipe.with_defaults("paper", audience, label_rule=rule)).windows


def test_the_published_people_have_the_published_seconds_and_orders() -> None:
    assert sum(seconds for course in PEOPLE.values() for _, seconds in course) == 33_152
    assert sum(seconds for course in PEOPLE.values() for name, seconds in course if name == "stress") == 9_966
    assert Preprocessed(PreprocessedSettings(data=Path("a.csv"))).outline() == ORDERS


@pytest.mark.parametrize("coding", ["binary", "three"])
def test_windows_of_the_table_are_the_rows_of_each_person(tmp_path: Path, coding: str) -> None:
    found = prepared(written_table(tmp_path, coding=coding))
    expected = [window for person in COURSES for window in windows_of(seconds_of(person))]
    assert found.windows == pytest.approx(np.stack(expected)[:, :, :6].astype(np.float32), abs=1e-6)
    assert list(found.condition) == [np.bincount(w[:, -1].astype(int)).argmax() for w in expected]
    assert list(found.subject) == ["S2"] * 7 + ["S10"] * 7


def test_the_array_of_windows_gives_the_same_windows_as_the_table(tmp_path: Path) -> None:
    data, labels = written_windows(tmp_path)
    from_table, from_array = prepared(written_table(tmp_path)), prepared(data, window_labels=labels)
    assert from_array.windows == pytest.approx(from_table.windows, abs=1e-6)
    for column in ("condition", "stress", "subject", "start_s"):
        assert np.array_equal(getattr(from_table, column), getattr(from_array, column))


def test_any_second_of_stress_makes_a_window_of_stress(tmp_path: Path) -> None:
    windows = [window for person in COURSES for window in windows_of(seconds_of(person))]
    any_stress = [bool((window[:, -1] == 1).any()) for window in windows]
    found = prepared(written_table(tmp_path), rule="any")
    assert list(found.stress) == any_stress
    assert list(found.condition == 1) == any_stress
    assert found.stress.sum() > prepared(written_table(tmp_path)).stress.sum()


def test_the_default_label_rule_changes_no_hash() -> None:
    majority, other = (Recipe.with_defaults("paper", "detector", label_rule=r) for r in ("majority", "any"))
    assert "label_rule" not in majority.settings()
    assert other.settings() == {**majority.settings(), "label_rule": "any"}


def damaged(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    match what:
        case "column":
            return rows.rename(columns={"EDA": "eda"})
        case "short":
            return rows.iloc[:-269]
        case "fast":
            return pd.concat([rows] * 4)
        case "text":
            rows["TEMP"] = rows["TEMP"].astype(object)
            rows.loc[3, "TEMP"] = "warm"
        case "units":
            rows["TEMP"] *= 30
        case "label":
            rows.loc[140, "label"] = 0
        case "swapped":
            return pd.concat([rows.iloc[245:], rows.iloc[:245]])
    return rows


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("column", "expected the columns BVP, EDA, .*; found BVP, eda, "),
        ("short", "245 rows, expected 514 of 2 people .*; S10 may be missing; the key 'people'"),
        ("fast", "4 times the 514 labelled seconds .* one row per second"),
        ("text", "row 5: expected numbers, found .*warm"),
        ("units", "TEMP of S2 goes from 0 to 30, expected 0 to 1"),
        ("label", "second 140 of S2 has the label 0, expected 1 \\(stress\\)"),
        ("swapped", "rows 2 to 246: .* of S2 goes from .* people are missing or in another order"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, what: str, words: str) -> None:
    path = written_table(tmp_path)
    damaged(pd.read_csv(path, index_col=0), what).to_csv(path)
    with pytest.raises(InputError, match=words):
        prepared(path)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("rate", r"expected windows \(n, 60, 7\).*found \(14, 240, 7\)"),
        ("missing", "7 windows, expected 14 of 2 people"),
        ("mixed", "window 1 does not begin with the last 30 s of window 0"),
        ("pickled", "not an array of numbers"),
        ("label", "window 0 has the label 2, but most of its seconds have 0"),
    ],
)
def test_a_wrong_array_is_refused(tmp_path: Path, what: str, words: str) -> None:
    data, labels = written_windows(tmp_path)
    windows = np.load(data)
    match what:
        case "rate":
            np.save(data, np.repeat(windows, 4, axis=1))
        case "missing":
            np.save(data, windows[:7])
        case "mixed":
            np.save(data, windows[::-1])
        case "pickled":
            np.save(data, np.array([{}], dtype=object))
        case "label":
            np.save(labels, np.full(len(windows), 2))
    keys = {"window_labels": labels} if what == "label" else {}
    with pytest.raises(InputError, match=words):
        prepared(data, **keys)


def study(**keys: Any) -> dict[str, Any]:
    return {
        "name": "small", "seed": 1, "seeds": 1, "protocol": "paper", "detectors": ["logistic"],
        "cohorts": {"people": {"kind": "preprocessed", "data": "a.csv", "people": COURSES}},
        "evaluations": [{"name": "real", "cohort": "people", "train": "real"}], **keys,
    }  # fmt: skip


@pytest.mark.parametrize("key", [{"protocol": "sound"}, {"channels": "physiological"}, {"scaling": "public"}])
def test_a_plan_that_needs_the_recordings_is_refused(key: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"cohorts.people: kind preprocessed: .* paper, .*kind wesad"):
        make_plan(check_study(study(**key), "test"))


def test_a_job_says_the_rule_only_where_it_is_not_the_default(tmp_path: Path) -> None:
    from pulseveil.study import tasks

    texts = []
    for rule in ("majority", "any"):
        plan = make_plan(check_study(study(label_rule=rule), "test"))
        texts.append(tasks.job(plan, next(iter(tasks.tasks(plan)))).model_dump_json())
    assert "label_rule" not in texts[0]
    assert '"label_rule":"any"' in texts[1]
