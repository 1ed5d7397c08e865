from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulseveil.cohorts.intervals import LabelRow, Labels, condition_order, place_intervals, read_labels
from pulseveil.core.contracts import BASELINE, STRESS, Interval
from pulseveil.core.errors import InputError

HEADER = "subject,condition,start_unix,end_unix,stress"
START = 1_644_226_000.0


def label_file(folder: Path, *rows: str, header: str = HEADER, end: str = "\n") -> Path:
    path = folder / "labels.csv"
    path.write_bytes(end.join([header, *rows, ""]).encode())
    return path


def placed(
    *times: tuple[float, float], seconds: int = 1000
) -> tuple[tuple[Interval, ...], tuple[str, ...], tuple[str, ...]]:
    rows = tuple(
        LabelRow(i + 2, "S1", "task", START + start, START + end, STRESS)
        for i, (start, end) in enumerate(times)
    )
    return place_intervals(
        Labels(Path("labels.csv"), {"S1": rows}, ()),
        "S1",
        start_unix_s=START,
        seconds=seconds,
        recorded_unix_s=(START - 1, START + seconds + 0.5),
    )


def test_rows_are_grouped_by_subject_and_sorted_by_time(tmp_path: Path) -> None:
    path = label_file(
        tmp_path,
        "S10,stroop,1644226140,1644226435,1",
        "S2,rest,1644227000,1644227100,0",
        "S2, exam ,1644226000,1644226500.5,1",
    )
    labels = read_labels(path)
    assert list(labels.rows) == ["S2", "S10"]
    assert [(r.row, r.name, r.condition) for r in labels.rows["S2"]] == [
        (4, "exam", STRESS),
        (3, "rest", BASELINE),
    ]
    assert condition_order(labels.rows["S2"]) == ("stress", "baseline")


def test_neighbours_of_one_condition_are_told_once() -> None:
    rows = tuple(
        LabelRow(i, "S1", "x", START + i, START + i + 1, code) for i, code in enumerate([0, 0, 1, 1, 0])
    )
    assert condition_order(rows) == ("baseline", "stress", "baseline")


def test_byte_order_mark_blank_lines_and_cr_lf_do_no_harm(tmp_path: Path) -> None:
    path = label_file(tmp_path, "", "S1,a,1644226140,1644226435,1", header="\ufeff" + HEADER, end="\r\n")
    labels = read_labels(path)
    assert labels.rows["S1"][0].row == 3
    assert labels.repairs == ("labels.csv: CR LF line ends read as LF",)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("S1,a,1644226435,1644226140,1", "row 3: the end 1644226140 is not after the start"),
        ("S1,a,1644226435,1644226435,1", "is not after the start"),
        ("S1,a,1644226140,1644226435,2", "stress must be 0 or 1, found '2'"),
        ("S1,a,10:02:22,10:11:16,1", "must be unix seconds in UTC .* found '10:02:22'"),
        ("S1,a,1644226140000,1644226435000,1", "divide milliseconds by 1000"),
        ("S1,a,nan,1644226435,1", "found 'nan'"),
        ("S1,a,1644226140,1644226435", "expected 5 values .* found 4"),
        (",a,1644226140,1644226435,1", "must not be empty"),
        ("S1,b,1644224900,1644225001,1", "rows 3 and 2: intervals of S1 overlap by 1 s"),
        ("S1,b,1644225050,1644225060,0", "rows 2 and 3: intervals of S1 overlap by 10 s"),
    ],
)
def test_impossible_rows_are_refused_with_their_number(tmp_path: Path, row: str, told: str) -> None:
    path = label_file(tmp_path, "S1,first,1644225000,1644225100,0", row)
    with pytest.raises(InputError, match=told) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "expected the header"),
        (b"subject,start,end\n", "expected the header"),
        (HEADER.encode(), "no intervals below the header"),
        (b"\xff\xfe\x00\x01", "not a text file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=told):
        read_labels(path)


@pytest.mark.parametrize(
    "half", ["S", "S1,b,1644225", "S1,b,1644225200,1644225300", "S1,b,1644225200,1644225300,"]
)
def test_a_half_written_last_row_is_dropped_and_told(tmp_path: Path, half: str) -> None:
    path = label_file(tmp_path, "S1,a,1644225000,1644225100,0")
    before = read_labels(path)
    path.write_text(path.read_text() + half)
    labels = read_labels(path)
    assert labels.rows == before.rows
    assert labels.repairs == (f"labels.csv: the last row is half-written ({half[:40]!r}), dropped",)
    path.write_text(path.read_text().removesuffix(half) + "S1,b,1644225200,1644225300,1")
    assert len(read_labels(path).rows["S1"]) == 2
    path.write_text(path.read_text().removesuffix("1") + "x\n")
    with pytest.raises(InputError, match="stress must be 0 or 1"):
        read_labels(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: cannot be read"):
        read_labels(tmp_path / "none.csv")


def test_a_second_belongs_to_the_interval_that_its_start_lies_in() -> None:
    (first, second), repairs, _ = placed((10.25, 20.75), (20.75, 30))
    assert (first.start_s, first.end_s, second.start_s, second.end_s) == (11, 21, 21, 30)
    assert "rows 2, 3: start or end between seconds" in repairs[0]


def test_intervals_that_run_past_the_recording_a_little_are_cut() -> None:
    intervals, repairs, _ = placed((-2, 100), (900, 1002))
    assert [(i.start_s, i.end_s) for i in intervals] == [(0, 100), (900, 1000)]
    assert "row 2 (task): starts 2 s before" in repairs[0]
    assert "row 3 (task): ends 2 s after" in repairs[1]


@pytest.mark.parametrize("times", [(-3, 100), (900, 1002.5), (3600, 3700), (-90_000, -80_000)])
def test_intervals_outside_the_recording_are_refused(times: tuple[float, float]) -> None:
    with pytest.raises(InputError, match=r"row 2: task of S1 .* another cohort, or hold local times"):
        placed(times)


def test_short_conditions_and_unlabelled_time_are_noted() -> None:
    assert placed((0, 400))[2] == ("only 0 s of baseline", "600 s of 1000 s carry no label")


@given(st.lists(st.floats(0, 1000), min_size=2, max_size=9, unique=True))
def test_placed_intervals_are_whole_ordered_and_inside(times: list[float]) -> None:
    borders = sorted(round(t, 2) for t in times)
    pairs = [(a, b) for a, b in zip(borders[::2], borders[1::2], strict=False) if b - a >= 1]
    intervals, _, _ = placed(*pairs)
    edges = [edge for i in intervals for edge in (i.start_s, i.end_s)]
    assert edges == sorted(edges)
    assert all(edge == int(edge) and 0 <= edge <= 1000 for edge in edges)
    covered = {second for i in intervals for second in range(int(i.start_s), int(i.end_s))}
    assert covered == {second for second in range(1000) if any(a <= second < b for a, b in pairs)}
