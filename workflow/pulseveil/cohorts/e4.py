"""Empatica E4 exports: parsing, checks and repairs of the CSV files of one recording.

Row numbers count from 1 and include the two header rows (unix start, rate in Hz). Irregularities that are
kept as they are become sentences of the cohort summary.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from pulseveil.cohorts import plausible
from pulseveil.cohorts.gaps import MENDED_S
from pulseveil.cohorts.intervals import UNIX_RANGE_S
from pulseveil.cohorts.sessions import Session
from pulseveil.core import limits
from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import CONTACT_US, Signal
from pulseveil.core.errors import InputError
from pulseveil.core.identity import parse_number

# Largest value of the 8-bit accelerometer, in g/64.
SATURATION = 127
# Skin does not change faster in one second. Nearly all larger steps in Stress-Predict come from taking the
# device off.
TEMP_STEP_C = 0.5


def describe_signals(signals: Mapping[str, Signal]) -> tuple[str, ...]:
    """Sentences on contact loss, saturation and temperature steps, with times in seconds of the recording."""
    found = (_contact_loss(signals["EDA"]), _saturation(signals), _temperature_steps(signals["TEMP"]))
    return tuple(sentence for sentence in found if sentence)


def _contact_loss(eda: Signal) -> str:
    samples = np.flatnonzero(eda.values < CONTACT_US)
    if not len(samples):
        return ""
    what = f"{counted(len(samples), 'sample')} below {CONTACT_US} uS, no skin contact"
    return f"EDA: {what}, {_span(samples / eda.rate_hz)}"


def _saturation(signals: Mapping[str, Signal]) -> str:
    masks = [signals[channel].unmeasured.get("saturated") for channel in ("ACC_x", "ACC_y", "ACC_z")]
    count = int(np.any([mask for mask in masks if mask is not None], axis=0).sum())
    return f"ACC: {counted(count, 'sample')} at the end of the sensor's range" if count else ""


def _temperature_steps(temp: Signal) -> str:
    # The rows come at 4 Hz, but the values change only once per second.
    step = round(temp.rate_hz)
    by_second = temp.values[::step]
    seconds = np.flatnonzero(np.abs(np.diff(by_second)) > TEMP_STEP_C) + 1
    if not len(seconds):
        return ""
    what = f"{counted(len(seconds), 'step')} of more than {TEMP_STEP_C} C within a second"
    return f"TEMP: {what}, {_span(seconds)}"


def counted(number: int, noun: str) -> str:
    """A number with its noun in the singular or plural.

    Examples:
        >>> counted(1, "sample"), counted(2, "sample")
        ('1 sample', '2 samples')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _span(times: NDArray[np.float64] | NDArray[np.intp]) -> str:
    first, last = float(times[0]), float(times[-1])
    return f"at {first:.2f} s" if first == last else f"between {first:.2f} s and {last:.2f} s"


HEADER_ROWS = 2
# Texts that Python reads as NaN, which is told as no finite number.
_NOT_FINITE = ("nan", "+nan", "-nan")
# The first second is start-up of the sensors, not data: zeros in BVP and EDA, 382.21 C in TEMP.
SETTLING_S = 1
# In WESAD and Stress-Predict the channels of a recording end up to 7 s apart; more means files mixed up.
LARGEST_SPREAD_S = 10


@dataclass(frozen=True)
class Layout:
    """Required form of a signal file: nominal rate (Hz) and the channels of its columns."""

    rate_hz: int
    channels: tuple[str, ...]


LAYOUTS: Mapping[str, Layout] = {
    "BVP": Layout(64, ("BVP",)),
    "EDA": Layout(4, ("EDA",)),
    "ACC": Layout(32, ("ACC_x", "ACC_y", "ACC_z")),
    "TEMP": Layout(4, ("TEMP",)),
}


@dataclass(frozen=True, eq=False)
class SignalFile:
    """One parsed file: values (n, columns) float64 from `start_unix_s` on."""

    name: str
    start_unix_s: float
    values: Floats
    repairs: tuple[str, ...]


def read_export(files: Mapping[str, bytes], where: str, beats: bytes | None = None) -> Session:
    """Read the signal files of one export.

    The first second, in which the sensors settle, is dropped. All channels are cut to the whole seconds of
    the shortest one. Impossible TEMP and EDA samples are interpolated.

    Args:
        files: content by name, such as `ACC`.
        where: name of the export in messages.
        beats: content of `IBI.csv`, which is only noted.

    Raises:
        InputError: a file is malformed, or the files do not belong together; names file and row.
    """
    parsed = {
        name: parse_signal_file(files[name], f"{where}/{name}.csv", layout)
        for name, layout in LAYOUTS.items()
    }
    start = _common_start(parsed, where)
    seconds = _common_seconds(parsed, where)
    repairs = [sentence for file in parsed.values() for sentence in file.repairs]
    repairs += _cut_sentences(parsed, seconds)
    signals: dict[str, Signal] = {}
    for name, layout in LAYOUTS.items():
        used = parsed[name].values[layout.rate_hz * SETTLING_S : layout.rate_hz * seconds]
        repaired, bad, sentences = _repair(name, used, HEADER_ROWS + 1 + layout.rate_hz * SETTLING_S, where)
        repairs += sentences
        for column, channel in enumerate(layout.channels):
            samples = np.ascontiguousarray(repaired[:, column])
            masks = plausible.unmeasured(samples, bad[:, column], SATURATION if name == "ACC" else None)
            signals[channel] = Signal(samples, float(layout.rate_hz), start + SETTLING_S, masks)
    longest = max(len(file.values) / LAYOUTS[name].rate_hz for name, file in parsed.items())
    recorded = (start, start + longest)
    used_s = seconds - SETTLING_S
    beat_note = "" if beats is None else sparse_beats(beats, used_s)
    notes = tuple(note for note in (*describe_signals(signals), beat_note) if note)
    return Session(where, signals, start + SETTLING_S, used_s, recorded, tuple(repairs), notes)


def parse_signal_file(content: bytes, path: str, layout: Layout) -> SignalFile:
    r"""Parse one CSV of an export.

    Examples:
        >>> parse_signal_file(b"1644226061.0\n4.0\n0.25\n0.5\n", "S1/EDA.csv", LAYOUTS["EDA"]).values
        array([[0.25],
               [0.5 ]])

    Raises:
        InputError: a wrong header, rate, number of columns or sample; names file and row.
    """
    name = path.rpartition("/")[2]
    text = _decode(content, path)
    # Checked before the text is split: a line takes some 60 bytes of memory, however short it is.
    most = HEADER_ROWS + layout.rate_hz * 3600 * limits.SIGNAL_HOURS
    if max(text.count("\n"), text.count("\r")) > most:
        raise InputError(
            f"{path}: more than {most} rows, which are {limits.SIGNAL_HOURS} hours; cut the export"
        )
    # Not splitlines, which also splits at form feeds and Unicode separators and would shift row numbers.
    lines = re.split("\r\n|\n|\r", text.rstrip()) if text.strip() else []
    if len(lines) <= HEADER_ROWS:
        raise InputError(
            f"{path}: {len(lines)} rows, expected a unix start, a rate and samples; export it again"
        )
    columns = len(layout.channels)
    start, rate = (_header_value(path, row, lines[row - 1], columns) for row in (1, 2))
    if not UNIX_RANGE_S[0] <= start <= UNIX_RANGE_S[1]:
        raise InputError(f"{path} row 1: the start must be a unix time in seconds, found {lines[0]!r}")
    # All recordings of WESAD and Stress-Predict have the nominal rates, so another one is taken for damage.
    if rate != layout.rate_hz:
        raise InputError(f"{path} row 2: expected the rate {layout.rate_hz} Hz, found {lines[1]!r}")
    half = _half_written(path, text, lines, columns)
    values = _samples(path, lines[HEADER_ROWS : len(lines) - bool(half)], columns)
    found = {
        half: bool(half),
        "CR LF line ends read as LF": "\r\n" in text,
        "blanks around commas removed": ", " in text or " ," in text,
    }
    return SignalFile(name, start, values, tuple(f"{name}: {what}" for what, yes in found.items() if yes))


def sparse_beats(content: bytes, seconds: int) -> str:
    """A note if the export's own inter-beat intervals cover little of the recording; else empty."""
    # Heart rate is computed from BVP instead, because the intervals are sparse: they cover 6 to 80 % of the
    # recordings of WESAD and Stress-Predict.
    try:
        rows = [line.split(",") for line in content.decode("utf-8-sig").split("\n")[1:] if line.strip()]
        covered = sum(float(row[1]) for row in rows)
    except (UnicodeDecodeError, ValueError, IndexError):
        return "IBI.csv: not readable; it is not used"
    if covered > 0.9 * seconds:
        return ""
    return f"IBI.csv: covers {covered / seconds:.0%} of the recording; it is not used"


def _decode(content: bytes, path: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; expected an Empatica E4 CSV") from None


def _half_written(path: str, text: str, lines: list[str], columns: int) -> str:
    """Sentence on the last row if it is half-written, as in an export that was cut off; else empty."""
    last = lines[-1]
    whole = (
        text.endswith(("\n", "\r"))
        and last.count(",") == columns - 1
        and all(map(_is_number, last.split(",")))
    )
    if whole or len(lines) == HEADER_ROWS + 1:
        return ""
    return f"last row {len(lines)} is half-written or without line end ({last[:40]!r}), dropped"


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(parse_number(cell))
    except ValueError:
        return False


def _header_value(path: str, row: int, line: str, columns: int) -> float:
    """The number of a header row, which repeats it for each column."""
    cells = [cell.strip() for cell in line.split(",")]
    if row == 1 and (times := {_unix_of(cell) for cell in cells} - {None}):
        raise InputError(
            f"{path} row 1: expected unix seconds (UTC), found the date and time {cells[0][:40]!r}; "
            f"write {times.pop():.0f} if it is UTC"
        )
    try:
        values = {parse_number(cell) for cell in cells}
    except ValueError:
        values = set()
    if len(values) != 1 or line.count(",") != columns - 1:
        raise InputError(f"{path} row {row}: expected {columns} equal number(s), found {line[:60]!r}")
    return values.pop()


def _unix_of(cell: str) -> float | None:
    """Unix seconds of a date and time (ISO 8601; UTC unless it has an offset); None for another text."""
    try:
        time = datetime.fromisoformat(cell)
    except ValueError:
        return None
    # A number of eight digits is an ISO date too.
    return None if cell.isdigit() else time.replace(tzinfo=time.tzinfo or UTC).timestamp()


def _samples(path: str, lines: list[str], columns: int) -> Floats:
    separators = columns - 1
    for row, line in enumerate(lines, HEADER_ROWS + 1):
        if line.count(",") != separators:
            raise InputError(f"{path} row {row}: expected {columns} column(s), found {line[:60]!r}")
    cells = ",".join(lines).split(",")
    try:
        # Python also takes `1_2` and digits of other scripts for numbers; checked at once, for speed.
        if any("_" in line or not line.isascii() for line in lines):
            raise ValueError
        values = np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        raise InputError(_not_a_number(path, cells, columns)) from None
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        row = HEADER_ROWS + 1 + bad[0] // columns
        raise InputError(
            f"{path} row {row}: {cells[bad[0]]!r} is not a finite number; repair or leave out the export"
        )
    return values.reshape(-1, columns)


def _not_a_number(path: str, cells: list[str], columns: int) -> str:
    for i, cell in enumerate(cells):
        try:
            parse_number(0.0 if cell.strip().lower() in _NOT_FINITE else cell)
        except ValueError:
            return f"{path} row {HEADER_ROWS + 1 + i // columns}: expected a number, found {cell[:60]!r}"
    raise AssertionError("all cells are numbers")


def _common_start(parsed: Mapping[str, SignalFile], where: str) -> float:
    starts = {file.name: file.start_unix_s for file in parsed.values()}
    if len(set(starts.values())) > 1:
        listed = ", ".join(f"{name} {start:.2f}" for name, start in starts.items())
        raise InputError(
            f"{where}: row 1 of all signals must be the same start, found {listed}; were files mixed up?"
        )
    return next(iter(starts.values()))


def _common_seconds(parsed: Mapping[str, SignalFile], where: str) -> int:
    durations = {name: len(file.values) / LAYOUTS[name].rate_hz for name, file in parsed.items()}
    shortest, longest = min(durations.values()), max(durations.values())
    if longest - shortest > LARGEST_SPREAD_S:
        listed = ", ".join(f"{name}.csv {seconds:.1f} s" for name, seconds in durations.items())
        raise InputError(
            f"{where}: the signals end more than {LARGEST_SPREAD_S} s apart ({listed}); were files mixed up?"
        )
    if shortest < SETTLING_S + 1:
        raise InputError(f"{where}: {shortest:.1f} s of signals, expected at least {SETTLING_S + 1} s")
    return math.floor(shortest)


def _cut_sentences(parsed: Mapping[str, SignalFile], seconds: int) -> list[str]:
    last = {name: HEADER_ROWS + layout.rate_hz * SETTLING_S for name, layout in LAYOUTS.items()}
    sentences = [
        f"{', '.join(f'{name}.csv rows 3 to {row}' for name, row in last.items())}: "
        "first second dropped, the sensors settle"
    ]
    for name, file in parsed.items():
        used = LAYOUTS[name].rate_hz * seconds
        if extra := len(file.values) - used:
            cut = extra / LAYOUTS[name].rate_hz
            sentences.append(
                f"{file.name}: last {cut:.2f} s cut, from row {HEADER_ROWS + 1 + used}, to end as the others"
            )
    return sentences


def _repair(
    name: str, values: Floats, first_row: int, where: str
) -> tuple[Floats, NDArray[np.bool_], list[str]]:
    """Interpolate samples that the sensor cannot have measured; with mask and sentences.

    Raises:
        InputError: the values have another unit, or no sample is possible.
    """
    path, known = f"{where}/{name}.csv", plausible.SENSORS[name]
    plausible.refuse_other_unit(known, values, path)
    repaired, bad = plausible.mend(known, values, LAYOUTS[name].rate_hz)
    rows = np.flatnonzero(bad.any(axis=1))
    if not len(rows):
        return values, bad, []
    if len(rows) == len(values):
        raise InputError(f"{path}: every sample is outside {known.range}; the sensor did not work")
    position = (
        f"rows {rows[0] + first_row} to {rows[-1] + first_row}"
        if len(rows) > 1
        else f"row {rows[0] + first_row}"
    )
    return (
        repaired,
        bad,
        [
            f"{name}.csv {position}: {counted(len(rows), 'sample')} outside {known.range}, interpolated "
            f"over up to {MENDED_S:g} s"
        ],
    )
