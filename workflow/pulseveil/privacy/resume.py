"""Resumption of interrupted private trainings: from which state, and with which noise.

Lost steps are run again with the same noise only if nothing has changed: the difference of two gradients
under equal noise has no noise. Otherwise the lost steps count as spent, and fresh noise is drawn.

A stored state is used only with a mark of the training's key: a changed one, or one of another key, is
ignored. A training without a state starts again, and must have a new key.

Equal programs round alike on equal devices only, so that the device must be the same, too.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.arrays import Arrays
from pulseveil.core.checkpoints import Checkpoint, Part
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.ledger import package_versions
from pulseveil.privacy.noise import Noise

logger = logging.getLogger(__name__)

State = TypeVar("State")
Advance = Callable[[State, int, int], State]
"""`(state, first, last) -> state` after the steps first..last-1."""

BLOCK_STEPS = 50
"""Steps between two stored states: an interruption loses no more, unless the latest state is damaged."""

_SEAL, _LOST, _ATTEMPT = "__seal__", "__lost__", "__attempt__"


@dataclass(frozen=True)
class Progress:
    """Steps in the state, steps that were noised and lost, and the attempt whose noise comes next.

    `attempt` changes with each resumption that draws fresh noise.

    Raises:
        ValueError: a number is negative.
    """

    done: int = 0
    lost: int = 0
    attempt: int = 0

    def __post_init__(self) -> None:
        if min(self.done, self.lost, self.attempt) < 0:
            raise ValueError(f"expected numbers from 0, found {self}")

    @property
    def spent(self) -> int:
        """Number of all noised steps, lost ones included."""
        return self.done + self.lost


@dataclass(frozen=True)
class Course(Generic[State]):
    """Steps of a private training: first state, conversion from and to arrays, and `begin`.

    begin: from an attempt to the function that advances a state with the noise of that attempt.
    """

    first: State
    restored: Callable[[Arrays], State]
    arrays: Callable[[State], Arrays]
    begin: Callable[[int], Advance[State]]


@dataclass(frozen=True)
class Resumable:
    """Private training that can be interrupted: its mechanism, fingerprint, noise and checkpoint."""

    mechanism: Mechanism
    fingerprint: str
    noise: Noise
    checkpoint: Checkpoint | None

    def train(self, course: Course[State]) -> tuple[State, int]:
        """Train until the mechanism's steps are spent, storing the state after each block of steps.

        Returns:
            The last state, and the number of lost steps.

        Raises:
            Interrupted: a stop was requested; the state is stored.

        Guarantee:
            All noised steps of this key count, lost ones included, and are at most the mechanism's: epsilon
            does not rise by interruptions. A step is replayed only under an equal fingerprint, so that equal
            noise never falls on different sums. It assumes that nobody else has the key, and that equal
            programs on one device give equal bits.
        """
        checkpoint = None if self.checkpoint is None else marked(self.checkpoint, self.noise)
        state, (progress, kept) = course.first, self._opened(checkpoint)
        if kept is not None:
            state = course.restored(kept)
            logger.info("continue after private step %d", progress.done)
        # Stored before any new step: a second crash must find this attempt, to count what was noised in it. A
        # part has its key from parts before it, and stores even its first state.
        if checkpoint is not None and (kept is not None or isinstance(checkpoint, Part)):
            checkpoint.save(progress.done, self._sealed(progress, course, state))
        advance = course.begin(progress.attempt)
        while progress.spent < self.mechanism.steps:
            first = progress.done
            block_end = (first // BLOCK_STEPS + 1) * BLOCK_STEPS
            # Lost steps are spent: the training ends with fewer steps in the state, and not over budget.
            last = min(block_end, self.mechanism.steps - progress.lost)
            state = advance(state, first, last)
            progress = replace(progress, done=last)
            if checkpoint is not None:
                # After each block, whatever the study's own interval is: `at_risk` counts on it.
                each_block = replace(checkpoint, every=BLOCK_STEPS)
                each_block.keep(first, last, partial(self._sealed, progress, course, state))
        return state, progress.lost

    def _opened(self, checkpoint: Checkpoint | None) -> tuple[Progress, dict[str, NDArray[Any]] | None]:
        """Progress and arrays of the stored state; a new progress and None without one."""
        stored = checkpoint.load() if checkpoint is not None else None
        if stored is None:
            return Progress(), None
        # If the latest state is damaged, two blocks may have run since the one before it.
        at_risk = BLOCK_STEPS * (2 if stored.older else 1)
        return opened(
            (stored.step, stored.arrays), self.mechanism, self.fingerprint, self.noise, at_risk=at_risk
        )

    def _sealed(self, progress: Progress, course: Course[State], state: State) -> Arrays:
        return sealed(course.arrays(state), progress, self.fingerprint, self.noise)


def marked(checkpoint: Checkpoint, noise: Noise) -> Checkpoint:
    """Authenticate a checkpoint: its files cannot be made or changed without the key of `noise`."""

    def mark(arrays: Arrays) -> NDArray[np.int32]:
        names = sorted(arrays)
        content = digest(names, [np.asarray(arrays[name]) for name in names])
        return noise.seeds("checkpoint file", content, shape=(4,))

    return checkpoint.marked(mark)


def sealed(state: Arrays, progress: Progress, fingerprint: str, noise: Noise) -> dict[str, NDArray[Any]]:
    """Arrays of a checkpoint: a state, its progress, and a seal that only the training's key can make."""
    # The seal covers the fingerprint, and the mark of `marked` does not: a state whose data or device changed
    # is still believed, and its lost steps are counted.
    # Lost steps and attempt are sealed, too: with fewer lost steps a training would exceed its budget.
    kept = {**state, _LOST: np.array(progress.lost), _ATTEMPT: np.array(progress.attempt)}
    return {**kept, _SEAL: _seal(kept, progress.done, fingerprint, noise)}


def opened(
    stored: tuple[int, Arrays], mechanism: Mechanism, fingerprint: str, noise: Noise, *, at_risk: int
) -> tuple[Progress, dict[str, NDArray[Any]]]:
    """Progress and arrays of a stored state; after any change, with lost steps and fresh noise.

    Args:
        stored: number of steps done, and the arrays of `sealed`.
        at_risk: the most steps that can have run after the state was stored.

    Raises:
        ValueError: more steps are spent than the mechanism has.

    Guarantee:
        The attempt, and with it the noise, stays the same only if the seal fits: equal data, settings,
        program, device, key and state. Otherwise all steps that may have run are counted as lost.
    """
    done, kept = stored
    state = {name: value for name, value in kept.items() if name not in (_SEAL, _LOST, _ATTEMPT)}
    progress = Progress(done, int(kept[_LOST]), int(kept[_ATTEMPT]))
    if progress.spent > mechanism.steps:
        raise ValueError(
            f"mechanism {mechanism.name}: {progress.spent} steps are spent, more than its {mechanism.steps}"
        )
    unsealed = {name: value for name, value in kept.items() if name != _SEAL}
    if np.array_equal(kept[_SEAL], _seal(unsealed, done, fingerprint, noise)):
        return progress, state
    lost = min(progress.lost + at_risk, mechanism.steps - done)
    # A counter could give the same attempt twice, if an older file is put back after a later attempt began.
    attempt = secrets.randbits(62) if noise.secret else progress.attempt + 1
    return Progress(done, lost, attempt), state


def digest(public: Sequence[Any], arrays: Sequence[NDArray[Any]]) -> str:
    """Hash (hex) of values and arrays; as secret as they are."""
    # The text of a float reads back as the same float: no rounding hides a change of settings.
    hashed = hashlib.sha256(repr(public).encode())
    for values in arrays:
        hashed.update(repr((values.shape, values.dtype.str)).encode())
        hashed.update(np.ascontiguousarray(values).tobytes())
    return hashed.hexdigest()


def _seal(kept: Arrays, done: int, fingerprint: str, noise: Noise) -> NDArray[np.int32]:
    """Message authentication code (4, 2) of a state and a fingerprint, by the key of `noise`."""
    names = sorted(kept)
    of_state = digest((done, names), [kept[name] for name in names])
    return noise.seeds("checkpoint", fingerprint, of_state, shape=(4,))


_CPU_FILE = Path("/proc/cpuinfo")


def describe_device() -> tuple[str, ...]:
    """Names of processor and accelerators, number of threads, and versions of packages that take part."""
    # Jobs of small models import this module, too, and must not wait for TensorFlow. Their ledgers would also
    # name it among the packages that took part.
    import tensorflow as tf

    names = [f"{name} {version}" for name, version in package_versions().items()]
    accelerators = [
        str(tf.config.experimental.get_device_details(device).get("device_name", device.name))
        for device in tf.config.list_physical_devices("GPU")
    ]
    # Threads change the order of sums, and so their rounding.
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return (_processor(), *accelerators, f"{threads} threads", *names)


def _processor() -> str:
    """Processor model if the system names it, otherwise the architecture."""
    if _CPU_FILE.exists():
        for line in _CPU_FILE.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
