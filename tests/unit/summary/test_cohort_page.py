"""The page of a cohort: its tables by hand, its figures by what they draw, and what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pulseveil.cohorts.simulated import Simulated, SimulatedSettings
from pulseveil.core.contracts import CONDITIONS, WindowSet
from pulseveil.summary import cohort_page as page_module
from pulseveil.summary.cohort_figures import COLUMNS, envelope, examples, person_figure, spectra_figure
from pulseveil.summary.cohort_page import cohort_page, label_counts, statistics
from pulseveil.windows.cutting import SubjectWindows, Trace, cut_subject
from pulseveil.windows.recipe import Recipe
from pulseveil.windows.timeline import Timeline

ROOT = Path(__file__).resolve().parents[3]
# Of a person's figure, and of four more examples per class.
MOST_BYTES = 400_000


@pytest.fixture(scope="module")
def people() -> list[SubjectWindows]:
    recipe = Recipe.with_defaults("sound", "detector")
    cohort = Simulated(SimulatedSettings(subjects=2))
    return [cut_subject(recording, recipe) for recording in cohort.recordings()]


def small_trace() -> Trace:
    """130 s: 40 s of baseline, 20 s without label, a gap of two hours, 70 s of stress; two windows."""
    condition = np.r_[np.zeros(40), np.full(20, -1), np.ones(70)].astype(np.int8)
    interval = np.r_[np.zeros(40), np.full(20, -1), np.ones(70)].astype(np.int16)
    second = np.r_[np.arange(60), np.arange(70) + 7260].astype(float)
    values = np.column_stack([np.arange(130.0), -np.arange(130.0)])
    shares = {"BVP": np.ones(130), "EDA": np.r_[np.ones(60), np.zeros(70)]}
    timeline = Timeline("P1", values, condition, interval, second)
    return Trace(timeline, shares, np.array([0, 70]), np.array([True, False]))


@pytest.mark.parametrize("seconds", [1, 7, COLUMNS, 1000, 86_400])
def test_the_line_over_time_keeps_every_extreme(seconds: int) -> None:
    values = np.random.default_rng(seconds).normal(size=seconds)
    minutes, low, high = envelope(values)
    assert len(minutes) == min(seconds, COLUMNS)
    starts = [round(60 * minute) for minute in minutes]
    for start, end, least, most in zip(starts, [*starts[1:], seconds], low, high, strict=True):
        assert (least, most) == (min(values[start:end]), max(values[start:end]))


def test_examples_are_of_the_class_and_few() -> None:
    condition = np.random.default_rng(2).integers(0, 3, 500).astype(np.int8)
    for code in range(3):
        rows = examples(condition, code)
        assert len(set(rows)) == 10
        assert set(condition[rows]) == {code}
    assert len(examples(condition[:12], 1)) == np.count_nonzero(condition[:12] == 1)


def test_counts_are_those_of_the_labels(people: list[SubjectWindows]) -> None:
    left_out = replace(people[0], trace=replace(small_trace()), left_out={"EDA, no skin contact": 1})
    table = label_counts([left_out, people[1]])
    assert list(table["subject"]) == ["S1", "S2", "all"]
    assert list(table["s of baseline"]) == [40, 600, 640]
    assert table["s of stress"][0] == 70
    assert list(table["windows left out"]) == [1, 0, 1]
    assert table["reasons"][0] == "EDA, no skin contact: 1"
    windows = [sum(int(code == 1) for code in person.windows.condition) for person in people]
    assert list(table["windows of stress"]) == [*windows, sum(windows)]
    assert "windows of stress in two classes" not in table
    other = replace(people[1].windows, stress=np.zeros(len(people[1].windows), bool))
    table = label_counts([people[0], replace(people[1], windows=other)])
    assert list(table["windows of stress in two classes"]) == [windows[0], 0, windows[0]]


def test_statistics_are_those_of_the_labelled_seconds(people: list[SubjectWindows]) -> None:
    table = statistics([person.trace for person in people], people[0].windows.channels, scaled=False)
    assert len(table) == 6 * 3
    row = table[(table["signal"] == "temperature (C)") & (table["class"] == "stress")].iloc[0]
    seconds = [
        value
        for person in people
        for value, code in zip(
            person.trace.timeline.values[:, 5], person.trace.timeline.condition, strict=True
        )
        if code == CONDITIONS.index("stress")
    ]
    assert row["seconds"] == len(seconds)
    assert row["mean"] == pytest.approx(sum(seconds) / len(seconds))
    assert row["median"] == pytest.approx(sorted(seconds)[len(seconds) // 2], abs=0.01)
    assert (row["least"], row["largest"]) == (min(seconds), max(seconds))


def test_a_person_has_labels_gaps_shares_and_left_out_windows() -> None:
    figure = person_figure(small_trace(), ("EDA", "TEMP"), scaled=False)
    signals, shares, windows = figure.axes[:2], figure.axes[2], figure.axes[3]
    for panel in signals:
        shades = [(patch.get_x() * 60, patch.get_width() * 60) for patch in panel.patches]
        assert shades == [(0, pytest.approx(40)), (pytest.approx(60), pytest.approx(70))]
    assert [text.get_text() for text in figure.axes[0].texts] == ["gap 2.0 h"]
    lost = shares.collections[0].get_array().reshape(2, 130)
    assert not lost[0].any()
    assert [*lost[1]] == [0] * 60 + [1] * 70
    drawn = {tuple(lines.get_colors()[0][:3]): len(lines.get_segments()) for lines in windows.collections}
    assert sorted(drawn.values()) == [1, 1]
    assert "window left out" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_page_says_whose_recordings_it_shows(people: list[SubjectWindows]) -> None:
    real = cohort_page("empatica", "a wrist", people, recorded=True)
    assert "recordings of real people, without any noise. It is outside the guarantee" in real
    simulated = cohort_page("simulated", "a program", people, recorded=False)
    assert "outside the guarantee" not in simulated
    assert "Nobody was recorded" in simulated
    assert not re.search(r'(src|href)="(?!data:|#)', real)


def test_the_page_grows_with_people_only_up_to_a_bound(
    people: list[SubjectWindows], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (cohort_page("empatica", "a wrist", people[:n], recorded=True) for n in (1, 2))
    assert len(two) - len(one) < MOST_BYTES
    monkeypatch.setattr(page_module, "MOST_FIGURES", 1)
    bounded = cohort_page("empatica", "a wrist", people, recorded=True)
    assert bounded.count("over time") < two.count("over time")
    assert "1 more people are in the tables only" in bounded


def test_the_script_writes_the_page_beside_the_windows(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "scripts/prepare_cohort.py"),
        "--kind",
        "simulated",
        "--subjects",
        "2",
    ]
    command += ["--protocol", "sound", "--windows", "detector", "--out", str(tmp_path / "w.h5")]
    subprocess.run([*command, "--report", str(tmp_path / "page" / "cohort.html")], check=True, timeout=120)
    page = (tmp_path / "page" / "cohort.html").read_text()
    assert "Nobody was recorded" in page
    assert page.count('alt="Signals of') == 2


def test_mean_spectra_show_the_frequency_that_a_class_has() -> None:
    seconds = np.arange(60) / 1.0
    wave = np.sin(2 * np.pi * seconds / 6)
    stress = np.arange(40) % 2 == 1
    values = np.random.default_rng(0).normal(size=(40, 60, 1), scale=0.01)
    values[stress, :, 0] += wave
    figure = spectra_figure(windows_of(values.astype(np.float32), stress))
    by_class = {line.get_label(): line.get_xydata() for line in figure.axes[0].lines}
    frequency, amplitude = by_class["stress"].T
    assert frequency[np.argmax(amplitude)] == pytest.approx(1 / 6)
    # Half a window of a sine of amplitude 1: the magnitude is half its length.
    assert amplitude.max() == pytest.approx(15, rel=0.05)
    assert by_class["baseline"][:, 1].max() < 0.5


def windows_of(values: np.ndarray, stress: np.ndarray) -> WindowSet:
    """Windows of one channel with classes baseline and stress."""
    count = len(values)
    return WindowSet(
        windows=values,
        condition=stress.astype(np.int8),
        stress=stress,
        calibration=np.zeros(count, bool),
        subject=np.full(count, "P1"),
        start_s=60.0 * np.arange(count),
        rate_hz=1.0,
        window_s=60.0,
        stride_s=60.0,
        channels=("activity",),
        scaling="calibration",
        protocol="sound",
    )
