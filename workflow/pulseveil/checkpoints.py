"""Resumable trainings: the latest whole state of a training, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseveil.store import atomic_path


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds a training's state every `every` steps; `cell_hash` keeps other trainings away.

    A file of another cell, or one that cannot be read, is ignored: the training starts over.
    """

    path: Path
    cell_hash: str
    every: int

    def save(self, step: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Replace the stored state by that after `step` steps."""
        with atomic_path(self.path) as temporary, open(temporary, "wb") as handle:
            np.savez(handle, __step__=step, __cell__=self.cell_hash, **arrays)  # type: ignore[arg-type]

    def load(self) -> tuple[int, dict[str, NDArray[Any]]] | None:
        """(steps done, state), or None when there is nothing to resume."""
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, KeyError):
            return None
        if str(arrays.pop("__cell__", "")) != self.cell_hash:
            return None
        return int(arrays.pop("__step__")), arrays

    def clear(self) -> None:
        """Remove the stored state once the training is finished."""
        self.path.unlink(missing_ok=True)
