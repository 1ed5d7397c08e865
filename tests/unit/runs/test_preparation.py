"""The cohort job: settings to window file, hash, table, and its script."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pulseveil.cohorts.empatica import Empatica
from pulseveil.core import store
from pulseveil.core.contracts import WindowSet
from pulseveil.core.errors import InputError
from pulseveil.runs.cohort import check_settings, prepare_cohort, render, summarize, windows_hash
from pulseveil.windows.recipe import Recipe
from tests.conftest import ROOT
from tests.unit.cohorts.test_e4 import START, export

RECIPE = Recipe("sound", "detector", "published", "public", 20, 20)


def empatica(folder: Path, name: str = "S1") -> dict[str, str]:
    """A cohort of one subject: 100 s, of which 40 s rest and 30 s stress."""
    (folder / name).mkdir(parents=True)
    for signal, content in export(101).items():
        (folder / name / f"{signal}.csv").write_bytes(content)
    rows = [f"{name},rest,{START + 1},{START + 41},0", f"{name},exam,{START + 51},{START + 81},1"]
    (folder / "labels.csv").write_text("\n".join(["subject,condition,start_unix,end_unix,stress", *rows]))
    return {"kind": "empatica", "data": str(folder), "labels": str(folder / "labels.csv")}


def test_a_cohort_is_read_cut_and_summed_up(tmp_path: Path) -> None:
    prepared = prepare_cohort(check_settings(empatica(tmp_path), "test"), RECIPE)
    assert prepared.windows.start_s.tolist() == [0, 20, 50]
    (row,) = summarize(prepared.subjects)
    assert (row.seconds, row.labelled_seconds, row.windows, row.stress_share) == (
        100,
        70,
        3,
        pytest.approx(1 / 3),
    )
    assert row.repairs[-1].endswith("first second dropped, the sensors settle")


def test_the_table_adds_up_and_tells_each_sentence_once(tmp_path: Path) -> None:
    parts = prepare_cohort(check_settings(empatica(tmp_path), "test"), RECIPE).subjects
    text = render(summarize(parts * 2))
    total = next(line for line in text.splitlines() if line.startswith("all 2"))
    assert total.split()[2:7] == ["200", "140", "6", "0", "33.3%"]
    assert text.count("the sensors settle") == 1
    assert "  S1, S1: 30 s of 100 s carry no label" in text


def test_the_hash_follows_content_and_settings_but_no_path(tmp_path: Path) -> None:
    def hash_of(folder: Path, recipe: Recipe = RECIPE) -> str:
        settings = check_settings(
            {"kind": "empatica", "data": str(folder), "labels": str(folder / "labels.csv")}, "test"
        )
        return windows_hash(Empatica(settings), settings, recipe)

    empatica(tmp_path / "a")
    empatica(tmp_path / "b")
    same = hash_of(tmp_path / "a")
    assert same == hash_of(tmp_path / "b")
    assert same == hash_of(tmp_path / "a", Recipe("sound", "detector", "published", "public", 20, 20, 77))
    assert same != hash_of(tmp_path / "a", Recipe("sound", "detector", "published", "public", 20, 10))
    with open(tmp_path / "b" / "S1" / "EDA.csv", "a") as handle:
        handle.write("1.0\n")
    assert same != hash_of(tmp_path / "b")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"kind": "empatics"}, "did you mean 'empatica'"),
        ({}, "kind: expected one of"),
        ({"kind": "wesad"}, "data: this key is missing"),
        ({"kind": "wesad", "data": "x", "labels": "y"}, "labels: unknown key"),
    ],
)
def test_wrong_settings_are_told(values: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        check_settings(values, "options")


def test_a_cohort_without_a_whole_window_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no interval as long as a window of 60 s"):
        prepare_cohort(
            check_settings(empatica(tmp_path), "test"), Recipe("sound", "detector", "published", "public")
        )


def run_script(*options: str) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "scripts" / "prepare_cohort.py")
    return subprocess.run([sys.executable, script, *options], capture_output=True, text=True, check=False)


def test_the_script_writes_windows_and_provenance_and_prints_the_table(tmp_path: Path) -> None:
    values = empatica(tmp_path / "data")
    common = ("--protocol", "sound", "--windows", "generator", "--channels", "published", "--window-s", "20")
    shorthand = [item for name, value in values.items() for item in (f"--{name}", value)]
    out = tmp_path / "results" / "windows.h5"
    answer = run_script(*shorthand, *common, "--scaling", "public", "--out", str(out), "--study", "trial")
    assert answer.returncode == 0, answer.stderr
    assert "all 1" in answer.stdout
    sidecar = json.loads(store.sidecar_path(out).read_text())
    assert (sidecar["study"], sidecar["cohort"][0]["subject"]) == ("trial", "S1")

    again = tmp_path / "again.h5"
    run_script("--settings", json.dumps(values), *common, "--scaling", "public", "--out", str(again))
    assert out.read_bytes() == again.read_bytes()
    assert np.array_equal(store.read_record(out, WindowSet).start_s, [0, 50])


def test_the_script_ends_in_one_line_when_the_input_is_bad(tmp_path: Path) -> None:
    values = empatica(tmp_path)
    (tmp_path / "S1" / "BVP.csv").unlink()
    answer = run_script(
        *("--settings", json.dumps(values), "--protocol", "paper", "--windows", "generator"),
        *("--out", str(tmp_path / "w.h5")),
    )
    assert answer.returncode == 2
    assert "no BVP.csv" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "w.h5").exists()
