"""Finished runs by hash, and the journal of those that were really trained."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from pulseveil.core import locks
from pulseveil.core.contracts import FeatureSet, WindowSet


@dataclass(frozen=True)
class RunStore:
    """A folder with one file a finished run, named by the hash of all that the run depends on."""

    folder: Path

    def path(self, run_hash: str) -> Path:
        """Where the run of that hash lies, or will."""
        return self.folder / run_hash[:2] / f"{run_hash}.h5"

    def key_path(self, run_hash: str) -> Path:
        """Where the secret key of the run of that hash lies while it is trained privately."""
        return self.folder / "keys" / f"{run_hash}.key"

    def checkpoint_path(self, run_hash: str) -> Path:
        """Where the state of the run of that hash lies while it is trained."""
        return self.path(run_hash).with_suffix(".checkpoint.npz")

    def has(self, run_hash: str) -> bool:
        """Whether the run is finished."""
        return self.path(run_hash).exists()

    @contextmanager
    def alone(self, run_hash: str) -> Iterator[None]:
        """Within the block no other process is in a block of the same run; half-written files are removed.

        Raises InputError where another one is.
        """
        busy = (
            f"run {run_hash} is in training by another process; wait for the end of that one, or end it, and "
            "start the same command again"
        )
        with locks.held(self.folder / "keys" / "lock", run_hash, busy):
            for path in self.path(run_hash).parent.glob(f".{run_hash}.*"):
                path.unlink()
            yield


@dataclass(frozen=True)
class Journal:
    """An append-only file with one JSON line for every training that was done, not copied.

    A line names a training by its keys and, where it is private, its release: a run's hash knows the data.
    """

    path: Path

    def append(self, stage: str, seconds: float, keys: Mapping[str, Any]) -> None:
        """Record one training; one write call a line, so that jobs side by side do not mix lines."""
        entry = {
            "stage": stage,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            **keys,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, (json.dumps(entry) + "\n").encode())
        finally:
            os.close(descriptor)

    def entries(self) -> list[dict[str, Any]]:
        """All recorded trainings; a last line cut by a crash is left out."""
        if not self.path.exists():
            return []
        lines = self.path.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines if line]


def content_hash(rows: WindowSet | FeatureSet) -> str:
    """sha256 of the values of a record's rows: a training depends on these, whatever file they came from."""
    digest = sha256()
    for column in rows.row_columns:
        values = getattr(rows, column)
        digest.update(f"{column}{values.shape}".encode())
        digest.update("\0".join(values).encode() if values.dtype.kind == "U" else values.tobytes())
    return digest.hexdigest()
