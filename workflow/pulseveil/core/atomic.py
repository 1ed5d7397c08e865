"""Atomic writes: a reader finds a file complete or not at all.

This module imports only the standard library: plans write files too, and must not load HDF5.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is fsynced and renamed to `path` if the block succeeds.

    If the block raises, the temporary file is removed and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, because a rename is atomic only within one file system.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            # Without it a crash of the machine can leave the new name with an empty file.
            os.fsync(written.fileno())
        # mkstemp creates files that only their owner can read.
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:  # KeyboardInterrupt, too, must leave no temporary file.
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented, keys in the order given.

    Examples:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "new" / "settings.json"
        ...     write_json(path, {"unit": "subject", "epsilon": 1})
        ...     print(path.read_text(), end="")
        {
          "unit": "subject",
          "epsilon": 1
        }
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")
