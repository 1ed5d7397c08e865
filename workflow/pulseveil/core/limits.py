"""How large things from elsewhere may be: readers ask here before they read, allocate or unfold anything.

The limits are public and far above what recordings, models and studies of people need. What a small file
unfolds to (compressed, aliased, declared) is held against them, not the file's own size alone.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pulseveil.core.errors import InputError

STUDY_BYTES = 1 << 18
# Values of a study with its aliases unfolded, and how deep they may nest.
STUDY_VALUES = 100_000
STUDY_DEPTH = 32
JSON_BYTES = 1 << 26
TABLE_BYTES = 1 << 28
LABELS_BYTES = 1 << 24
# One signal of an export: 60 hours of BVP, all that the memory of a wristband holds, take 110 MB.
SIGNAL_BYTES = 1 << 27
SIGNAL_HOURS = 60
PEOPLE = 2000
ARCHIVE_BYTES = 1 << 34
ARCHIVE_ENTRIES = 10_000
# Of an archive inside an archive, which is unfolded in memory.
INNER_ARCHIVE_BYTES = 1 << 28
# Folders and archives around the files of one export.
FOLDERS_DEEP = 8
# The official pickles of WESAD are of about 1 GB and some hundred steps.
PICKLE_BYTES = 1 << 31
PICKLE_STEPS = 50_000
# All arrays of one HDF5 file, and all texts of one array, as they lie in memory.
ARRAYS_BYTES = 1 << 32
TEXTS_BYTES = 1 << 28
ARRAYS = 100_000


def require_file(path: Path, most: int, expected: str) -> None:
    """Raise InputError, saying what was `expected`, unless `path` is a regular file of up to `most` bytes."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise InputError(_unreadable(path, error, expected)) from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: cannot be read (it is no regular file); expected {expected}")
    if status.st_size > most:
        raise InputError(
            f"{path}: {status.st_size} bytes, more than the {most} that are read; expected {expected}"
        )


def read_bytes(path: Path, most: int, expected: str) -> bytes:
    """The bytes of a file as `require_file` demands it."""
    require_file(path, most, expected)
    try:
        with open(path, "rb") as handle:
            return handle.read(most)
    except OSError as error:
        raise InputError(_unreadable(path, error, expected)) from None


def check_values(values: Any, source: str, parts: Callable[[Any], Sequence[Any]] | None = None) -> None:
    """Raise InputError where nested values are too many, too deep, or hold a whole number of over 64 bits.

    Aliases are unfolded as all that reads the values would: a few lines can stand for more than memory holds.
    `parts` gives what lies directly inside a value; default: of plain containers.
    """
    left = STUDY_VALUES
    waiting = [(values, 0)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, int) and value.bit_length() > 63:
            raise InputError(f"{source}: a whole number of {value.bit_length()} bits; expected at most 63")
        inside = (parts or _inside)(value)
        left -= len(inside)
        if left < 0 or depth > STUDY_DEPTH:
            raise InputError(
                f"{source}: more than {STUDY_VALUES} values or {STUDY_DEPTH} levels, its aliases unfolded; "
                "write it without aliases of aliases"
            )
        waiting += [(part, depth + 1) for part in inside]


def _inside(value: Any) -> Sequence[Any]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else ()


def _unreadable(path: Path, error: Exception, expected: str) -> str:
    return f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); expected {expected}"
