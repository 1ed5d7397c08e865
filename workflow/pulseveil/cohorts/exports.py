"""Where a subject's export lies: folders and zip archives, one a subject or all in one.

Nothing is unpacked to disk, and no member is read that declares more than `limits` allow; an archive gives no
more of a member than that declares.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pulseveil import limits
from pulseveil.errors import InputError
from pulseveil.naming import require_plain_path

Folder = Path | zipfile.Path


@dataclass(frozen=True)
class Location:
    """A folder on disk or in a zip archive, and that archive if there is one."""

    folder: Folder
    archive: Path | None

    def read(self, name: str) -> bytes | None:
        """The bytes of a file of the folder; None when there is no such file."""
        file = self.folder / name
        return _content(file, limits.SIGNAL_BYTES) if file.is_file() else None

    def sources(self, names: Collection[str]) -> tuple[Path, ...]:
        """The files on disk that `names` are read from."""
        if self.archive is not None:
            require_plain_path(self.archive, "an archive of recordings")
            return (self.archive,)
        require_plain_path(Path(str(self.folder)), "a folder of recordings")
        return tuple(Path(str(self.folder)) / name for name in names)


def locate(data: Path, subject: str, names: Collection[str]) -> Location:
    """Find the folder of `subject` under `data` that holds at least one of the files `names`.

    `data` is a folder or one zip archive; a subject's folder or archive is called as the subject, or begins
    with `SUBJECT_`; further folders around the files do no harm. Raises InputError when nothing, or more
    than one thing, answers to the subject.
    """
    found = _of_subject(_root(data, subject), subject)
    if len(found) != 1:
        told = ", ".join(sorted(item.folder.name for item in found)) or "none"
        raise InputError(
            f"{data}: expected one folder or zip for subject {subject!r} ({subject}/ or {subject}.zip), "
            f"found {told}; the label file must name subjects as the folders do"
        )
    return _with_files(_opened(found[0]), names)


def unclaimed(data: Path, subjects: Collection[str]) -> tuple[str, ...]:
    """Names of the folders and archives beside the subjects' own that belong to none of `subjects`."""
    root = _root(data, next(iter(subjects)))
    claimed = {item.folder.name for subject in subjects for item in _of_subject(root, subject)}
    return tuple(item.folder.name for item in _inner(root) if item.folder.name not in claimed)


def _root(data: Path, subject: str) -> Location:
    """The folder whose entries are called as subjects: `data`, or the only one inside it, and so on."""
    if not data.exists():
        raise InputError(f"{data}: no such folder or archive; 'data' must hold one export a subject")
    root = _opened(Location(data, None))
    for _ in range(limits.FOLDERS_DEEP):
        if _of_subject(root, subject) or len(inner := _inner(root)) != 1:
            return root
        root = _opened(inner[0])
    raise InputError(_too_deep(data))


def _of_subject(root: Location, subject: str) -> list[Location]:
    stems = {item: item.folder.name.removesuffix(".zip") for item in _inner(root)}
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
    """Folders and archives inside a folder, but for hidden ones and those that macOS adds to archives."""
    entries: list[Folder] = list(location.folder.iterdir())
    return [
        Location(item, location.archive)
        for item in sorted(entries, key=lambda entry: entry.name)
        if not item.name.startswith((".", "__MACOSX")) and (item.is_dir() or item.name.endswith(".zip"))
    ]


def _opened(location: Location) -> Location:
    """An archive as the folder that it holds; a folder as it is."""
    entry = location.folder
    if entry.is_dir():
        return location
    if isinstance(entry, Path):
        limits.require_file(entry, limits.ARCHIVE_BYTES, "a folder or a zip archive")
        opened: Path | io.BytesIO = entry
    else:
        opened = io.BytesIO(_content(entry, limits.INNER_ARCHIVE_BYTES))
    with _readable(entry):
        archive = zipfile.ZipFile(opened)
        _check_names(entry, archive)
        return Location(zipfile.Path(archive), location.archive or Path(str(entry)))


def _content(file: Folder, most: int) -> bytes:
    """The bytes of a file on disk or in an archive, of up to `most`."""
    if isinstance(file, Path):
        return limits.read_bytes(file, most, "a file of an Empatica E4 export")
    with _readable(file):
        declared = file.root.getinfo(file.at).file_size
        if declared > most:
            raise InputError(
                f"{file}: unfolds to {declared} bytes, more than the {most} that are read; "
                "expected a file of an Empatica E4 export"
            )
        return file.read_bytes()


def _check_names(entry: Folder, archive: zipfile.ZipFile) -> None:
    """Raise InputError for an archive of too many members, or whose members would lie outside of it."""
    names = archive.namelist()
    if len(names) > limits.ARCHIVE_ENTRIES:
        raise InputError(
            f"{entry}: {len(names)} members, more than the {limits.ARCHIVE_ENTRIES} that are read"
        )
    for name in names:
        parts = name.removesuffix("/").split("/")
        if not name.isprintable() or PurePosixPath(name).is_absolute() or {"", ".", ".."} & set(parts):
            raise InputError(f"{entry}: member {name!r} lies outside of its archive; export or pack it again")
        if len(parts) > 2 * limits.FOLDERS_DEEP:
            raise InputError(f"{entry}: member {name[:60]!r} lies in {len(parts) - 1} folders; pack it again")


@contextmanager
def _readable(entry: Folder) -> Iterator[None]:
    """Whatever an archive, or one of its members, raises while it is read becomes an InputError."""
    try:
        yield
    except InputError:
        raise
    except NotImplementedError as error:
        raise InputError(
            f"{entry}: compressed in a way that is not read ({error}); unpack it, or pack it as a plain zip"
        ) from None
    except zipfile.BadZipFile as error:
        raise InputError(
            f"{entry}: neither a folder nor a whole zip archive ({error}); export or copy it again"
        ) from None
    except Exception as error:  # which of many depends on the damaged byte; RuntimeError asks for a password
        raise InputError(
            f"{entry}: cannot be unpacked ({error}); unpack it yourself, with its password if it has one, or "
            "copy it again"
        ) from None
