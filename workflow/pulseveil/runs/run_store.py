"""Run store: finished runs by hash, and the journal of all trainings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from pulseveil.core import locks
from pulseveil.core.contracts import FeatureSet, WindowSet


@dataclass(frozen=True)
class RunStore:
    """Folder with one file per finished run, named by the hash of all that the run depends on.

    Examples:
        >>> RunStore(Path("runs")).path("0123ab").as_posix()
        'runs/01/0123ab.h5'
    """

    folder: Path

    def path(self, run_hash: str) -> Path:
        """File of the run with that hash, whether or not it exists."""
        # Subfolders by the first two digits, because a large study has hundreds of thousands of runs.
        return self.folder / run_hash[:2] / f"{run_hash}.h5"

    def key_path(self, run_hash: str) -> Path:
        """File of the run's secret key, which exists while the run is trained privately."""
        return self.folder / "keys" / f"{run_hash}.key"

    def checkpoint_path(self, run_hash: str) -> Path:
        """File of the run's training state, which exists while the run is trained."""
        return self.path(run_hash).with_suffix(".checkpoint.npz")

    def model_path(self, run_hash: str) -> Path:
        """File of the run's detector, if the study keeps it; the run's own file then holds its scores."""
        return self.path(run_hash).with_suffix(".detector.h5")

    def has(self, run_hash: str, *, with_model: bool = False) -> bool:
        """Whether the run is finished; with_model: and its detector is kept."""
        return self.path(run_hash).exists() and (not with_model or self.model_path(run_hash).exists())

    @contextmanager
    def alone(self, run_hash: str) -> Iterator[None]:
        """Hold the lock of a run, so that no other process trains it, and remove half-written files.

        Raises:
            InputError: another process holds the lock.
        """
        # Two processes with one key would use the same noise twice.
        busy = (
            f"run {run_hash} is being trained by another process; wait until that process ends, or end it, "
            "and start the same command again"
        )
        with locks.held(self.folder / "keys" / "lock", run_hash, busy):
            # Under the lock nobody is writing these files: they are left from a process that was killed.
            for path in self.path(run_hash).parent.glob(f".{run_hash}.*"):
                path.unlink()
            yield


@dataclass(frozen=True)
class Journal:
    """Append-only file with one JSON line per training; copied results have no line.

    A line names a training by its keys and, where it is private, its release.
    """

    # No hashes of runs: such a hash depends on the data, so that a journal with hashes could not leave.

    path: Path

    def append(self, stage: str, seconds: float, keys: Mapping[str, Any]) -> None:
        """Record one training of `seconds` in a stage."""
        entry = {
            "stage": stage,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            **keys,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # One write call in append mode per line, so that parallel jobs never mix their lines.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, (json.dumps(entry) + "\n").encode())
        finally:
            os.close(descriptor)

    def entries(self) -> list[dict[str, Any]]:
        """All recorded trainings, without lines that a crash has cut."""
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_bytes().split(b"\n"):
            # The next training after a crash adds its line to the cut one: such a line is no JSON either.
            with suppress(ValueError, RecursionError):
                found.append(json.loads(line))
        return found


def content_hash(rows: WindowSet | FeatureSet) -> str:
    """sha256 of the values of all rows, on which a training depends whatever file they come from."""
    digest = sha256()
    for column in rows.row_columns:
        values = getattr(rows, column)
        # Name and shape separate the columns: equal bytes in other columns must not give the same hash.
        digest.update(f"{column}{values.shape}".encode())
        digest.update("\0".join(values).encode() if values.dtype.kind == "U" else values.tobytes())
    return digest.hexdigest()
