"""Resumable trainings: the latest whole state of a training, the one before it, and nothing else."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.atomic import atomic_path
from pulseveil.core.errors import Interrupted, StopRequested, never_requested

logger = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]
Mark = Callable[[Arrays], NDArray[Any]]
"""What a file is known by: a value of its arrays that nobody else can make."""

_CELL, _MARK, _STEP, _OLDER = "__cell__", "__mark__", "__step__", "__older__"


class Stored(NamedTuple):
    """A training's state after `step` steps; `older`: a later one was stored and cannot be read."""

    step: int
    arrays: dict[str, NDArray[Any]]
    older: bool


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds a training's state every `every` steps; `cell_hash` keeps other trainings away.

    The state before it is kept beside it, for the case that the file is damaged. Files of another cell are
    ignored: the training starts over. `stop_requested` says whether the job must end. Where there is a
    `mark`, files without it are damaged ones.
    """

    path: Path
    cell_hash: str
    every: int
    stop_requested: StopRequested = never_requested
    mark: Mark | None = None

    @property
    def previous(self) -> Path:
        """Where the state before the latest one lies."""
        return self.path.with_name(f"{self.path.name}.previous")

    def keep(self, before: int, done: int, state: Callable[[], Arrays]) -> None:
        """Store the state after `done` steps where a multiple of `every` lies between `before` and it.

        Raises Interrupted, with the state stored, once a stop is requested.
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
            if self.path.exists():
                os.replace(self.path, self.previous)

    def load(self) -> Stored | None:
        """The latest state that can be read, or None where there is nothing to resume."""
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
        """Whether there is a stored state, readable or not."""
        return self.path.exists() or self.previous.exists()

    def marked(self, mark: Mark) -> Checkpoint:
        """The same files, written with a mark, and read only with it."""
        return replace(self, mark=mark)

    def part(self, name: str) -> Part:
        """The checkpoint of one of several trainings that follow each other and share this file."""
        return Part(self.path, self.cell_hash, self.every, self.stop_requested, whole=self, name=name)

    def _read(self, path: Path) -> tuple[int, dict[str, NDArray[Any]]] | None:
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            mark = arrays.pop(_MARK, None)
            if self.mark is not None and not np.array_equal(mark, self.mark(arrays)):
                return None
            if str(arrays.pop(_CELL)) != self.cell_hash:
                return None
            return int(arrays.pop(_STEP)), arrays
        except Exception:
            # A damaged file fails in as many ways as the formats inside it have fields.
            return None


@dataclass(frozen=True)
class Part(Checkpoint):
    """The state of the training `name`, in the file of the checkpoint `whole` beside those of other parts.

    Each call of `keep` stores the state, so that the file holds the end of a part while a later one trains.
    """

    whole: Checkpoint = field(kw_only=True)
    name: str = field(kw_only=True)

    def keep(self, before: int, done: int, state: Callable[[], Arrays]) -> None:
        """Store the state after `done` steps; raises Interrupted once a stop is requested."""
        self.save(done, state())
        if self.stop_requested():
            raise Interrupted(f"stop requested: state of {self.name} stored after step {done}")

    def save(self, step: int, arrays: Arrays) -> None:
        """Store the state after `step` steps; those of the other parts stay as they are."""
        stored = self.whole.load()
        others = {} if stored is None else self._others(stored)
        named = {self._own(key): value for key, value in {**arrays, _STEP: np.array(step)}.items()}
        self.whole.save(step, {**others, **named})

    def marked(self, mark: Mark) -> Part:
        """The same part of a file that is written with a mark, and read only with it."""
        return replace(self, whole=self.whole.marked(mark))

    def load(self) -> Stored | None:
        """The latest state of this part that can be read, or None where there is none."""
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
        """The arrays of other parts; they stay older ones though the file that held later ones is gone."""
        found = {key: value for key, value in stored.arrays.items() if not key.startswith(self._own(""))}
        steps = [key for key in found if key.endswith(f".{_STEP}")] if stored.older else []
        return found | {key.removesuffix(_STEP) + _OLDER: np.array(True) for key in steps}
