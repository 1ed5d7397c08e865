"""Cohorts recorded with Empatica EmbracePlus: raw Avro files, or their CSV conversions.

A recording is many files of up to 30 minutes, of several days and devices, with gaps between them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np

from pulseveil.cohorts import CohortSettings, Origin
from pulseveil.cohorts.devices import Device, DeviceSettings
from pulseveil.cohorts.folders import File
from pulseveil.cohorts.pieces import Grid, Piece, evenly_timed, sessions_of
from pulseveil.cohorts.plausible import SENSORS
from pulseveil.cohorts.sessions import Session
from pulseveil.cohorts.table import TableSignal, read_signals
from pulseveil.core.errors import InputError

# The BVP of the EmbracePlus has another scale than that of the E4, about a thousandth. A round factor, so
# that the floor and the public range of the pulse amplitude hold. Amplitudes of two devices do not compare.
_BVP_SCALE = 1000.0
# Range of the accelerometer: +-16 g.
_ACC_END = 16 * 64.0
GRIDS: Mapping[str, Grid] = {
    "BVP": Grid(SENSORS["BVP"], 64),
    "EDA": Grid(SENSORS["EDA"], 4),
    "ACC": Grid(replace(SENSORS["ACC"], low=-_ACC_END, high=_ACC_END), 64, _ACC_END - 1),
    "TEMP": Grid(SENSORS["TEMP"], 1),
}
# Parts of a file with one column, and the sensor of each.
_PARTS = {"bvp": "BVP", "eda": "EDA", "temperature": "TEMP"}
# The vendor's CSV conversions: time in microseconds, acceleration in g.
_CSV: Mapping[str, TableSignal] = {
    "BVP": TableSignal(file="bvp.csv", columns=("bvp",), rate_hz=64, scale=_BVP_SCALE),
    "EDA": TableSignal(file="eda.csv", columns=("eda",), rate_hz=4, unit="uS"),
    "ACC": TableSignal(file="accelerometer.csv", columns=("x", "y", "z"), rate_hz=64, unit="g"),
    "TEMP": TableSignal(file="temperature.csv", columns=("temperature",), rate_hz=1, unit="C"),
}


class EmbracePlusSettings(DeviceSettings):
    """Keys of a cohort of EmbracePlus recordings: one folder or zip per subject, or one zip of all."""

    kind: Literal["embraceplus"] = "embraceplus"


class EmbracePlus(Device):
    """Recordings of EmbracePlus; all files below a subject's folder are the subject's."""

    Settings: ClassVar[type[CohortSettings]] = EmbracePlusSettings
    version: ClassVar[int] = 1
    origin: ClassVar[Origin] = Origin(
        source="recordings of Empatica EmbracePlus with a file of labelled intervals",
        citation="as the owner of the recordings asks",
        terms="The terms of the recordings: the consent of the people and the agreement with their owner.",
    )

    def wanted(self, where: str, files: Sequence[File]) -> Sequence[File]:
        """All Avro files; without any, the CSV conversions."""
        avro = [file for file in files if file.name.endswith(".avro")]
        csv = [file for file in files if file.name in {signal.file for signal in _CSV.values()}]
        if not avro and not csv:
            raise InputError(f"{where}: no .avro file and no bvp.csv; expected raw data of an EmbracePlus")
        return avro or csv

    def sessions(self, where: str, files: Sequence[File]) -> Sequence[Session]:
        """The sessions in all files of a person."""
        if files[0].name.endswith(".csv"):
            return sessions_of(where, read_signals(files, _CSV, "unix_timestamp", "us"), GRIDS)
        pieces: dict[str, list[Piece]] = {}
        for file in files:
            for sensor, piece in _read(file):
                pieces.setdefault(sensor, []).append(piece)
        return sessions_of(where, pieces, GRIDS)


def _read(file: File) -> Iterator[tuple[str, Piece]]:
    """Sensor and piece of each part of an Avro file that holds samples.

    Raises:
        InputError: the file is not whole, or a part lacks a field.
    """
    # Not at the top: plans import this module and read no recording.
    import fastavro

    where, content = str(file.entry), file.read()
    try:
        records: Iterator[Any] = fastavro.reader(io.BytesIO(content))
        for record in records:
            raw: Mapping[str, Any] = record["rawData"]
            for part, sensor in _PARTS.items():
                scale = _BVP_SCALE if sensor == "BVP" else 1.0
                values = np.asarray(raw[part]["values"], np.float64)[:, None] * scale
                yield from _piece(where, sensor, raw[part], values)
            acc = raw["accelerometer"]
            counts = np.stack([np.asarray(acc[axis], np.float64) for axis in "xyz"], axis=1)
            yield from _piece(where, "ACC", acc, counts * _g_per_count(acc["imuParams"]) * 64)
    except InputError:
        raise
    # fastavro raises many types for damage; those of a schema without a field are KeyError and TypeError.
    except Exception as error:
        raise InputError(
            f"{where}: not a whole Avro file of an EmbracePlus ({type(error).__name__}: {error}); "
            "download it again"
        ) from None


def _piece(where: str, sensor: str, part: Mapping[str, Any], values: Any) -> Iterator[tuple[str, Piece]]:
    # Empty parts have start and rate 0.
    if len(values):
        start, rate = part["timestampStart"] / 1e6, part["samplingFrequency"]
        yield sensor, evenly_timed(where, start, rate, GRIDS[sensor].rate_hz, values)


def _g_per_count(imu: Mapping[str, Any]) -> float:
    """Size of one count in g: stated from schema 6.5.0 on, before it by the ends of both ranges."""
    if stated := imu.get("conversionFactor"):
        return float(stated)
    return float((imu["physicalMax"] - imu["physicalMin"]) / (imu["digitalMax"] - imu["digitalMin"]))
