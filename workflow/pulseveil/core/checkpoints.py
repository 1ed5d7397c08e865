"""Checkpoints of trainings: the latest complete state and the state before it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.arrays import Arrays
from pulseveil.core.atomic import atomic_path
from pulseveil.core.errors import Interrupted, StopRequested, never_requested

logger = logging.getLogger(__name__)

Mark = Callable[[Arrays], NDArray[Any]]
"""Authentication code of a file, computed from its arrays with a key that only the training has."""

_CELL, _MARK, _STEP, _OLDER = "__cell__", "__mark__", "__step__", "__older__"


class Stored(NamedTuple):
    """State of a training after `step` steps.

    older: True if the latest state was unreadable and this is the state before it.
    """

    step: int
    arrays: dict[str, NDArray[Any]]
    older: bool


@dataclass(frozen=True)
class Checkpoint:
    """File that stores the state of one training every `every` steps.

    The state before the latest one stays in a second file, in case the first is damaged. A file with another
    `cell_hash` belongs to another training and is ignored. `stop_requested` says whether the job must end.
    With a `mark`, a file that does not carry the right mark counts as damaged.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoint = Checkpoint(Path(folder) / "state.npz", cell_hash="4f2a", every=100)
        ...     checkpoint.keep(0, 99, lambda: {"weights": np.zeros(2)})
        ...     print(checkpoint.load())
        ...     checkpoint.keep(99, 100, lambda: {"weights": np.ones(2)})
        ...     print(checkpoint.load())
        None
        Stored(step=100, arrays={'weights': array([1., 1.])}, older=False)
    """

    path: Path
    cell_hash: str
    every: int
    stop_requested: StopRequested = never_requested
    mark: Mark | None = None

    @property
    def previous(self) -> Path:
        """Path of the state before the latest one."""
        return self.path.with_name(f"{self.path.name}.previous")

    def keep(self, before: int, done: int, state: Callable[[], Arrays]) -> None:
        """Store the state after `done` steps if a multiple of `every` lies in (`before`, `done`].

        Raises:
            Interrupted: a stop is requested; the state is stored first.
        """
        stopping = self.stop_requested()
        if stopping or done // self.every > before // self.every:
            self.save(done, state())
        if stopping:
            raise Interrupted(f"stop requested: state stored after step {done}")

    def save(self, step: int, arrays: Arrays) -> None:
        """Store the state after `step` steps as the latest one."""
        content = {_STEP: np.array(step), _CELL: np.array(self.cell_hash), **arrays}
        if self.mark is not None:
            content[_MARK] = self.mark(content)
        with atomic_path(self.path) as temporary:
            with open(temporary, "wb") as handle:
                np.savez(handle, **content)  # type: ignore[arg-type]
            # A crash between the two renames leaves only `previous`, which `load` falls back to.
            if self.path.exists():
                os.replace(self.path, self.previous)

    def load(self) -> Stored | None:
        """The latest readable state, or None if there is nothing to resume."""
        latest = self._read(self.path)
        if latest is not None:
            return Stored(*latest, older=False)
        before = self._read(self.previous)
        if before is None:
            return None
        logger.warning("%s cannot be read: the state before it is used, of step %d", self.path, before[0])
        return Stored(*before, older=True)

    def clear(self) -> None:
        """Remove the stored states once the training is finished."""
        self.path.unlink(missing_ok=True)
        self.previous.unlink(missing_ok=True)

    def exists(self) -> bool:
        """Whether a state is stored, readable or not."""
        return self.path.exists() or self.previous.exists()

    def marked(self, mark: Mark) -> Checkpoint:
        """The same checkpoint, whose files are written with `mark` and read only with it."""
        return replace(self, mark=mark)

    def part(self, name: str) -> Part:
        """Checkpoint of one of several successive trainings that share this file."""
        return Part(self.path, self.cell_hash, self.every, self.stop_requested, whole=self, name=name)

    def _read(self, path: Path) -> tuple[int, dict[str, NDArray[Any]]] | None:
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            mark = arrays.pop(_MARK, None)
            # Cell hash and step are still among the arrays, so the mark authenticates both as well.
            if self.mark is not None and not np.array_equal(mark, self.mark(arrays)):
                return None
            if str(arrays.pop(_CELL)) != self.cell_hash:
                return None
            return int(arrays.pop(_STEP)), arrays
        except Exception:
            # Damage raises errors of zipfile, zlib, NumPy or this code; each means the same to the caller.
            return None


@dataclass(frozen=True)
class Part(Checkpoint):
    """Checkpoint of the training `name` within the file of `whole`, which holds the other parts too.

    Each call of `keep` stores the state, whatever `every` says: while a later part trains, the file must
    hold the final states of the parts before it.
    """

    whole: Checkpoint = field(kw_only=True)
    name: str = field(kw_only=True)

    def keep(self, before: int, done: int, state: Callable[[], Arrays]) -> None:
        """Store the state after `done` steps.

        Raises:
            Interrupted: a stop is requested; the state is stored first.
        """
        self.save(done, state())
        if self.stop_requested():
            raise Interrupted(f"stop requested: state of {self.name} stored after step {done}")

    def save(self, step: int, arrays: Arrays) -> None:
        """Store the state after `step` steps; the states of the other parts stay as they are."""
        stored = self.whole.load()
        others = {} if stored is None else self._others(stored)
        named = {self._own(key): value for key, value in {**arrays, _STEP: np.array(step)}.items()}
        self.whole.save(step, {**others, **named})

    def marked(self, mark: Mark) -> Part:
        """The same part, whose file is written with `mark` and read only with it."""
        return replace(self, whole=self.whole.marked(mark))

    def load(self) -> Stored | None:
        """The latest readable state of this part, or None if there is none."""
        stored = self.whole.load()
        if stored is None or self._own(_STEP) not in stored.arrays:
            return None
        own = self._own("")
        arrays = {key.removeprefix(own): value for key, value in stored.arrays.items() if key.startswith(own)}
        older = stored.older or arrays.pop(_OLDER, None) is not None
        return Stored(int(arrays.pop(_STEP)), arrays, older)

    def _own(self, key: str) -> str:
        return f"{self.name}.{key}"

    def _others(self, stored: Stored) -> dict[str, NDArray[Any]]:
        """The arrays of the other parts, flagged if they come from the older file.

        Saving makes a new latest file, from which nobody could see that another part may have run further
        than its stored state. A resumed private training must count the steps beyond that state as lost.
        """
        found = {key: value for key, value in stored.arrays.items() if not key.startswith(self._own(""))}
        steps = [key for key in found if key.endswith(f".{_STEP}")] if stored.older else []
        return found | {key.removesuffix(_STEP) + _OLDER: np.array(True) for key in steps}
