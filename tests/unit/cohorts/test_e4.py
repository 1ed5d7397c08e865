from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from pulseveil.cohorts.e4 import LAYOUTS, parse_signal_file, read_export, sparse_beats
from pulseveil.core.errors import InputError

START = 1_644_226_061


def table(name: str, seconds: float, *, start: float = START) -> list[str]:
    """Rows of a well-formed file: distinct samples, impossible values in the first second."""
    layout = LAYOUTS[name]
    rate, columns = layout.rate_hz, len(layout.channels)
    rows = [", ".join([f"{start:.6f}"] * columns), ", ".join([f"{rate:.6f}"] * columns)]
    for i in range(int(seconds * rate)):
        value = 30 + i % 7 / 8 if i >= rate else {"TEMP": 382.21, "EDA": 0.0}.get(name, 0.0)
        rows.append(",".join(str(value + column) for column in range(columns)))
    return rows


def export(seconds: float = 10, **changed: list[str]) -> dict[str, bytes]:
    tables = {name: changed.get(name, table(name, seconds)) for name in LAYOUTS}
    return {name: "\n".join([*rows, ""]).encode() for name, rows in tables.items()}


def with_row(name: str, row: int, text: str) -> dict[str, bytes]:
    rows = table(name, 10)
    rows[row - 1] = text
    return export(**{name: rows})


def test_a_clean_export_loses_its_first_second_only() -> None:
    found = read_export(export(10), "S1")
    assert (found.start_unix_s, found.seconds) == (START + 1, 9)
    assert {name: len(s.values) / s.rate_hz for name, s in found.signals.items()} == dict.fromkeys(
        found.signals, 9
    )
    assert found.signals["ACC_z"].values[0] == 30 + 32 % 7 / 8 + 2
    assert found.signals["TEMP"].values.max() < 31
    assert found.signals["BVP"].start_unix_s == START + 1


def test_unequal_ends_are_cut_by_time_and_told() -> None:
    found = read_export(export(10, TEMP=table("TEMP", 12.5), BVP=table("BVP", 10.25)), "S1")
    assert found.seconds == 9
    assert found.recorded_unix_s == (START, START + 12.5)
    assert "TEMP.csv: last 2.50 s cut, from row 43, to end as the others" in found.repairs
    assert "BVP.csv: last 0.25 s cut, from row 643, to end as the others" in found.repairs


@pytest.mark.parametrize(("name", "value"), [("TEMP", "382.21"), ("TEMP", "-40"), ("EDA", "0.000000")])
def test_impossible_samples_are_interpolated_and_told(name: str, value: str) -> None:
    rows = table(name, 10)
    rows[10], rows[12] = "20.0", "24.0"
    rows[11] = value
    found = read_export(export(**{name: rows}), "S1")
    assert found.signals[name].values[11 - 2 - 4] == 22
    assert any(f"{name}.csv row 12: 1 sample " in repair for repair in found.repairs)


@pytest.mark.parametrize(("name", "bad", "otherwise"), [("TEMP", "382.21", 30.0), ("EDA", "0.000000", 0.0)])
def test_long_gaps_are_mended_from_close_neighbours_only(name: str, bad: str, otherwise: float) -> None:
    """A sample at the edge of a gap is held for 2 s (8 samples), and changes nothing further away."""

    def mended(edge: str) -> NDArray[np.float64]:
        rows = table(name, 20)
        rows[2:] = ["20.0"] * (len(rows) - 2)
        rows[29:70] = [bad] * 41
        rows[28] = edge
        return read_export(export(20, **{name: rows}), "S1").signals[name].values

    one, other = mended("20.0"), mended("30.0")
    first = 29 - 2 - 4
    assert one[first - 1 : first + 8].tolist() == [20.0] * 9
    assert one[first + 8 : first + 33].tolist() == [otherwise] * 25
    assert np.flatnonzero(one != other).tolist() == list(range(first - 1, first + 8))


def test_cr_lf_and_a_byte_order_mark_change_no_sample() -> None:
    plain = export(10)
    odd = {name: b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n") for name, content in plain.items()}
    found = read_export(odd, "S1")
    for name, signal in read_export(plain, "S1").signals.items():
        assert np.array_equal(found.signals[name].values, signal.values)
    assert "EDA.csv: CR LF line ends read as LF" in found.repairs


def test_header_spellings_are_read_alike() -> None:
    rows = table("BVP", 10)
    rows[:2] = ["1644226061", "64"]
    assert read_export(export(BVP=rows), "S1").start_unix_s == START + 1


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (export(EDA=[]), "S1/EDA.csv: 0 rows, expected a unix start"),
        (export(EDA=["1644226061", "4"]), "EDA.csv: 2 rows"),
        (with_row("BVP", 2, "32.000000"), "BVP.csv row 2: expected the rate 64 Hz, found '32.000000'"),
        (with_row("BVP", 2, "-64"), "BVP.csv row 2"),
        (with_row("BVP", 2, "fast"), "BVP.csv row 2: expected 1 equal number"),
        (with_row("ACC", 2, "32,32,31"), "ACC.csv row 2: expected 3 equal number"),
        (with_row("TEMP", 1, "10:02:22"), "TEMP.csv row 1"),
        (with_row("TEMP", 1, "3600"), "TEMP.csv row 1: the start must be a unix time"),
        (with_row("TEMP", 1, "1644226062"), "row 1 of all signals must be the same start"),
        (with_row("BVP", 40, "1,2"), "BVP.csv row 40: expected 1 column"),
        (with_row("ACC", 41, "1,2"), "ACC.csv row 41: expected 3 column"),
        (with_row("EDA", 20, "n/a"), "EDA.csv row 20: expected a number, found 'n/a'"),
        (with_row("EDA", 20, ""), "EDA.csv row 20: expected a number"),
        (with_row("ACC", 50, "1,nan,3"), "ACC.csv row 50: 'nan' is not a finite number"),
        (with_row("BVP", 99, "inf"), "BVP.csv row 99: 'inf' is not a finite number"),
        (export(10, BVP=table("BVP", 21)), "end more than 10 s apart"),
        (export(1.5), "expected at least 2 s"),
        (
            export(10, EDA=["1644226061", "4", *["0"] * 40]),
            "every sample is outside above 0 to 100 uS; the sensor did not work",
        ),
    ],
)
def test_files_beyond_repair_are_refused_with_file_and_row(files: Mapping[str, bytes], told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_export(files, "S1")


def test_binary_files_are_refused() -> None:
    with pytest.raises(InputError, match="not a text file"):
        parse_signal_file(b"\xff\xfe\x00", "S1/BVP.csv", LAYOUTS["BVP"])


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"1644226061.0, IBI\n1.0,0.8\n2.0,0.7\n", "IBI.csv: covers 15% of the recording; it is not used"),
        (b"1644226061.0, IBI\n1.0,9.9\n", ""),
        (b"1644226061.0, IBI\n1.0\n", "IBI.csv: not readable; it is not used"),
    ],
)
def test_beats_of_the_export_are_only_noted(content: bytes, note: str) -> None:
    assert sparse_beats(content, 10) == note
