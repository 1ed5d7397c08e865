"""The published pre-processing, reproduced from official-layout pickles of the real recordings."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pulseveil.cohorts.wesad import ORDERS, Wesad, WesadSettings, read_subject
from pulseveil.core.contracts import CONDITIONS, Recording, WindowSet
from pulseveil.windows.cutting import cut_subject
from pulseveil.windows.recipe import Recipe
from tests.official_layout import LABEL_HZ, write_official_layout

pytestmark = pytest.mark.real

Cut = Callable[[str, str], WindowSet]


@pytest.fixture(scope="module")
def wesad(wesad_folder: Path) -> dict[str, Recording]:
    return {r.subject: r for r in Wesad(WesadSettings(data=wesad_folder)).recordings()}


@pytest.fixture(scope="module")
def cut(wesad: dict[str, Recording]) -> Cut:
    @cache
    def all_subjects(protocol: str, windows: str) -> WindowSet:
        recipe = Recipe.with_defaults(protocol, windows)  # type: ignore[arg-type]
        return WindowSet.concatenate([cut_subject(r, recipe).windows for r in wesad.values()])

    return all_subjects


def test_native_signals_come_back_unchanged(wesad: dict[str, Recording], recordings: Path) -> None:
    assert list(wesad) == sorted(ORDERS, key=lambda name: int(name[1:]))
    for subject, recording in wesad.items():
        stored = np.load(recordings / "wesad_raw" / f"{subject}.npz", allow_pickle=False)
        assert np.array_equal(recording.signals["BVP"].values, stored["BVP"][:, 0])
        assert np.array_equal(recording.signals["ACC_z"].values, stored["ACC"][:, 2])
        assert recording.signals["TEMP"].rate_hz == 4


def test_intervals_hold_the_documented_seconds_in_the_documented_order(
    wesad: dict[str, Recording], recordings: Path
) -> None:
    with open(recordings / "wesad_raw" / "counts.csv") as handle:
        counts = list(csv.DictReader(handle))
    assert len(counts) == 15
    for row in counts:
        intervals = wesad[row["subject"]].intervals
        assert tuple(CONDITIONS[i.condition] for i in intervals) == ORDERS[row["subject"]]
        assert all(int(row[CONDITIONS[i.condition]]) == i.end_s - i.start_s for i in intervals)


def test_generator_windows_are_the_published_ones(cut: Cut, recordings: Path) -> None:
    ours = cut("paper", "generator")
    published = np.load(recordings / "wesad_1hz" / "windows.npz", allow_pickle=False)
    assert np.bincount(ours.condition).tolist() == [581, 323, 179]
    assert ours.stress.sum() == 323
    np.testing.assert_array_equal(ours.condition, published["labels"])
    np.testing.assert_array_equal(ours.subject, [f"S{number}" for number in published["subject"]])
    np.testing.assert_allclose(ours.windows, published["windows"][..., :6], rtol=0, atol=1e-6)


def test_detector_windows_lose_the_last_one_twice(cut: Cut) -> None:
    ours = cut("paper", "detector")
    counts = {subject: int((ours.subject == subject).sum()) for subject in np.unique(ours.subject)}
    assert (len(ours), int(ours.stress.sum())) == (530, 150)
    assert counts["S2"] == counts["S3"] == 34
    assert all(counts[f"S{number}"] == 35 for number in range(4, 10))
    assert all(counts[f"S{number}"] == 36 for number in (10, 11, 13, 14, 15, 16, 17))


def test_three_voters_would_find_152_stress_windows(cut: Cut) -> None:
    assert int((cut("paper", "detector").condition == 1).sum()) == 152


def test_detector_windows_hold_the_published_rows(cut: Cut, recordings: Path) -> None:
    ours = cut("paper", "detector")
    published = np.load(recordings / "wesad_1hz" / "subjects_1hz.npz", allow_pickle=False)
    for subject in ORDERS:
        rows = ours.take(ours.subject == subject)
        signals, binary = published[f"{subject}_signals"], published[f"{subject}_label2"]
        for i in range(len(rows)):
            part = slice(60 * i, 60 * i + 60)
            np.testing.assert_allclose(rows.windows[i], signals[part], rtol=0, atol=1e-6)
            assert rows.stress[i] == (binary[part].sum() > 30)
            assert rows.start_s[i] == published[f"{subject}_second"][60 * i]


def test_sound_windows_lie_inside_one_condition(cut: Cut, recordings: Path) -> None:
    ours = cut("sound", "detector")
    assert len(ours) == 535
    for i in range(len(ours)):
        label = np.load(recordings / "wesad_raw" / f"{ours.subject[i]}.npz")["label_1hz"]
        second = int(ours.start_s[i])
        assert set(label[second : second + 60]) == {ours.condition[i] + 1}
    assert np.array_equal(ours.stress, ours.condition == 1)
    assert ours.calibration.sum() == 15 * 5
    assert np.isfinite(ours.windows).all()


def test_official_chest_arrays_cost_less_than_two_gigabytes(recordings: Path, tmp_path: Path) -> None:
    source = recordings / "wesad_raw" / "S2.npz"
    seconds = len(np.load(source)["label_1hz"])
    path = write_official_layout(source, tmp_path, chest_rows=LABEL_HZ * seconds)
    # Not ru_maxrss: a child starts with that of the process that forked it.
    code = (
        "import re, sys; from pathlib import Path; from pulseveil.cohorts.wesad import read_subject; "
        "read_subject(Path(sys.argv[1])); "
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])"
    )
    answer = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert path.stat().st_size > 270e6
    assert int(answer.stdout) * 1024 < 2e9


def test_a_reader_of_one_subject_frees_the_chest(wesad_folder: Path) -> None:
    held = sum(
        signal.values.nbytes for signal in read_subject(wesad_folder / "S2" / "S2.pkl").signals.values()
    )
    assert held == 8 * 6079 * (64 + 4 + 3 * 32 + 4)
