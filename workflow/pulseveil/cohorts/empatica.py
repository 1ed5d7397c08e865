"""Cohorts recorded with Empatica E4 wristbands: CSV exports and one file of labelled intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pulseveil.cohorts import CohortSettings, Origin
from pulseveil.cohorts.devices import Device, DeviceSettings
from pulseveil.cohorts.e4 import LAYOUTS, read_export
from pulseveil.cohorts.folders import File
from pulseveil.cohorts.sessions import Session
from pulseveil.core.errors import InputError

_FILES = tuple(f"{name}.csv" for name in LAYOUTS)
_BEATS = "IBI.csv"


class EmpaticaSettings(DeviceSettings):
    """Keys of a cohort of E4 exports: one folder or zip per subject, or one zip of all."""

    kind: Literal["empatica"] = "empatica"


class Empatica(Device):
    """Recordings of Empatica E4 exports; a subject can have several, each in a folder or zip of its own."""

    Settings: ClassVar[type[CohortSettings]] = EmpaticaSettings
    version: ClassVar[int] = 3
    origin: ClassVar[Origin] = Origin(
        source="exports of Empatica E4 wristbands with a file of labelled intervals",
        citation="as the owner of the recordings asks",
        terms="The terms of the recordings: the consent of the people and the agreement with their owner. "
        "Stress-Predict (Iqbal et al., Sensors 2022, 22(21):8135) is under the MIT licence.",
    )

    def wanted(self, where: str, files: Sequence[File]) -> Sequence[File]:
        """The files of all exports."""
        return [file for export in _exports(where, files).values() for file in export.values()]

    def sessions(self, where: str, files: Sequence[File]) -> Sequence[Session]:
        """One session per export."""
        return [_session(folder, export) for folder, export in _exports(where, files).items()]


def _exports(where: str, files: Sequence[File]) -> Mapping[str, Mapping[str, File]]:
    """Files by name for each folder or archive that holds a signal file.

    Folders inside the folder of an export are not searched: an archive is often unpacked beside itself.
    """
    folders: dict[str, dict[str, File]] = {}
    for file in files:
        if file.name in (*_FILES, _BEATS):
            folders.setdefault(file.folder, {})[file.name] = file
    exports = {folder: found for folder, found in folders.items() if set(found) & set(_FILES)}
    if not exports:
        avro = any(file.name.endswith(".avro") for file in files)
        cure = "; .avro files are those of an EmbracePlus: use kind embraceplus" if avro else ""
        raise InputError(f"{where}: none of {', '.join(_FILES)} here; expected an Empatica E4 export{cure}")
    outer = [folder for folder in exports if not any(folder.startswith(f"{other}/") for other in exports)]
    return {folder: exports[folder] for folder in outer}


def _session(folder: str, export: Mapping[str, File]) -> Session:
    """Read one export; raises InputError if a file is missing or malformed."""
    for name in _FILES:
        if name not in export:
            raise InputError(f"{folder}: no {name}; an export needs {', '.join(_FILES)}")
    beats = export[_BEATS].read() if _BEATS in export else None
    return read_export({name: export[f"{name}.csv"].read() for name in LAYOUTS}, folder, beats)
