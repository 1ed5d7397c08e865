"""Interval files: the conditions of each subject with their start and end times."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pulseveil.core import limits
from pulseveil.core.contracts import BASELINE, CONDITIONS, STRESS, Interval, subject_order
from pulseveil.core.errors import InputError, noting, refuse
from pulseveil.core.identity import parse_number, require_name

COLUMNS = ("subject", "condition", "start_unix", "end_unix", "stress")
# Unix seconds from 2001 to 2099. Milliseconds and times of day lie outside, so that both mistakes are found.
UNIX_RANGE_S = (1e9, 4.1e9)
# Uncertainty of clocks and button presses: an interval that exceeds its recording by less is only cut.
TOLERANCE_S = 2.0
# A shorter condition says little about a person and is noted in the cohort summary.
SHORT_CONDITION_S = 300
_LONGEST_CONDITION = 200


@dataclass(frozen=True)
class LabelRow:
    """One row of an interval file: `[start_unix, end_unix)` in seconds UTC; `row` counts from 1."""

    row: int
    subject: str
    name: str
    start_unix: float
    end_unix: float
    condition: int


@dataclass(frozen=True)
class Labels:
    """All rows of an interval file by subject (numeric order), the rows of a subject in order of time."""

    path: Path
    rows: Mapping[str, tuple[LabelRow, ...]]
    repairs: tuple[str, ...]


def read_labels(path: Path) -> Labels:
    """Read and check an interval file (`subject,condition,start_unix,end_unix,stress`).

    Raises:
        InputError: a wrong header, an unreadable or impossible value, or overlapping intervals of a subject;
            names file and row, for each row.
    """
    content = limits.read_bytes(path, limits.LABELS_BYTES, "the CSV of intervals that 'labels' names")
    # utf-8-sig also reads the byte order mark that spreadsheets write.
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; expected a CSV in UTF-8") from None
    repairs: tuple[str, ...] = (f"{path.name}: CR LF line ends read as LF",) if "\r\n" in text else ()
    text, half = _without_half_row(text)
    if half:
        repairs += (f"{path.name}: the last row is half-written ({half[:40]!r}), dropped",)
    lines = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    header = tuple(cell.strip() for cell in next(lines, []))
    if header != COLUMNS:
        raise InputError(f"{path} row 1: expected the header {','.join(COLUMNS)}, found {','.join(header)!r}")
    rows: list[LabelRow] = []
    faults: list[str] = []
    try:
        for cells in lines:
            if any(cell.strip() for cell in cells):
                with noting(faults):
                    rows.append(_label_row(path, lines.line_num, cells))
    except csv.Error as error:
        raise InputError(f"{path} row {lines.line_num}: not a row of a CSV ({error})") from None
    refuse(faults)
    if not rows:
        raise InputError(f"{path}: no intervals below the header; expected one row per interval")
    of: dict[str, list[LabelRow]] = {}
    for row in rows:
        of.setdefault(row.subject, []).append(row)
    if len(of) > limits.PEOPLE:
        raise InputError(f"{path}: {len(of)} subjects, more than the limit of {limits.PEOPLE}")
    by_subject = {
        subject: tuple(sorted(of[subject], key=lambda r: r.start_unix))
        for subject in sorted(of, key=subject_order)
    }
    for of_subject in by_subject.values():
        with noting(faults):
            _refuse_overlap(path, of_subject)
    refuse(faults)
    return Labels(path, by_subject, repairs)


def condition_order(rows: tuple[LabelRow, ...]) -> tuple[str, ...]:
    """Conditions in order of time; successive intervals of the same condition count once."""
    names = [CONDITIONS[row.condition] for row in rows]
    return tuple(name for i, name in enumerate(names) if i == 0 or name != names[i - 1])


def place_intervals(
    labels: Labels,
    subject: str,
    *,
    start_unix_s: float,
    seconds: int,
    recorded_unix_s: tuple[float, float],
) -> tuple[tuple[Interval, ...], tuple[str, ...], tuple[str, ...]]:
    """A subject's intervals in whole seconds since `start_unix_s`, with sentences on repairs and notes.

    Intervals are cut to the used part of the recording: `seconds` from `start_unix_s` on.

    Raises:
        InputError: an interval lies outside `recorded_unix_s` (start, end) by `TOLERANCE_S` or more, or
            holds no whole second.
    """
    intervals, repairs, uneven = [], [], []
    for row in labels.rows[subject]:
        where = f"{labels.path.name} row {row.row} ({row.name})"
        start, end = row.start_unix - start_unix_s, row.end_unix - start_unix_s
        _refuse_outside(labels.path, row, recorded_unix_s)
        if start < 0:
            repairs.append(f"{where}: starts {-start:g} s before the recording's first used second, cut")
        if end > seconds:
            repairs.append(f"{where}: ends {end - seconds:g} s after the recording's last used second, cut")
        if start != int(start) or end != int(end):
            uneven.append(str(row.row))
        # A second belongs to the interval that contains its start, so both ends are rounded up. Adjacent
        # intervals then share no second and leave none out.
        first, last = max(0, math.ceil(start)), min(seconds, math.ceil(end))
        if last <= first:
            raise InputError(
                f"{labels.path} row {row.row}: holds no whole second of the recording; remove the row"
            )
        intervals.append(Interval(row.condition, float(first), float(last), row.name))
    if uneven:
        repairs.append(
            f"{labels.path.name} rows {', '.join(uneven)}: start or end between seconds of the recording; "
            "seconds belong to the interval that they start in"
        )
    return tuple(intervals), tuple(repairs), _notes(intervals, seconds)


def _without_half_row(text: str) -> tuple[str, str]:
    """The text without its last row if the row was cut off, and that row.

    Examples:
        >>> _without_half_row("S1,rest,1,2,0\\nS1,ta")
        ('S1,rest,1,2,0\\n', 'S1,ta')
    """
    *_, last = text.split("\n")
    cells = last.split(",")
    # A whole row without line end is the habit of some editors, and a longer one is no row at all.
    whole = not last.strip() or (len(cells) >= len(COLUMNS) and cells[-1].strip())
    if whole or last == text or len(last) > 2 * _LONGEST_CONDITION:
        return text, ""
    return text.removesuffix(last), last


def _label_row(path: Path, row: int, cells: list[str]) -> LabelRow:
    where = f"{path} row {row}"
    values = [cell.strip() for cell in cells]
    if len(values) != len(COLUMNS):
        raise InputError(
            f"{where}: expected {len(COLUMNS)} values ({','.join(COLUMNS)}), found {len(values)}"
        )
    subject, name, start, end, stress = values
    if not subject or not name:
        raise InputError(f"{where}: subject and condition must not be empty")
    require_name(subject, f"{where}: subject")
    if not name.isprintable() or len(name) > _LONGEST_CONDITION:
        raise InputError(
            f"{where}: condition {name[:80]!r} must be one line of {_LONGEST_CONDITION} letters at most"
        )
    if stress not in ("0", "1"):
        raise InputError(f"{where}: stress must be 0 or 1, found {stress!r}")
    start_unix, end_unix = _unix(where, "start_unix", start), _unix(where, "end_unix", end)
    if end_unix <= start_unix:
        raise InputError(f"{where}: the end {end} is not after the start {start}; correct the row")
    return LabelRow(row, subject, name, start_unix, end_unix, STRESS if stress == "1" else BASELINE)


def _unix(where: str, column: str, text: str) -> float:
    try:
        value = parse_number(text)
    except ValueError:
        value = math.nan
    if not UNIX_RANGE_S[0] <= value <= UNIX_RANGE_S[1]:
        raise InputError(
            f"{where}: {column} must be unix seconds in UTC (such as 1644226140), found {text!r}; convert "
            "local clock times, and divide milliseconds by 1000"
        )
    return value


def _refuse_overlap(path: Path, rows: tuple[LabelRow, ...]) -> None:
    # A second in two intervals would have two conditions.
    for before, after in pairwise(rows):
        if after.start_unix < before.end_unix:
            raise InputError(
                f"{path} rows {before.row} and {after.row}: intervals of {before.subject} overlap by "
                f"{min(before.end_unix, after.end_unix) - after.start_unix:g} s; end one before the other"
            )


def _refuse_outside(path: Path, row: LabelRow, recorded_unix_s: tuple[float, float]) -> None:
    # The recorded time and not the used one: a label file is not wrong because the first second is dropped or
    # the ends of the signals are uneven.
    first, last = recorded_unix_s
    outside = max(first - row.start_unix, row.end_unix - last)
    if outside >= TOLERANCE_S:
        raise InputError(
            f"{path} row {row.row}: {row.name} of {row.subject} ({row.start_unix:.0f} to {row.end_unix:.0f}) "
            f"lies outside its recording ({first:.0f} to {last:.0f}) by {outside:.0f} s; the label file may "
            "belong to another cohort, or hold local times instead of UTC"
        )


def _notes(intervals: list[Interval], seconds: int) -> tuple[str, ...]:
    totals = {
        code: sum(i.end_s - i.start_s for i in intervals if i.condition == code)
        for code in (BASELINE, STRESS)
    }
    short = [
        f"only {total:.0f} s of {CONDITIONS[code]}"
        for code, total in totals.items()
        if total < SHORT_CONDITION_S
    ]
    unlabelled = seconds - sum(totals.values())
    share = f"{unlabelled:.0f} s of {seconds} s carry no label" if unlabelled else ""
    return tuple(sentence for sentence in (*short, share) if sentence)
