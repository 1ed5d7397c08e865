"""Cohorts recorded with Empatica E4 wristbands: CSV exports and one file of labelled intervals.

A subject's export is a folder or a zip archive; one archive can hold all subjects. Nothing is unpacked to
disk, and no member is read that declares more bytes than `limits` allow (`zipfile` yields no more than the
declared bytes).
"""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from pulseveil.cohorts import Cohort, CohortSettings, Origin
from pulseveil.cohorts.e4 import LAYOUTS, describe_signals, read_export, sparse_beats
from pulseveil.cohorts.intervals import Labels, condition_order, place_intervals, read_labels
from pulseveil.core import limits
from pulseveil.core.contracts import Recording
from pulseveil.core.errors import InputError
from pulseveil.core.identity import require_plain_path

Folder = Path | zipfile.Path


@dataclass(frozen=True)
class Location:
    """A folder on disk or in a zip archive; `archive` is None for a folder on disk."""

    folder: Folder
    archive: Path | None

    def read(self, name: str) -> bytes | None:
        """The bytes of a file in the folder; None if there is no such file."""
        file = self.folder / name
        return _content(file, limits.SIGNAL_BYTES) if file.is_file() else None

    def sources(self, names: Collection[str]) -> tuple[Path, ...]:
        """The files on disk that `names` are read from."""
        if self.archive is not None:
            # The archive as a whole: its members have no path that Snakemake could hash.
            require_plain_path(self.archive, "an archive of recordings")
            return (self.archive,)
        require_plain_path(Path(str(self.folder)), "a folder of recordings")
        return tuple(Path(str(self.folder)) / name for name in names)


def locate(data: Path, subject: str, names: Collection[str]) -> Location:
    """Find the folder of `subject` under `data` that holds at least one of the files `names`.

    `data` is a folder or one zip archive. The subject's folder or archive is named after the subject, or its
    name begins with `SUBJECT_`. The files may lie in further folders inside.

    Raises:
        InputError: no folder or archive matches the subject, or more than one does.
    """
    found = _of_subject(_root(data, subject), subject)
    if len(found) != 1:
        listed = ", ".join(sorted(item.folder.name for item in found)) or "none"
        raise InputError(
            f"{data}: expected one folder or zip for subject {subject!r} ({subject}/ or {subject}.zip), "
            f"found {listed}; the label file must name subjects as the folders do"
        )
    return _with_files(_opened(found[0]), names)


def unclaimed(data: Path, subjects: Collection[str]) -> tuple[str, ...]:
    """Names of the folders and archives beside the recordings of `subjects` that match no subject."""
    root = _root(data, next(iter(subjects)))
    claimed = {item.folder.name for subject in subjects for item in _of_subject(root, subject)}
    return tuple(item.folder.name for item in _inner(root) if item.folder.name not in claimed)


def _root(data: Path, subject: str) -> Location:
    """The folder whose entries are named after subjects: `data`, or a folder that is its only content."""
    if not data.exists():
        raise InputError(f"{data}: no such folder or archive; 'data' must hold one export per subject")
    root = _opened(Location(data, None))
    for _ in range(limits.FOLDERS_DEEP):
        if _of_subject(root, subject) or len(inner := _inner(root)) != 1:
            return root
        root = _opened(inner[0])
    raise InputError(_too_deep(data))


def _of_subject(root: Location, subject: str) -> list[Location]:
    stems = {item: item.folder.name.removesuffix(".zip") for item in _inner(root)}
    # An exact name wins, so that S1 does not also match S1_old.
    return [item for item, stem in stems.items() if stem == subject] or [
        item for item, stem in stems.items() if stem.startswith(f"{subject}_")
    ]


def _with_files(location: Location, names: Collection[str]) -> Location:
    """Descend while a folder holds none of the files but exactly one folder or archive."""
    top = location.folder
    for _ in range(limits.FOLDERS_DEEP):
        if any(location.folder.joinpath(name).is_file() for name in names):
            return location
        inner = _inner(location)
        if len(inner) != 1:
            raise InputError(
                f"{location.folder}: none of {', '.join(names)} here; expected an Empatica E4 export"
            )
        location = _opened(inner[0])
    raise InputError(_too_deep(top))


def _too_deep(folder: Folder) -> str:
    return (
        f"{folder}: more than {limits.FOLDERS_DEEP} folders or archives inside each other; "
        "move the files of an export into its subject's folder"
    )


def _inner(location: Location) -> list[Location]:
    """Folders and archives inside a folder, except hidden ones and those that macOS adds to archives."""
    entries: list[Folder] = list(location.folder.iterdir())
    # macOS puts a folder __MACOSX into archives, with a twin ._NAME for every file.
    return [
        Location(item, location.archive)
        for item in sorted(entries, key=lambda entry: entry.name)
        if not item.name.startswith((".", "__MACOSX")) and (item.is_dir() or item.name.endswith(".zip"))
    ]


def _opened(location: Location) -> Location:
    """The root folder of an archive; a folder is returned unchanged."""
    entry = location.folder
    if entry.is_dir():
        return location
    if isinstance(entry, Path):
        limits.require_file(entry, limits.ARCHIVE_BYTES, "a folder or a zip archive")
        opened: Path | io.BytesIO = entry
    else:
        # In memory, because each step back in a compressed member would decompress it from its start.
        opened = io.BytesIO(_content(entry, limits.INNER_ARCHIVE_BYTES))
    with _readable(entry):
        archive = zipfile.ZipFile(opened)
        _check_names(entry, archive)
        return Location(zipfile.Path(archive), location.archive or Path(str(entry)))


def _content(file: Folder, most: int) -> bytes:
    """The bytes of a file on disk or in an archive; raises InputError for more than `most`."""
    if isinstance(file, Path):
        return limits.read_bytes(file, most, "a file of an Empatica E4 export")
    with _readable(file):
        declared = file.root.getinfo(file.at).file_size
        if declared > most:
            raise InputError(
                f"{file}: decompresses to {declared} bytes, more than the limit of {most}; "
                "expected a file of an Empatica E4 export"
            )
        return file.read_bytes()


def _check_names(entry: Folder, archive: zipfile.ZipFile) -> None:
    """Raise InputError if an archive has too many members, or names that lead out of the archive."""
    names = archive.namelist()
    if len(names) > limits.ARCHIVE_ENTRIES:
        raise InputError(f"{entry}: {len(names)} members, more than the limit of {limits.ARCHIVE_ENTRIES}")
    for name in names:
        parts = name.removesuffix("/").split("/")
        if not name.isprintable() or PurePosixPath(name).is_absolute() or {"", ".", ".."} & set(parts):
            raise InputError(f"{entry}: member {name!r} lies outside of its archive; export or pack it again")
        if len(parts) > 2 * limits.FOLDERS_DEEP:
            raise InputError(f"{entry}: member {name[:60]!r} lies in {len(parts) - 1} folders; pack it again")


@contextmanager
def _readable(entry: Folder) -> Iterator[None]:
    """Turn every error while an archive or one of its members is read into an InputError."""
    try:
        yield
    except InputError:
        raise
    except NotImplementedError as error:
        raise InputError(
            f"{entry}: unsupported compression ({error}); unpack it, or pack it as a plain zip"
        ) from None
    except zipfile.BadZipFile as error:
        raise InputError(
            f"{entry}: neither a folder nor a whole zip archive ({error}); export or copy it again"
        ) from None
    except Exception as error:  # zipfile raises many types for damage, and RuntimeError for a password
        raise InputError(
            f"{entry}: cannot be unpacked ({error}); unpack it yourself, with its password if it has one, or "
            "copy it again"
        ) from None


logger = logging.getLogger(__name__)

_FILES = tuple(f"{name}.csv" for name in LAYOUTS)


class EmpaticaSettings(CohortSettings):
    """Keys of a cohort of E4 exports.

    data: the exports (one folder or zip per subject, or one zip of all). labels: the file of intervals.
    """

    kind: Literal["empatica"] = "empatica"
    data: Path
    labels: Path


class Empatica(Cohort):
    """Recordings of Empatica E4 exports with the intervals of a label file.

    The column `stress` of the label file gives the condition (1 stress, 0 baseline); the interval keeps its
    own name.
    """

    Settings: ClassVar[type[CohortSettings]] = EmpaticaSettings
    version: ClassVar[int] = 2
    origin: ClassVar[Origin] = Origin(
        source="exports of Empatica E4 wristbands with a file of labelled intervals",
        citation="as the owner of the recordings asks",
        terms="The terms of the recordings: the consent of the people and the agreement with their owner. "
        "Stress-Predict (Iqbal et al., Sensors 2022, 22(21):8135) is under the MIT licence.",
    )

    def __init__(self, settings: CohortSettings) -> None:
        assert isinstance(settings, EmpaticaSettings)
        self._data = settings.data
        self._labels = settings.labels

    def outline(self) -> Mapping[str, tuple[str, ...]]:
        """Subjects of the label file and their conditions in order of time; reads no recording."""
        return {subject: condition_order(rows) for subject, rows in read_labels(self._labels).rows.items()}

    def sources(self) -> tuple[Path, ...]:
        """The label file and every signal file or archive; without the data folder, the label file only.

        Raises:
            InputError: a subject of the label file has no recording.
        """
        # A study is planned, and a dry run made, before the recordings are available.
        if not self._data.exists():
            return (self._labels,)
        files = [
            source
            for subject in self.outline()
            for source in locate(self._data, subject, _FILES).sources(_FILES)
        ]
        return (self._labels, *dict.fromkeys(files))

    def recordings(self) -> Iterator[Recording]:
        """Recordings one at a time.

        Recordings without rows in the label file are left out, and a warning names them.

        Raises:
            InputError: a file or an interval is wrong beyond repair.
        """
        labels = read_labels(self._labels)
        spare = unclaimed(self._data, labels.rows)
        if spare:
            listed = ", ".join(spare)
            logger.warning("%s: left out, %s has no rows for: %s", self._data, self._labels.name, listed)
        for subject in labels.rows:
            yield read_subject(locate(self._data, subject, _FILES), subject, labels)


def read_subject(location: Location, subject: str, labels: Labels) -> Recording:
    """Read one export with the subject's intervals.

    Raises:
        InputError: a file is missing or malformed, or an interval lies outside the recording.
    """
    where = str(location.folder).rstrip("/")
    files: dict[str, bytes] = {}
    for name in LAYOUTS:
        content = location.read(f"{name}.csv")
        if content is None:
            raise InputError(f"{where}: no {name}.csv; an export needs {', '.join(_FILES)}")
        files[name] = content
    export = read_export(files, where)
    intervals, interval_repairs, interval_notes = place_intervals(
        labels,
        subject,
        start_unix_s=export.start_unix_s,
        seconds=export.seconds,
        recorded_unix_s=export.recorded_unix_s,
    )
    beats = location.read("IBI.csv")
    beat_note = sparse_beats(beats, export.seconds) if beats is not None else ""
    return Recording(
        subject,
        export.signals,
        intervals,
        repairs=(*labels.repairs, *export.repairs, *interval_repairs),
        notes=tuple(n for n in (*describe_signals(export.signals), beat_note, *interval_notes) if n),
    )
