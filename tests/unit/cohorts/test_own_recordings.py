"""Recordings as laboratories bring them: each mistake is refused in one sentence, or mended and told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pulseveil.cohorts import require_classes
from pulseveil.cohorts.copies import pieces, without_copies
from pulseveil.cohorts.empatica import Empatica, EmpaticaSettings
from pulseveil.cohorts.simulated import Simulated, SimulatedSettings
from pulseveil.core.contracts import PUBLISHED_CHANNELS, Recording
from pulseveil.core.errors import InputError
from pulseveil.core.identity import parse_number
from pulseveil.runs.cohort import check_settings, prepare_cohort
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from pulseveil.study.yaml_files import load_yaml
from pulseveil.windows.cutting import cut_person
from pulseveil.windows.recipe import Recipe

START = 1_700_000_000
COLUMNS = {"BVP": ("BVP",), "EDA": ("EDA",), "ACC": ("ACC_x", "ACC_y", "ACC_z"), "TEMP": ("TEMP",)}
RATES = {"BVP": 64, "EDA": 4, "ACC": 32, "TEMP": 4}
LABELS = "subject,condition,start_unix,end_unix,stress"
RECIPE = Recipe.with_defaults("sound", "detector", calibration_s=60)

Tables = dict[str, NDArray[np.float64]]


@cache
def people() -> tuple[Recording, ...]:
    settings = SimulatedSettings(subjects=2, seed=7, baseline_s=120, stress_s=120, amusement_s=60)
    return tuple(Simulated(settings).recordings())


def tables(person: int = 0, seconds: int = 280) -> Tables:
    """Samples (n, columns) of each file of an export."""
    signals = people()[person].signals
    return {
        name: np.stack([signals[c].values[: seconds * RATES[name]] for c in columns], axis=1)
        for name, columns in COLUMNS.items()
    }


def write(folder: Path, samples: Mapping[str, NDArray[np.float64]], start: str = str(START)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in samples.items():
        columns = values.shape[1]
        rows = [",".join([start] * columns), ",".join([str(RATES[name])] * columns)]
        rows += [",".join(f"{cell:.6g}" for cell in row) for row in values]
        (folder / f"{name}.csv").write_text("\n".join([*rows, ""]))
    return folder


def two_people(folder: Path, first: Tables | None = None) -> None:
    write(folder / "P1", first or tables(0))
    write(folder / "P2", tables(1))


def settings(folder: Path, *rows: str) -> EmpaticaSettings:
    usual = [
        f"{subject},{name},{START + start},{START + start + 120},{stress}"
        for subject in ("P1", "P2")
        for name, start, stress in (("rest", 10, 0), ("task", 140, 1))
    ]
    (folder / "labels.csv").write_text("\n".join([LABELS, *(rows or usual)]))
    return EmpaticaSettings(data=folder, labels=folder / "labels.csv")


def first(folder: Path, *rows: str) -> Recording:
    # All people are read: the faults of one are told after the last.
    found, *_ = Empatica(settings(folder, *rows)).recordings()
    return found


@pytest.mark.parametrize(
    ("sensor", "change", "told"),
    [
        ("ACC", lambda x: x / 64, "look like g: multiply all values by 64"),
        ("ACC", lambda x: x / 64 * 9.80665, r"look like m/s\^2"),
        ("ACC", lambda x: x / 64 * 1000, "look like 1/1000 g: multiply all values by 0.064"),
        ("EDA", lambda x: x * 1000, "look like nS: divide all values by 1000"),
        ("EDA", lambda x: x / 1e6, "look like S: multiply all values by 1000000"),
        ("TEMP", lambda x: x * 9 / 5 + 32, "look like degrees Fahrenheit: subtract 32 and multiply by 5/9"),
        ("TEMP", lambda x: (x - 20) * 9 / 5 + 32, "look like degrees Fahrenheit"),
        ("TEMP", lambda x: x + 273.15, "look like kelvin: subtract 273.15"),
        ("EDA", lambda x: x - 100, "every sample is outside above 0 to 100 uS; the sensor did not work"),
        ("ACC", lambda x: 0 * x, "the median is 0, expected 32 to 128"),
    ],
)
def test_another_unit_is_named_with_its_cure(
    tmp_path: Path, sensor: str, change: Callable[[NDArray[np.float64]], NDArray[np.float64]], told: str
) -> None:
    samples = tables()
    samples[sensor] = change(samples[sensor])
    two_people(tmp_path, samples)
    with pytest.raises(InputError, match=rf"P1/{sensor}\.csv: .*{told}"):
        first(tmp_path)


@pytest.mark.parametrize(
    ("sensor", "value"), [("BVP", 1e300), ("ACC", 99999), ("EDA", 5000), ("TEMP", 382.21), ("EDA", -3)]
)
def test_a_wild_sample_is_mended_alone(tmp_path: Path, sensor: str, value: float) -> None:
    samples = tables()
    row = 150 * RATES[sensor]
    samples[sensor][row, -1] = value
    two_people(tmp_path / "wild", samples)
    two_people(tmp_path / "whole")
    found, whole = first(tmp_path / "wild"), first(tmp_path / "whole")
    at = row - RATES[sensor]
    for channel in PUBLISHED_CHANNELS:
        values, expected = found.signals[channel].values.copy(), whole.signals[channel].values
        if channel == COLUMNS[sensor][-1]:
            assert values[at] == pytest.approx((expected[at - 1] + expected[at + 1]) / 2)
            values[at] = expected[at]
        assert np.array_equal(values, expected)
    assert any(f"{sensor}.csv row {row + 3}: 1 sample outside" in repair for repair in found.repairs)


@pytest.mark.parametrize("sensor", COLUMNS)
@pytest.mark.parametrize("cut", [2, 5])
def test_a_half_written_last_row_is_dropped_and_told(tmp_path: Path, sensor: str, cut: int) -> None:
    two_people(tmp_path)
    path = tmp_path / "P1" / f"{sensor}.csv"
    text = path.read_text()
    path.write_text(text[:-cut])
    kept = text[:-cut].rpartition("\n")[0].count("\n") - 1
    found = first(tmp_path)
    assert len(found.signals[COLUMNS[sensor][0]].values) <= kept - RATES[sensor]
    assert any(repair.startswith(f"{sensor}.csv: last row") for repair in found.repairs)


@pytest.mark.parametrize("cell", ["1_2", "١٢", "0x1p3"])
def test_only_plain_numbers_are_numbers(tmp_path: Path, cell: str) -> None:
    two_people(tmp_path)
    path = tmp_path / "P1" / "BVP.csv"
    rows = path.read_text().splitlines()
    rows[99] = cell
    path.write_text("\n".join([*rows, ""]))
    with pytest.raises(InputError, match=rf"BVP\.csv row 100: expected a number, found '{cell}'"):
        first(tmp_path)
    with pytest.raises(ValueError, match=r"expected a number|could not convert"):
        parse_number(cell)


@pytest.mark.parametrize(
    "start", ["2023-11-14 22:13:20", "2023-11-14T22:13:20Z", "2023-11-14T23:13:20+01:00"]
)
def test_a_date_where_unix_seconds_belong_is_told_with_the_seconds(tmp_path: Path, start: str) -> None:
    two_people(tmp_path)
    write(tmp_path / "P1", tables(), start)
    with pytest.raises(InputError, match=r"expected unix seconds .* write 1700000000 if it is UTC"):
        first(tmp_path)


def test_a_name_that_only_begins_like_a_subject_is_another_subject(tmp_path: Path) -> None:
    write(tmp_path / "P1_2", tables())
    write(tmp_path / "P2", tables(1))
    rows = [f"{subject},rest,{START + 10},{START + 130},0" for subject in ("P1", "P1_2", "P2")]
    with pytest.raises(InputError, match=r"expected one folder or zip for subject 'P1' .* found none .*P1_2"):
        Empatica(settings(tmp_path, *rows)).sources()


def test_every_session_has_the_intervals_that_lie_in_it(tmp_path: Path) -> None:
    """A restart of the watch: an interval over both sessions has a part in each, and the gap is no data."""
    write(tmp_path / "P1" / "a", tables(0, 200))
    write(tmp_path / "P1" / "b", tables(1, 200), str(START + 500))
    rows = [f"P1,rest,{START + 10},{START + 130},0", f"P1,task,{START + 140},{START + 640},1"]
    one, other = Empatica(settings(tmp_path, *rows)).recordings()
    assert [(i.name, i.start_s, i.end_s) for i in one.intervals] == [("rest", 9, 129), ("task", 139, 199)]
    assert [(i.name, i.start_s, i.end_s) for i in other.intervals] == [("task", 0, 139)]
    assert "row 3 of the labels (task): 300 s lie between two recordings, left out" in one.repairs
    found = cut_person([one, other], RECIPE)
    assert found.windows.start_s.tolist() == [9, 69, 139, 500, 560]
    assert found.windows.stress.tolist() == [False, False, True, True, True]
    # Each recording is resampled by itself: the first windows are those without the second recording.
    alone = cut_person([one], RECIPE).windows.windows
    assert np.array_equal(found.windows.windows[:3], alone)


@pytest.mark.parametrize(
    ("seconds", "told"), [(100, "overlap by 100 s; keep one"), (-60, "lies outside its recording")]
)
def test_sessions_that_overlap_or_an_interval_between_them_are_refused(
    tmp_path: Path, seconds: int, told: str
) -> None:
    write(tmp_path / "P1" / "a", tables(0, 200))
    write(tmp_path / "P1" / "b", tables(1, 200), str(START + 200 - seconds))
    rows = [f"P1,rest,{START + 10},{START + 130},0", f"P1,task,{START + 210},{START + 250},1"]
    with pytest.raises(InputError, match=told):
        list(Empatica(settings(tmp_path, *rows)).recordings())


@pytest.mark.parametrize("change", ["same", "shifted", "cut", "rounded"])
def test_a_copy_under_another_name_is_refused(tmp_path: Path, change: str) -> None:
    samples = tables()
    two_people(tmp_path, samples)
    copy = {name: values[(change == "cut") * 7 * RATES[name] :] for name, values in samples.items()}
    if change == "rounded":
        copy["BVP"] = copy["BVP"] * (1 + 1e-9)
    write(tmp_path / "P2", copy, str(START + (3 if change == "shifted" else 0)))
    with pytest.raises(InputError, match="P1 and P2: BVP of one is in the other too"):
        prepare_cohort(settings(tmp_path), RECIPE)


def test_people_are_no_copies_of_each_other(tmp_path: Path) -> None:
    cohort = Simulated(SimulatedSettings(subjects=6, seed=3, baseline_s=300))
    assert len(list(without_copies(cohort.recordings()))) == 6
    # Flat and periodic signals can be equal by chance, and have no pieces.
    assert not len(pieces("BVP", np.zeros(64 * 600)))
    assert not len(pieces("BVP", np.sin(2 * np.pi * np.arange(64 * 600) / 16).round(2)))
    rest = people()[0].signals["BVP"].values
    assert len(pieces("BVP", rest)) > len(rest) / 64 / 16


def test_a_session_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "P1" / "a", tables())
    write(tmp_path / "P1" / "b", tables(), str(START + 1000))
    rows = [f"P1,rest,{START + 10},{START + 130},0", f"P1,task,{START + 1010},{START + 1130},1"]
    with pytest.raises(InputError, match="P1: BVP of one recording is also in another one"):
        prepare_cohort(settings(tmp_path, *rows), RECIPE)


@pytest.mark.parametrize("stress", [0, 1])
def test_labels_of_one_class_are_refused_with_the_plan(tmp_path: Path, stress: int) -> None:
    rows = [f"{subject},rest,{START + 10},{START + 130},{stress}" for subject in ("P1", "P2")]
    given = settings(tmp_path, *rows)
    missing = "without stress" if stress else "with stress"
    study = {
        "name": "one", "seed": 1, "seeds": 1, "protocol": "sound", "detectors": ["logistic"],
        "cohorts": {"lab": given.model_dump(mode="json")},
        "evaluations": [{"name": "real", "cohort": "lab", "train": "real"}],
    }  # fmt: skip
    with pytest.raises(InputError, match=f"cohort lab: no interval {missing}"):
        make_plan(check_study(study, "test"))
    with pytest.raises(InputError, match=f"no interval {missing}"):
        prepare_cohort(check_settings(given.model_dump(), "test"), RECIPE)


def test_a_fold_whose_training_people_have_one_class_is_refused(tmp_path: Path) -> None:
    """All stress is of one person: a fold that leaves this person out learns from rest alone."""
    rows = [f"P1,rest,{START + 10},{START + 60},0", f"P1,task,{START + 60},{START + 130},1"]
    rows += [f"P{i},rest,{START + 10},{START + 130},0" for i in (2, 3)]
    study = {
        "name": "one", "seed": 1, "seeds": 1, "protocol": "sound", "detectors": ["logistic"],
        "cohorts": {"lab": settings(tmp_path, *rows).model_dump(mode="json")},
        "evaluations": [{"name": "real", "cohort": "lab", "train": "real"}],
    }  # fmt: skip
    with pytest.raises(InputError, match=r"fold P1: no interval with stress .* 2 people"):
        make_plan(check_study(study, "test"))
    require_classes({"P1": ("baseline", "stress")}, "one person")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3\n", r"study\.yaml lines 1 and 3: the key 'a' is there twice"),
        ("a:\n  b: 1\n  c: 2\n  b: 1\n", "lines 2 and 4: the key 'b'"),
        ("a: [{b: 1, b: 2}]\n", "lines 1 and 1: the key 'b'"),
    ],
)
def test_a_key_twice_in_a_study_is_refused_with_both_lines(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(InputError, match=told):
        load_yaml(tmp_path / "study.yaml")


@pytest.mark.parametrize("helper", [".people", "x-people"])
def test_helper_keys_of_a_study_hold_anchors(tmp_path: Path, helper: str) -> None:
    text = f"""
{helper}: &people {{kind: simulated, subjects: 3}}
name: anchors
seed: 1
seeds: 1
protocol: sound
cohorts: {{one: *people, other: {{<<: *people, seed: 2}}}}
detectors: [logistic]
evaluations: [{{name: real, cohort: one, train: real}}]
"""
    (tmp_path / "study.yaml").write_text(text)
    study = check_study(load_yaml(tmp_path / "study.yaml"), "study.yaml")
    assert [cohort.model_dump()["seed"] for cohort in study.cohort_settings.values()] == [1, 2]


def test_a_terminal_that_cannot_encode_a_name_ends_no_job(tmp_path: Path) -> None:
    two_people(tmp_path)
    for old, new in (("P1", "Zoë"), ("P2", "Łukasz")):
        shutil.move(tmp_path / old, tmp_path / new)
    rows = [
        f"{subject},{name},{START + start},{START + start + 120},{stress}"
        for subject in ("Zoë", "Łukasz")
        for name, start, stress in (("rest", 10, 0), ("task", 140, 1))
    ]
    given = settings(tmp_path, *rows)
    script = Path(__file__).parents[3] / "scripts" / "prepare_cohort.py"
    options = ["--kind", "empatica", "--data", str(given.data), "--labels", str(given.labels)]
    options += ["--protocol", "sound", "--windows", "detector", "--out", str(tmp_path / "w.h5")]
    plain = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    run = [sys.executable, str(script), *options]
    answer = subprocess.run(run, capture_output=True, env={**os.environ, **plain}, check=False)
    assert answer.returncode == 0, answer.stderr
    assert rb"Zo\xeb" in answer.stdout
