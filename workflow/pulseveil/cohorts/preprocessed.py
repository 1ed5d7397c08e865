"""Pre-processed files of the published study: values at 1 Hz, scaled per person, in one table or in windows.

Source: data/wesad of Privacy-Preserving-Smartwatch-Health-Data-Generation-Using-DP-GANs, the repository of
Lange et al., Sensors 2024, 24(10):3052. The files hold only labelled seconds and do not name the people.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, field_validator

from pulseveil.cohorts import Cohort, CohortSettings, Origin
from pulseveil.cohorts.wesad import Wesad
from pulseveil.core import limits
from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import (
    CONDITIONS,
    PUBLISHED_CHANNELS,
    STRESS,
    Interval,
    Recording,
    Signal,
    subject_order,
)
from pulseveil.core.errors import InputError

ConditionName = Literal["baseline", "stress", "amusement"]
Seconds = Annotated[int, Field(gt=0)]
# Conditions of a person with their labelled seconds, in order of time.
Course = tuple[tuple[ConditionName, Seconds], ...]

# Labelled seconds of WESAD (baseline, stress, amusement). The published files name no person, and binary
# labels hide where baseline ends and amusement begins.
_STRESS_FIRST = {
    "S2": (1144, 615, 362),
    "S3": (1140, 640, 375),
    "S6": (1180, 650, 372),
    "S9": (1180, 645, 372),
    "S11": (1180, 680, 368),
    "S14": (1180, 675, 372),
    "S16": (1180, 673, 368),
}
_AMUSEMENT_FIRST = {
    "S4": (1158, 635, 372),
    "S5": (1198, 645, 374),
    "S7": (1186, 640, 372),
    "S8": (1169, 670, 370),
    "S10": (1180, 725, 372),
    "S13": (1180, 664, 382),
    "S15": (1175, 686, 372),
    "S17": (1181, 723, 372),
}
PEOPLE: Mapping[str, Course] = {
    **{s: (("baseline", b), ("stress", t), ("amusement", a)) for s, (b, t, a) in _STRESS_FIRST.items()},
    **{s: (("baseline", b), ("amusement", a), ("stress", t)) for s, (b, t, a) in _AMUSEMENT_FIRST.items()},
}
COLUMNS = (*PUBLISHED_CHANNELS, "label")
# Seconds of a window, and between the starts of two windows, of the published array.
WINDOW_S, STRIDE_S = 60, 30
# Rounding of the scaling to 0..1.
_ROUNDING = 1e-9


class PreprocessedSettings(CohortSettings):
    """Keys of a cohort of pre-processed files."""

    kind: Literal["preprocessed"] = "preprocessed"
    data: Path = Field(
        description="wesad_preprocessed_1hz.csv (all seconds), or wesad_windows.npy (60 s every 30 s)"
    )
    window_labels: Path | None = Field(
        None, description="wesad_labels.npy, checked against the labels in the windows"
    )
    people: Mapping[str, Course] | None = Field(
        None,
        min_length=1,
        description="conditions and labelled seconds of each person, in order of time; default: WESAD's. The "
        "file holds the people in the order of their numbers",
    )

    @field_validator("data")
    @classmethod
    def _known_format(cls, data: Path) -> Path:
        if data.suffix not in (".csv", ".npy"):
            raise ValueError(f"expected a .csv of seconds or a .npy of windows, found {data.name!r}")
        return data


class Preprocessed(Cohort):
    """People in a file of seconds or windows at 1 Hz; each condition of a person is one interval.

    Fit for protocol `paper` only: pulse and units of the signals are gone.
    """

    Settings: ClassVar[type[CohortSettings]] = PreprocessedSettings
    version: ClassVar[int] = 1
    scaled: ClassVar[bool] = True
    origin: ClassVar[Origin] = replace(
        Wesad.origin,
        source="WESAD, wrist recordings of 15 people in a laboratory, as pre-processed and published by "
        "Lange et al. (1 Hz, scaled per person)",
        terms=f"The repository of the pre-processed files is under the MIT licence. {Wesad.origin.terms}",
    )

    def __init__(self, settings: CohortSettings) -> None:
        assert isinstance(settings, PreprocessedSettings)
        self._settings = settings
        people = settings.people or PEOPLE
        self._people = {name: people[name] for name in sorted(people, key=subject_order)}

    def outline(self) -> Mapping[str, tuple[str, ...]]:
        """The people of the settings, with their conditions in order of time."""
        return {name: tuple(condition for condition, _ in course) for name, course in self._people.items()}

    def sources(self) -> tuple[Path, ...]:
        """The file of seconds or windows, and the file of their labels."""
        labels = self._settings.window_labels
        return (self._settings.data,) if labels is None else (self._settings.data, labels)

    def recordings(self) -> Iterator[Recording]:
        """One recording per person, whose seconds are the labelled ones.

        Raises:
            InputError: the file has other columns, people, rates or labels than the settings say.
        """
        data, labels = self._settings.data, self._settings.window_labels
        if data.suffix == ".npy":
            return read_windows(data, labels, self._people)
        if labels is not None:
            raise InputError(f"{labels}: window_labels belong to a .npy of windows; leave the key out")
        return read_seconds(data, self._people)


def read_seconds(path: Path, people: Mapping[str, Course]) -> Iterator[Recording]:
    """Recordings from a table with one row per labelled second, the rows of a person after each other.

    Raises:
        InputError: the table has other columns, rows or labels, or values that are not scaled per person.
    """
    table = _table(path)
    lengths = {name: sum(seconds for _, seconds in course) for name, course in people.items()}
    if len(table) != sum(lengths.values()):
        raise InputError(_other_length(path, len(table), lengths))
    first = 0
    for name, length in lengths.items():
        rows, where = table[first : first + length], f"{path} rows {first + 2} to {first + length + 1}"
        low, high = rows[:, :-1].min(axis=0), rows[:, :-1].max(axis=0)
        wrong = np.flatnonzero((abs(low) > _ROUNDING) | (abs(high - 1) > _ROUNDING))
        if len(wrong):
            channel = int(wrong[0])
            raise InputError(
                f"{where}: {PUBLISHED_CHANNELS[channel]} of {name} goes from {low[channel]:.4g} to "
                f"{high[channel]:.4g}, expected 0 to 1 (scaled per person); these rows are not {name} alone: "
                "people are missing or in another order (key 'people'), or the values are not scaled"
            )
        yield _recording(where, name, people[name], rows)
        first += length


def read_windows(path: Path, labels: Path | None, people: Mapping[str, Course]) -> Iterator[Recording]:
    """Recordings from windows (n, 60, 7) every 30 s, whose seventh column is the label of each second.

    The last seconds of a person, which fill no window, are missing.

    Raises:
        InputError: the array has another shape or labels, or windows of a person do not continue each other.
    """
    windows = _array(path)
    if windows.ndim != 3 or windows.shape[1:] != (WINDOW_S, len(COLUMNS)):
        raise InputError(
            f"{path}: expected windows (n, {WINDOW_S}, {len(COLUMNS)}), one row per second with "
            f"{', '.join(COLUMNS)}; found {windows.shape}. Windows of another rate or length, or without the "
            "label of each second, cannot be read; use the .csv"
        )
    bad = np.flatnonzero(~np.isfinite(windows).all(axis=(1, 2)))
    if len(bad):
        raise InputError(f"{path} window {bad[0]}: not all values are finite numbers; download it again")
    counts = {
        name: (sum(seconds for _, seconds in course) - WINDOW_S) // STRIDE_S + 1
        for name, course in people.items()
    }
    if len(windows) != sum(counts.values()):
        raise InputError(
            f"{path}: {len(windows)} windows, expected {sum(counts.values())} of {len(counts)} people "
            f"({', '.join(f'{name} {count}' for name, count in counts.items())}); the key 'people' says who "
            "is in the file"
        )
    if labels is not None:
        _check_window_labels(labels, windows[:, :, -1])
    first = 0
    for name, count in counts.items():
        own, where = windows[first : first + count], f"{path} windows {first} to {first + count - 1}"
        apart = np.flatnonzero((own[:-1, STRIDE_S:] != own[1:, :STRIDE_S]).any(axis=(1, 2)))
        if len(apart):
            at = first + int(apart[0])
            raise InputError(
                f"{where}: window {at + 1} does not begin with the last {STRIDE_S} s of window {at}, though "
                f"both are of {name}; people are missing or in another order (key 'people')"
            )
        rows = np.concatenate([own[0], *own[1:, STRIDE_S:]])
        yield _recording(where, name, people[name], rows)
        first += count


def _recording(where: str, name: str, course: Course, rows: Floats) -> Recording:
    """The recording of a person from rows (seconds, 7), whose labels must be those of the course."""
    borders = np.minimum(np.cumsum([0, *(seconds for _, seconds in course)]), len(rows))
    intervals = tuple(
        Interval(CONDITIONS.index(condition), float(start), float(end), condition)
        for (condition, _), (start, end) in zip(course, pairwise(borders), strict=True)
        if end > start
    )
    codes = np.concatenate([np.full(int(i.end_s - i.start_s), i.condition) for i in intervals])
    labels = rows[:, -1]
    # Two codings are published: 0 and 1 with amusement counted as 0, and one code per condition.
    expected = codes if labels.max() > STRESS else (codes == STRESS).astype(int)
    wrong = np.flatnonzero(labels != expected)
    if len(wrong):
        second = int(wrong[0])
        raise InputError(
            f"{where}: second {second} of {name} has the label {labels[second]:g}, expected "
            f"{expected[second]} ({CONDITIONS[codes[second]]}); the key 'people' gives each person's "
            "conditions"
        )
    signals = {
        channel: Signal(np.ascontiguousarray(rows[:, column]), 1.0, 0.0)
        for column, channel in enumerate(PUBLISHED_CHANNELS)
    }
    note = "scaled per person in its file: the measured share of the sensors is not known"
    return Recording(name, signals, intervals, notes=(note,), scaled=True)


def _table(path: Path) -> Floats:
    """Rows (seconds, 7) of a table, columns as `COLUMNS`."""
    content = limits.read_bytes(path, limits.TABLE_BYTES, "wesad_preprocessed_1hz.csv of the published study")
    try:
        table = pd.read_csv(io.BytesIO(content), dtype=str)
    except Exception as error:  # pandas raises many types for files that are no tables
        raise InputError(f"{path}: not a table ({error}); expected a CSV with a header") from None
    # The published file begins with an index that has no name.
    names = [str(name) for name in table.columns if not str(name).startswith("Unnamed: 0")]
    if tuple(names) != COLUMNS:
        raise InputError(f"{path}: expected the columns {', '.join(COLUMNS)}; found {', '.join(names)}")
    numbers = table[names].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
    if len(bad):
        row = list(map(str, table[names].iloc[int(bad[0])]))
        raise InputError(f"{path} row {int(bad[0]) + 2}: expected numbers, found {', '.join(row)}")
    return np.asarray(numbers)


def _other_length(path: Path, rows: int, lengths: Mapping[str, int]) -> str:
    expected = sum(lengths.values())
    listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
    if rows and rows % expected == 0:
        return (
            f"{path}: {rows} rows, {rows // expected} times the {expected} labelled seconds of the people; "
            "expected one row per second (1 Hz)"
        )
    missing = [name for name, length in lengths.items() if length == expected - rows]
    hint = f"; {' or '.join(missing)} may be missing" if missing else ""
    return (
        f"{path}: {rows} rows, expected {expected} of {len(lengths)} people ({listed}){hint}; the key "
        "'people' says who is in the file"
    )


def _array(path: Path) -> Floats:
    content = limits.read_bytes(path, limits.TABLE_BYTES, "an array of the published study (.npy)")
    try:
        found = np.load(io.BytesIO(content), allow_pickle=False)
        return np.asarray(found, np.float64)
    except Exception as error:  # numpy raises many types for files that are no arrays
        raise InputError(f"{path}: not an array of numbers in NumPy's format ({error})") from None


def _check_window_labels(path: Path, seconds: NDArray[np.float64]) -> None:
    """Raise InputError unless each window's label is the most frequent of its seconds (n, 60)."""
    labels = _array(path)
    if labels.shape != seconds.shape[:1]:
        raise InputError(f"{path}: expected one label per window ({len(seconds)}), found {labels.shape}")
    counts = np.stack([(seconds == code).sum(axis=1) for code in range(len(CONDITIONS))], axis=1)
    # The smallest of equally frequent codes, as published.
    wrong = np.flatnonzero(counts.argmax(axis=1) != labels)
    if len(wrong):
        raise InputError(
            f"{path}: window {wrong[0]} has the label {labels[wrong[0]]:g}, but most of its seconds have "
            f"{counts[wrong[0]].argmax()}; the files do not belong together"
        )
