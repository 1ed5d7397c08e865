"""Size limits of files from outside, checked before anything is read, allocated or decompressed.

The limits are public and far above what recordings, models and studies of people need. They bound the size
in memory (after decompression, with aliases expanded), because a small file can declare a large content.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pulseveil.core.errors import InputError

STUDY_BYTES = 1 << 18
# Number of values of a study with its aliases expanded, and their depth of nesting.
STUDY_VALUES = 100_000
STUDY_DEPTH = 32
JSON_BYTES = 1 << 26
TABLE_BYTES = 1 << 28
LABELS_BYTES = 1 << 24
# One signal of an export: 60 hours of BVP, as much as the memory of a wristband holds, take 110 MB.
SIGNAL_BYTES = 1 << 27
SIGNAL_HOURS = 60
PEOPLE = 2000
ARCHIVE_BYTES = 1 << 34
ARCHIVE_ENTRIES = 10_000
# An archive of a finished study.
STUDY_ARCHIVE_BYTES = 1 << 30
STUDY_ARCHIVE_FILES = 1_000_000
# An archive inside an archive, which is decompressed in memory.
INNER_ARCHIVE_BYTES = 1 << 28
# Depth of folders and archives around the files of one export.
FOLDERS_DEEP = 8
# The official pickles of WESAD have about 1 GB and some hundred opcodes.
PICKLE_BYTES = 1 << 31
PICKLE_STEPS = 50_000
# Size in memory of all arrays of one HDF5 file, and of all texts of one array.
ARRAYS_BYTES = 1 << 32
TEXTS_BYTES = 1 << 28
ARRAYS = 100_000


def require_file(path: Path, most: int, expected: str) -> None:
    """Check that `path` is a regular file of at most `most` bytes.

    Raises:
        InputError: it is not; the message ends with what was `expected`.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise InputError(_unreadable(path, error, expected)) from None
    # A pipe could block the reader, and a device such as /dev/zero has size 0 and never ends.
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: cannot be read (not a regular file); expected {expected}")
    if status.st_size > most:
        raise InputError(
            f"{path}: {status.st_size} bytes, more than the limit of {most}; expected {expected}"
        )


def read_bytes(path: Path, most: int, expected: str) -> bytes:
    """The bytes of a file that passes `require_file`.

    Raises:
        InputError: the file does not pass, or cannot be read.
    """
    require_file(path, most, expected)
    try:
        with open(path, "rb") as handle:
            # Bounded again: the file may have grown since it was checked.
            return handle.read(most)
    except OSError as error:
        raise InputError(_unreadable(path, error, expected)) from None


def check_values(values: Any, source: str, parts: Callable[[Any], Sequence[Any]] | None = None) -> None:
    """Check the size of nested values, such as a parsed YAML or JSON file.

    Aliases are counted as often as they occur, as any reader of the values would visit them: a few lines of
    YAML can stand for more values than memory holds.

    Args:
        source: name of the file, for the message.
        parts: function that gives the values directly inside a value; default: for plain containers.

    Raises:
        InputError: too many values, too deep nesting, or a whole number of more than 63 bits.
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
                f"{source}: more than {STUDY_VALUES} values or {STUDY_DEPTH} levels, aliases expanded; "
                "write it without aliases of aliases"
            )
        waiting += [(part, depth + 1) for part in inside]


def _inside(value: Any) -> Sequence[Any]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else ()


def _unreadable(path: Path, error: Exception, expected: str) -> str:
    return f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); expected {expected}"
