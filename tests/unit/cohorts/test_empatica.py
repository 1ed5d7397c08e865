from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pulseveil.cohorts.empatica import Empatica, EmpaticaSettings
from pulseveil.core.contracts import BASELINE, STRESS
from pulseveil.core.errors import InputError
from tests.unit.cohorts.test_e4 import START, export

Arrangement = Callable[[Path], Path]


def fill(folder: Path, seconds: float = 10) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in export(seconds).items():
        (folder / f"{name}.csv").write_bytes(content)


def pack(folder: Path, archive: Path, prefix: str = "") -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as target:
        for file in sorted(folder.rglob("*.csv")):
            target.write(file, prefix + str(file.relative_to(folder)))


def cohort(data: Path, folder: Path, *subjects: str, shift: float = 0.0) -> Empatica:
    labels = folder / "labels.csv"
    rows = [
        f"{subject},{name},{START + start + shift},{START + start + 4 + shift},{stress}"
        for subject in subjects
        for name, start, stress in (("exam", 5, 1), ("rest", 1, 0))
    ]
    labels.write_text("\n".join(["subject,condition,start_unix,end_unix,stress", *rows]))
    return Empatica(EmpaticaSettings(data=data, labels=labels))


def plain(folder: Path) -> Path:
    fill(folder / "S1")
    fill(folder / "S2")
    return folder


def zip_each(folder: Path) -> Path:
    fill(folder / "raw")
    for subject in ("S1", "S2"):
        pack(folder / "raw", folder / "zips" / f"{subject}.zip", prefix="export/")
    return folder / "zips"


def one_zip(folder: Path) -> Path:
    plain(folder / "cohort")
    pack(folder / "cohort", folder / "cohort.zip", prefix="my cohort/")
    return folder / "cohort.zip"


def zips_in_folders(folder: Path) -> Path:
    fill(folder / "raw")
    for subject in ("S1", "S2"):
        pack(folder / "raw", folder / "cohort" / subject / f"{subject}_E4_Data.zip")
    return folder / "cohort"


@pytest.mark.parametrize("arrange", [plain, zip_each, one_zip, zips_in_folders])
def test_every_arrangement_of_exports_reads_the_same(tmp_path: Path, arrange: Arrangement) -> None:
    source = cohort(arrange(tmp_path), tmp_path, "S1", "S2")
    first, second = source.recordings()
    assert (first.subject, second.subject) == ("S1", "S2")
    assert first.signals["BVP"].values[3] == 30 + 67 % 7 / 8
    assert np.array_equal(first.signals["ACC_x"].values, second.signals["ACC_x"].values)
    assert all(path.is_file() for path in source.sources())


def test_the_column_stress_decides_and_the_name_is_kept(tmp_path: Path) -> None:
    (recording,) = cohort(plain(tmp_path), tmp_path, "S1").recordings()
    found = [(i.name, i.condition, i.start_s, i.end_s) for i in recording.intervals]
    assert found == [("rest", BASELINE, 0, 4), ("exam", STRESS, 4, 8)]


def test_the_outline_reads_the_label_file_only(tmp_path: Path) -> None:
    source = cohort(tmp_path / "not there", tmp_path, "S10", "S2")
    order = ("baseline", "stress")
    assert list(source.outline().items()) == [("S2", order), ("S10", order)]
    assert source.sources() == (tmp_path / "labels.csv",)


def test_a_missing_signal_is_refused_by_name(tmp_path: Path) -> None:
    (plain(tmp_path) / "S1" / "EDA.csv").unlink()
    with pytest.raises(InputError, match=r"S1: no EDA\.csv"):
        next(cohort(tmp_path, tmp_path, "S1").recordings())


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "S1").mkdir()
    with pytest.raises(InputError, match=r"S1: none of BVP\.csv"):
        next(cohort(tmp_path, tmp_path, "S1").recordings())


def test_a_missing_data_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder or archive"):
        next(cohort(tmp_path / "gone", tmp_path, "S1").recordings())


def test_subjects_of_another_cohort_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected one folder or zip for subject 'P07'"):
        cohort(plain(tmp_path), tmp_path, "P07").sources()


def test_times_of_another_cohort_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"row 3: rest of S1 .* lies outside its recording"):
        next(cohort(plain(tmp_path), tmp_path, "S1", shift=86_400).recordings())


@pytest.mark.parametrize("arrange", [plain, zip_each, one_zip, zips_in_folders])
def test_a_recording_without_labels_is_left_out_and_named(
    tmp_path: Path, arrange: Arrangement, caplog: pytest.LogCaptureFixture
) -> None:
    data = arrange(tmp_path / "cohort of two")
    assert [recording.subject for recording in cohort(data, tmp_path, "S1").recordings()] == ["S1"]
    (warning,) = caplog.messages
    assert "left out, labels.csv has no rows for: S2" in warning


def test_two_answers_to_one_subject_are_refused(tmp_path: Path) -> None:
    pack(plain(tmp_path) / "S1", tmp_path / "S1.zip")
    with pytest.raises(InputError, match=r"found S1, S1\.zip"):
        cohort(tmp_path, tmp_path, "S1").sources()


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "S1.zip").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(InputError, match=r"S1\.zip: neither a folder nor a whole zip"):
        cohort(tmp_path, tmp_path, "S1").sources()


def with_bytes_changed(path: Path, change: Callable[[bytearray, int], None]) -> None:
    """The archive after a change at each header of a member: the local one and that of the directory."""
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            change(content, at + offset)
            at = content.find(mark, at + 1)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content, flags: content.__setitem__(flags, content[flags] | 1), "with its password"),
        (lambda content, flags: content.__setitem__(flags + 2, 9), "unsupported compression"),
        (lambda content, flags: content.__setitem__(flags + 8, content[flags + 8] ^ 1), "copy it again"),
    ],
    ids=["encrypted", "deflate64", "damaged"],
)
def test_an_archive_that_cannot_be_unpacked_says_why_and_what_to_do(tmp_path: Path, change, message) -> None:
    zip_each(tmp_path)
    with_bytes_changed(tmp_path / "zips" / "S1.zip", change)
    with pytest.raises(InputError, match=message) as raised:
        next(cohort(tmp_path / "zips", tmp_path, "S1").recordings())
    assert "S1.zip/export/" in str(raised.value)


HOSTILE_NAMES = ("{input}", "'", "a/b", "a\\b", "..", "-S1", "=1+1", "@x", "+1", "$(x)", "*", "a" * 65)


@pytest.mark.parametrize("subject", HOSTILE_NAMES)
def test_a_subject_that_is_no_word_of_paths_and_tables_is_refused(tmp_path: Path, subject: str) -> None:
    with pytest.raises(InputError, match=r"labels\.csv row 2: subject: .* is not a valid name"):
        cohort(plain(tmp_path), tmp_path, subject).outline()


@pytest.mark.parametrize("folder", ["S1_{input}", "S1_a\nb"])
def test_a_folder_that_snakemake_would_take_for_a_pattern_is_refused(tmp_path: Path, folder: str) -> None:
    plain(tmp_path / folder)
    with pytest.raises(InputError, match=r"contains a brace \(a wildcard of Snakemake\) or a line break"):
        cohort(tmp_path / folder, tmp_path, "S1").sources()


def test_faults_of_all_people_are_told_at_once(tmp_path: Path) -> None:
    for subject in ("S1", "S2", "S3"):
        fill(tmp_path / "cohort" / subject)
    (tmp_path / "cohort" / "S1" / "EDA.csv").unlink()
    (tmp_path / "cohort" / "S3" / "TEMP.csv").write_bytes(b"no number\n")
    recordings = cohort(tmp_path / "cohort", tmp_path, "S1", "S2", "S3").recordings()
    assert next(recordings).subject == "S2"
    with pytest.raises(InputError) as caught:
        next(recordings)
    first, last = caught.value.messages
    assert "S1" in first
    assert "EDA" in first
    assert "S3" in last
    assert "TEMP" in last


def test_wrong_rows_of_the_labels_are_told_at_once(tmp_path: Path) -> None:
    fill(tmp_path / "cohort" / "S1")
    found = cohort(tmp_path / "cohort", tmp_path, "S1")
    rows = [
        "S1,exam,12:30,1600000300,1",
        "S1,rest,1600000400,1600000500,0",
        "S1,exam,1600000600,1600000500,1",
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["subject,condition,start_unix,end_unix,stress", *rows]))
    with pytest.raises(InputError) as caught:
        found.outline()
    assert [f"row {row}" in message for row, message in zip((2, 4), caught.value.messages, strict=True)] == [
        True
    ] * 2
