"""Cohorts of plain tables: any CSV or Parquet whose columns, units and rates a study names."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from pulseveil.cohorts import CohortSettings, Origin
from pulseveil.cohorts.devices import Device, DeviceSettings
from pulseveil.cohorts.folders import File
from pulseveil.cohorts.intervals import UNIX_RANGE_S
from pulseveil.cohorts.pieces import CHANNELS, Grid, Piece, sessions_of
from pulseveil.cohorts.plausible import SENSORS
from pulseveil.cohorts.sessions import Session
from pulseveil.core.arrays import Floats
from pulseveil.core.errors import InputError
from pulseveil.core.settings import Settings, explain_choice

TimeUnit = Literal["s", "ms", "us", "ns"]
_SECONDS: Mapping[str, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
SensorName = Literal["BVP", "EDA", "ACC", "TEMP"]


class TableSignal(Settings):
    """One signal of a table: its file, columns, unit and nominal rate."""

    file: str = Field(description="name of the file in a subject's folder (CSV, or Parquet)")
    columns: tuple[str, ...] = Field(min_length=1, max_length=3, description="columns: one, or x, y and z")
    rate_hz: int = Field(ge=1, le=1024, description="nominal samples per second")
    unit: str | None = Field(None, description="unit of the values; default: that of the Empatica E4")
    scale: float = Field(1.0, description="factor of all values, for signals without unit (BVP)")
    low: float | None = Field(None, description="least value that the sensor can give, after conversion")
    high: float | None = Field(None, description="largest value that the sensor can give, after conversion")


class TableSettings(DeviceSettings):
    """Keys of a cohort of tables."""

    kind: Literal["table"] = "table"
    time: str = Field("time", description="column of the time of each sample, since 1970 (UTC)")
    time_unit: TimeUnit = Field("s", description="unit of that column")
    signals: Mapping[SensorName, TableSignal] = Field(
        description="file and columns of BVP, EDA, ACC and TEMP"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for sensor, channels in CHANNELS.items():
            if sensor not in self.signals:
                raise ValueError(f"signals: expected {', '.join(CHANNELS)}, found no {sensor}")
            signal = self.signals[sensor]  # type: ignore[index]
            if len(signal.columns) != len(channels):
                raise ValueError(
                    f"signals.{sensor}.columns: expected {len(channels)}, found {signal.columns}"
                )
            units = _units(sensor)
            if signal.unit is not None and signal.unit not in units:
                raise ValueError(explain_choice("signals", f"{sensor}.unit", signal.unit, tuple(units)))
        return self


class Table(Device):
    """Recordings in tables, one file per signal or one for all."""

    Settings: ClassVar[type[CohortSettings]] = TableSettings
    version: ClassVar[int] = 1
    origin: ClassVar[Origin] = Origin(
        source="recordings of a wrist device as tables, with a file of labelled intervals",
        citation="as the owner of the recordings asks",
        terms="The terms of the recordings: the consent of the people and the agreement with their owner.",
    )

    def __init__(self, settings: CohortSettings) -> None:
        super().__init__(settings)
        assert isinstance(settings, TableSettings)
        self._table = settings

    def wanted(self, where: str, files: Sequence[File]) -> Sequence[File]:
        """The files that the settings name, wherever they lie below the folder."""
        names = {signal.file for signal in self._table.signals.values()}
        found = [file for file in files if file.name in names]
        missing = names - {file.name for file in found}
        if missing:
            raise InputError(f"{where}: no {', '.join(sorted(missing))}; the key 'signals' names these files")
        return found

    def sessions(self, where: str, files: Sequence[File]) -> Sequence[Session]:
        """The sessions in all files of a person."""
        pieces = read_signals(files, self._table.signals, self._table.time, self._table.time_unit)
        grids: dict[str, Grid] = {
            sensor: _grid(sensor, signal) for sensor, signal in self._table.signals.items()
        }
        return sessions_of(where, pieces, grids)


def read_signals(
    files: Sequence[File],
    signals: Mapping[SensorName, TableSignal] | Mapping[str, TableSignal],
    time: str,
    time_unit: TimeUnit,
) -> dict[str, list[Piece]]:
    """Pieces of each sensor, in the units of `plausible.SENSORS`.

    Raises:
        InputError: a file is no table, or lacks a column, or a cell is no number; names file and row.
    """
    pieces: dict[str, list[Piece]] = {}
    for sensor, signal in signals.items():
        factor, offset = _units(sensor)[signal.unit or SENSORS[sensor].unit]
        for file in files:
            if file.name == signal.file:
                times, values = _read(file, time, signal.columns)
                times = _unix(str(file.entry), time, times * _SECONDS[time_unit], time_unit)
                values = values * factor * signal.scale + offset
                pieces.setdefault(sensor, []).append(Piece(str(file.entry), times, values))
    return pieces


def _grid(sensor: str, signal: TableSignal) -> Grid:
    known = SENSORS[sensor]
    low, high = (signal.low, signal.high)
    limits = replace(known, low=known.low if low is None else low, high=known.high if high is None else high)
    return Grid(limits, signal.rate_hz, limits.high - 1 if sensor == "ACC" else None)


def _units(sensor: str) -> Mapping[str, tuple[float, float]]:
    """Factor and offset of each unit of a sensor that is known, by name."""
    known = SENSORS[sensor]
    return {known.unit: (1.0, 0.0)} | {unit.name: (unit.factor, unit.offset) for unit in known.others}


def _read(file: File, time: str, columns: Sequence[str]) -> tuple[Floats, Floats]:
    """Times (n,) and values (n, columns) of a table, rows without a value left out."""
    where, content = str(file.entry), io.BytesIO(file.read())
    try:
        table = (
            pd.read_parquet(content) if file.name.endswith(".parquet") else pd.read_csv(content, dtype=str)
        )
    except Exception as error:  # pandas raises many types for files that are no tables
        raise InputError(
            f"{where}: not a table ({error}); expected a CSV with a header, or Parquet"
        ) from None
    missing = [name for name in (time, *columns) if name not in table]
    if missing:
        found = ", ".join(map(str, table.columns))
        raise InputError(f"{where}: no column {', '.join(missing)}; found {found}")
    used = table[[time, *columns]]
    # One file for all signals has empty cells where a signal has no sample.
    used = used[used[list(columns)].notna().any(axis=1)]
    numbers = used.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
    if len(bad):
        row = used.iloc[int(bad[0])]
        raise InputError(f"{where} row {int(row.name) + 2}: expected numbers, found {list(map(str, row))}")  # type: ignore[call-overload]
    if not len(numbers):
        raise InputError(f"{where}: no samples of {', '.join(columns)}")
    return numbers[:, 0], numbers[:, 1:]


def _unix(where: str, column: str, times: Floats, unit: str) -> Floats:
    if not UNIX_RANGE_S[0] <= times.min() <= times.max() <= UNIX_RANGE_S[1]:
        raise InputError(
            f"{where}: column {column} is {times[0]:.6g} s since 1970, expected a time since 2001; check "
            f"time_unit ({unit}) and that times are UTC"
        )
    if (np.diff(times) <= 0).any():
        row = int(np.argmax(np.diff(times) <= 0)) + 3
        raise InputError(f"{where} row {row}: column {column} does not rise; sort the rows by time")
    return times
