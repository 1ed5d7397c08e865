"""Files of the people of a cohort: one folder or zip archive per person, or one archive of all.

Nothing is unpacked to disk, and no member is read that declares more bytes than `limits` allow (`zipfile`
yields no more than the declared bytes).
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pulseveil.core import limits
from pulseveil.core.errors import InputError
from pulseveil.core.identity import require_plain_path
from pulseveil.core.settings import nearest

Entry = Path | zipfile.Path
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class File:
    """A file below the folder of a person: its entry, and the file or archive on disk that holds it."""

    entry: Entry
    source: Path

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.entry.name

    @property
    def folder(self) -> str:
        """Folder or archive around the file, for messages."""
        return str(self.entry.parent).rstrip("/")

    def read(self, most: int = limits.SIGNAL_BYTES) -> bytes:
        """The bytes of the file.

        Raises:
            InputError: there are more than `most`, or the file or its archive is damaged.
        """
        return _content(self.entry, most)


@dataclass(frozen=True)
class _Location:
    """A folder on disk or in a zip archive; `archive` is None for a folder on disk."""

    folder: Entry
    archive: Path | None

    @property
    def stem(self) -> str:
        return self.folder.name.removesuffix(".zip")


def files_of(data: Path, subject: str) -> tuple[str, tuple[File, ...]]:
    """Folder (for messages) of `subject` under `data`, and all files below it, archives included, by name.

    `data` is a folder or one zip archive. The subject's folder or archive has exactly the subject's name. In
    folders that are named as days, as on the vendor's storage of EmbracePlus, all folders SUBJECT-DEVICE are
    the subject's.

    Raises:
        InputError: no folder or archive has the name, or more than one has it.
    """
    root = _root(data, subject)
    found, days = _of_subject(root, subject), _by_day(root)
    if days and not found:
        found = [item for item in days if _participant(item) == subject]
        if not found:
            names = sorted({_participant(item) for item in days})
            raise InputError(
                f"{data}: no folder of a day holds {subject}-DEVICE; found {', '.join(names)}"
                f"{nearest(subject, names)}; the label file must name subjects exactly as the folders do"
            )
    elif len(found) != 1:
        names = [item.folder.name for item in _inner(root)]
        listed = ", ".join(sorted(item.folder.name for item in found)) or "none"
        hint = "" if found else _beginning_with(subject, names) or nearest(subject, names)
        raise InputError(
            f"{data}: expected one folder or zip for subject {subject!r} ({subject}/ or {subject}.zip), "
            f"found {listed}{hint}; the label file must name subjects exactly as the folders do"
        )
    files = tuple(file for item in found for file in _files(_opened(item), limits.FOLDERS_DEEP))
    for source in {file.source for file in files}:
        # Snakemake hashes an archive as a whole: its members have no path.
        require_plain_path(source, "a file of recordings")
    return str(found[0].folder).rstrip("/"), files


def unclaimed(data: Path, subjects: Collection[str]) -> tuple[str, ...]:
    """Names of the folders and archives beside the recordings of `subjects` that match no subject."""
    root = _root(data, next(iter(subjects)))
    if days := _by_day(root):
        return tuple(sorted({_participant(item) for item in days} - set(subjects)))
    return tuple(item.folder.name for item in _inner(root) if item.stem not in subjects)


def _beginning_with(subject: str, names: Collection[str]) -> str:
    longer = [name for name in names if name.startswith(f"{subject}_")]
    return f" (a name that only begins so may be of another subject: {', '.join(longer)})" if longer else ""


def _root(data: Path, subject: str) -> _Location:
    """The folder whose entries are named after subjects: `data`, or a folder that is its only content."""
    if not data.exists():
        raise InputError(f"{data}: no such folder or archive; 'data' must hold one folder or zip per subject")
    root = _opened(_Location(data, None))
    for _ in range(limits.FOLDERS_DEEP):
        if _of_subject(root, subject) or _by_day(root) or len(inner := _inner(root)) != 1:
            return root
        # One folder that is named like a subject holds a subject: the folder around it is the root.
        if inner[0].stem.startswith(f"{subject}_"):
            return root
        root = _opened(inner[0])
    raise InputError(_too_deep(data))


def _of_subject(root: _Location, subject: str) -> list[_Location]:
    return [item for item in _inner(root) if item.stem == subject]


def _by_day(root: _Location) -> list[_Location]:
    """The folders PARTICIPANT-DEVICE inside folders that are named as days."""
    days = [item for item in _inner(root) if _DAY.fullmatch(item.folder.name)]
    return [item for day in days for item in _inner(day) if "-" in item.stem]


def _participant(item: _Location) -> str:
    return item.stem.rpartition("-")[0]


def _files(location: _Location, deep: int) -> Iterator[File]:
    if not deep:
        raise InputError(_too_deep(location.folder))
    entries: list[Entry] = list(location.folder.iterdir())
    for entry in sorted(entries, key=lambda item: item.name):
        if not _is_hidden(entry) and entry.is_file() and not entry.name.endswith(".zip"):
            yield File(entry, location.archive or Path(str(entry)))
    for inner in _inner(location):
        yield from _files(_opened(inner), deep - 1)


def _too_deep(folder: Entry) -> str:
    return (
        f"{folder}: more than {limits.FOLDERS_DEEP} folders or archives inside each other; "
        "move the files of an export into its subject's folder"
    )


def _is_hidden(entry: Entry) -> bool:
    # macOS puts a folder __MACOSX into archives, with a twin ._NAME for every file.
    return entry.name.startswith((".", "__MACOSX"))


def _inner(location: _Location) -> list[_Location]:
    """Folders and archives inside a folder, except hidden ones and those that macOS adds to archives."""
    entries: list[Entry] = list(location.folder.iterdir())
    return [
        _Location(item, location.archive)
        for item in sorted(entries, key=lambda entry: entry.name)
        if not _is_hidden(item) and (item.is_dir() or item.name.endswith(".zip"))
    ]


def _opened(location: _Location) -> _Location:
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
        # An archive that is read from memory has no name of its own for messages.
        archive.filename = str(entry)
        return _Location(zipfile.Path(archive), location.archive or Path(str(entry)))


def _content(file: Entry, most: int) -> bytes:
    """The bytes of a file on disk or in an archive; raises InputError for more than `most`."""
    if isinstance(file, Path):
        return limits.read_bytes(file, most, "a file of a recording")
    with _readable(file):
        declared = file.root.getinfo(file.at).file_size
        if declared > most:
            raise InputError(
                f"{file}: decompresses to {declared} bytes, more than the limit of {most}; "
                "expected a file of a recording"
            )
        return file.read_bytes()


def _check_names(entry: Entry, archive: zipfile.ZipFile) -> None:
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
def _readable(entry: Entry) -> Iterator[None]:
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
            f"{entry}: neither a folder nor a whole zip archive, or a damaged member ({error}); export or "
            "copy it again"
        ) from None
    except Exception as error:  # zipfile raises many types for damage, and RuntimeError for a password
        raise InputError(
            f"{entry}: cannot be unpacked ({error}); unpack it yourself, with its password if it has one, or "
            "copy it again"
        ) from None
