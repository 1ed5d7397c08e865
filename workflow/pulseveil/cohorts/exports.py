"""Where a subject's export lies: folders and zip archives, one a subject or all in one."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pulseveil.errors import InputError

Folder = Path | zipfile.Path


@dataclass(frozen=True)
class Location:
    """A folder on disk or in a zip archive, and that archive if there is one."""

    folder: Folder
    archive: Path | None

    def read(self, name: str) -> bytes | None:
        """The bytes of a file of the folder; None when there is no such file."""
        file = self.folder / name
        return file.read_bytes() if file.is_file() else None

    def sources(self, names: Collection[str]) -> tuple[Path, ...]:
        """The files on disk that `names` are read from."""
        if self.archive is not None:
            return (self.archive,)
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
    while not _of_subject(root, subject) and len(inner := _inner(root)) == 1:
        root = _opened(inner[0])
    return root


def _of_subject(root: Location, subject: str) -> list[Location]:
    stems = {item: item.folder.name.removesuffix(".zip") for item in _inner(root)}
    return [item for item, stem in stems.items() if stem == subject] or [
        item for item, stem in stems.items() if stem.startswith(f"{subject}_")
    ]


def _with_files(location: Location, names: Collection[str]) -> Location:
    """Descend while a folder holds none of the files but exactly one folder or archive."""
    while not any(location.folder.joinpath(name).is_file() for name in names):
        inner = _inner(location)
        if len(inner) != 1:
            raise InputError(
                f"{location.folder}: none of {', '.join(names)} here; expected an Empatica E4 export"
            )
        location = _opened(inner[0])
    return location


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
    try:
        archive = zipfile.Path(zipfile.ZipFile(entry.open("rb")))  # type: ignore[arg-type]
    except zipfile.BadZipFile:
        raise InputError(
            f"{entry}: neither a folder nor a whole zip archive; export or copy it again"
        ) from None
    return Location(archive, location.archive or Path(str(entry)))
