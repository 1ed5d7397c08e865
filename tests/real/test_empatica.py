"""Real Empatica exports: five Stress-Predict subjects, and WESAD's S2 before it was sliced."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pulseveil.cohorts.empatica import Empatica, EmpaticaSettings
from pulseveil.core.contracts import Recording
from pulseveil.windows.cutting import cut_windows

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def stress_predict(recordings: Path) -> dict[str, Recording]:
    folder = recordings / "stress_predict"
    cohort = Empatica(EmpaticaSettings(data=folder, labels=folder / "labels.csv"))
    return {recording.subject: recording for recording in cohort.recordings()}


def test_samples_are_those_of_the_files_after_the_first_second(
    stress_predict: dict[str, Recording], recordings: Path
) -> None:
    for subject, recording in stress_predict.items():
        acc = np.loadtxt(recordings / "stress_predict" / subject / "ACC.csv", delimiter=",", skiprows=2 + 32)
        ours = np.stack([recording.signals[f"ACC_{axis}"].values for axis in "xyz"], axis=1)
        assert np.array_equal(ours, acc[: len(ours)])
        assert {len(s.values) / s.rate_hz for s in recording.signals.values()} == {len(ours) / 32}


def test_every_interval_is_kept_in_unix_time(stress_predict: dict[str, Recording], recordings: Path) -> None:
    with open(recordings / "stress_predict" / "labels.csv") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == sum(len(recording.intervals) for recording in stress_predict.values()) == 40
    for row in rows:
        recording = stress_predict[row["subject"]]
        start = recording.signals["BVP"].start_unix_s
        (interval,) = [i for i in recording.intervals if i.name == row["condition"]]
        assert interval.condition == int(row["stress"])
        assert 0 <= interval.start_s + start - float(row["start_unix"]) <= 1
        assert 0 <= interval.end_s + start - float(row["end_unix"]) <= 1


@pytest.mark.parametrize(
    ("subject", "repair"),
    [
        ("S01", "BVP.csv: CR LF line ends read as LF"),
        ("S01", "TEMP.csv: last 6.00 s cut, from row 13035, to end as the others"),
        (
            "S02",
            "EDA.csv rows 14246 to 14247: 2 samples outside above 0 to 100 uS, interpolated over up to 2 s",
        ),
        ("S05", "ACC.csv: blanks around commas removed"),
    ],
)
def test_known_irregularities_are_repaired_and_told(
    stress_predict: dict[str, Recording], subject: str, repair: str
) -> None:
    assert repair in stress_predict[subject].repairs


def test_known_contact_loss_is_told(stress_predict: dict[str, Recording]) -> None:
    assert any("55 samples below 0.05 uS" in note for note in stress_predict["S01"].notes)
    assert not any("no skin contact" in note for note in stress_predict["S05"].notes)


def test_sound_windows_of_five_subjects(stress_predict: dict[str, Recording]) -> None:
    windows = cut_windows(
        stress_predict.values(),
        protocol="sound",
        audience="detector",
        channels="physiological",
        scaling="calibration",
        window_s=60,
        stride_s=60,
    )
    whole = sum(int(i.end_s - i.start_s) // 60 for r in stress_predict.values() for i in r.intervals)
    assert len(windows) == whole == 230
    assert windows.stress.mean() == pytest.approx(0.357, abs=0.001)
    assert np.isfinite(windows.windows).all()


def test_the_unsliced_export_of_s2_holds_its_slice(recordings: Path, tmp_path: Path) -> None:
    raw = recordings / "wesad_raw"
    with open(raw / "sync.csv") as handle:
        sync = next(row for row in csv.DictReader(handle) if row["subject"] == "S2")
    start = float(sync["start_unix"])
    labels = tmp_path / "labels.csv"
    labels.write_text(
        f"subject,condition,start_unix,end_unix,stress\nS2_E4_Data,TSST,{start + 2274},{start + 2889},1\n"
    )
    (recording,) = Empatica(EmpaticaSettings(data=raw, labels=labels)).recordings()
    stored = np.load(raw / "S2.npz", allow_pickle=False)
    for channel, name, column in (
        ("BVP", "BVP", 0),
        ("ACC_y", "ACC", 1),
        ("EDA", "EDA", 0),
        ("TEMP", "TEMP", 0),
    ):
        signal = recording.signals[channel]
        first = int((start - signal.start_unix_s) * signal.rate_hz)
        expected = stored[name][:, column]
        assert np.array_equal(signal.values[first : first + len(expected)], expected)
    # 382 degrees in the first second would ring through the whole channel.
    assert recording.signals["TEMP"].values.max() < 40
    assert any("start or end between seconds" in repair for repair in recording.repairs)


def test_zipped_exports_read_the_same(
    stress_predict: dict[str, Recording], recordings: Path, tmp_path: Path
) -> None:
    source = recordings / "stress_predict"
    labels = tmp_path / "labels.csv"
    rows = (source / "labels.csv").read_text().splitlines()
    labels.write_text("\n".join(row for row in rows if row.startswith(("subject", "S05"))))
    with zipfile.ZipFile(tmp_path / "S05.zip", "w") as archive:
        for file in (source / "S05").iterdir():
            archive.write(file, file.name)
    (zipped,) = Empatica(EmpaticaSettings(data=tmp_path, labels=labels)).recordings()
    assert zipped.notes == stress_predict["S05"].notes
    assert np.array_equal(zipped.signals["BVP"].values, stress_predict["S05"].signals["BVP"].values)
