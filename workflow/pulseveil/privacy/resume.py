"""Where an interrupted private training goes on, and with which noise.

Lost steps are run again with the same noise only if nothing at all has changed since: two gradients under
equal noise give their difference away. Otherwise the lost steps stay spent, and fresh noise is drawn.

Stored states are believed only with a mark of the training's key: one that was changed, or made with another
key, is none. A training without a state to go on from starts again, and must have a new key for that.

Equal programs round alike on equal devices only, so the device is part of what must not have changed.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.core.checkpoints import Checkpoint, Part
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.ledger import package_versions
from pulseveil.privacy.noise import Noise

logger = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]
State = TypeVar("State")
Advance = Callable[[State, int, int], State]
"""`(state, first, last) -> state` after the steps first..last-1."""

BLOCK_STEPS = 50
"""Steps between two stored states: as many can get lost at most."""

_SEAL, _LOST, _ATTEMPT = "__seal__", "__lost__", "__attempt__"


@dataclass(frozen=True)
class Progress:
    """Steps that are in the state, steps that were spent for nothing, and whose noise comes next.

    `attempt` is another one after each resume that draws fresh noise. Raises ValueError for negative numbers.
    """

    done: int = 0
    lost: int = 0
    attempt: int = 0

    def __post_init__(self) -> None:
        if min(self.done, self.lost, self.attempt) < 0:
            raise ValueError(f"no training has {self.done} steps done, {self.lost} lost, in {self.attempt}")

    @property
    def spent(self) -> int:
        """All steps that were noised."""
        return self.done + self.lost


@dataclass(frozen=True)
class Course(Generic[State]):
    """What a private training does with its state.

    restored: the state that named arrays hold; arrays: those of a state. begin: how to advance with the noise
    of an attempt.
    """

    first: State
    restored: Callable[[Arrays], State]
    arrays: Callable[[State], Arrays]
    begin: Callable[[int], Advance[State]]


@dataclass(frozen=True)
class Resumable:
    """What decides whether an interrupted training may replay its noise, and where its state is kept."""

    mechanism: Mechanism
    fingerprint: str
    noise: Noise
    checkpoint: Checkpoint | None

    def train(self, course: Course[State]) -> tuple[State, int]:
        """The state after the mechanism's steps, and how many of those were lost on the way.

        The state is stored after each block of steps. Raises Interrupted once a stop is requested.
        """
        checkpoint = None if self.checkpoint is None else marked(self.checkpoint, self.noise)
        state, (progress, kept) = course.first, self._opened(checkpoint)
        if kept is not None:
            state = course.restored(kept)
            logger.info("continue after private step %d", progress.done)
        # Parts before it keep the key: without this state, steps before the next could be lost uncounted.
        if checkpoint is not None and (kept is not None or isinstance(checkpoint, Part)):
            checkpoint.save(progress.done, self._sealed(progress, course, state))
        advance = course.begin(progress.attempt)
        while progress.spent < self.mechanism.steps:
            first = progress.done
            block_end = (first // BLOCK_STEPS + 1) * BLOCK_STEPS
            last = min(block_end, self.mechanism.steps - progress.lost)
            state = advance(state, first, last)
            progress = replace(progress, done=last)
            if checkpoint is not None:
                each_block = replace(checkpoint, every=BLOCK_STEPS)
                each_block.keep(first, last, partial(self._sealed, progress, course, state))
        return state, progress.lost

    def _opened(self, checkpoint: Checkpoint | None) -> tuple[Progress, dict[str, NDArray[Any]] | None]:
        stored = checkpoint.load() if checkpoint is not None else None
        if stored is None:
            return Progress(), None
        # Where the latest state is damaged, so much more may have run since the one before it.
        at_risk = BLOCK_STEPS * (2 if stored.older else 1)
        return opened(
            (stored.step, stored.arrays), self.mechanism, self.fingerprint, self.noise, at_risk=at_risk
        )

    def _sealed(self, progress: Progress, course: Course[State], state: State) -> Arrays:
        return sealed(course.arrays(state), progress, self.fingerprint, self.noise)


def marked(checkpoint: Checkpoint, noise: Noise) -> Checkpoint:
    """The checkpoint, whose files nobody can make or change without the key of `noise`."""

    def mark(arrays: Arrays) -> NDArray[np.int32]:
        names = sorted(arrays)
        content = digest(names, [np.asarray(arrays[name]) for name in names])
        return noise.seeds("checkpoint file", content, shape=(4,))

    return checkpoint.marked(mark)


def sealed(state: Arrays, progress: Progress, fingerprint: str, noise: Noise) -> dict[str, NDArray[Any]]:
    """What a checkpoint keeps of a state: the arrays, and a seal that only the training's key can make."""
    kept = {**state, _LOST: np.array(progress.lost), _ATTEMPT: np.array(progress.attempt)}
    return {**kept, _SEAL: _seal(kept, progress.done, fingerprint, noise)}


def opened(
    stored: tuple[int, Arrays], mechanism: Mechanism, fingerprint: str, noise: Noise, *, at_risk: int
) -> tuple[Progress, dict[str, NDArray[Any]]]:
    """Where to go on from what a checkpoint holds, with the state's arrays.

    stored: steps done and the arrays of `sealed`. at_risk: the most steps that can have run after a state was
    stored. A seal that does not fit (other data, settings, program, device or state) counts them as lost.
    Raises ValueError for more steps than the mechanism has.
    """
    done, kept = stored
    state = {name: value for name, value in kept.items() if name not in (_SEAL, _LOST, _ATTEMPT)}
    progress = Progress(done, int(kept[_LOST]), int(kept[_ATTEMPT]))
    if progress.spent > mechanism.steps:
        raise ValueError(f"{progress.spent} steps are spent of the {mechanism.steps} of {mechanism.name}")
    unsealed = {name: value for name, value in kept.items() if name != _SEAL}
    if np.array_equal(kept[_SEAL], _seal(unsealed, done, fingerprint, noise)):
        return progress, state
    lost = min(progress.lost + at_risk, mechanism.steps - done)
    # Counted up, an attempt could come twice: from a state that was put back after a later one had begun.
    attempt = secrets.randbits(62) if noise.secret else progress.attempt + 1
    return Progress(done, lost, attempt), state


def digest(public: Sequence[Any], arrays: Sequence[NDArray[Any]]) -> str:
    """A hash of values and arrays; as secret as they are."""
    hashed = hashlib.sha256(repr(public).encode())
    for values in arrays:
        hashed.update(repr((values.shape, values.dtype.str)).encode())
        hashed.update(np.ascontiguousarray(values).tobytes())
    return hashed.hexdigest()


def _seal(kept: Arrays, done: int, fingerprint: str, noise: Noise) -> NDArray[np.int32]:
    names = sorted(kept)
    of_state = digest((done, names), [kept[name] for name in names])
    return noise.seeds("checkpoint", fingerprint, of_state, shape=(4,))


_CPU_FILE = Path("/proc/cpuinfo")


def describe_device() -> tuple[str, ...]:
    """Processor, accelerators, threads and versions of the libraries that take part."""
    names = [f"{name} {version}" for name, version in package_versions().items()]
    accelerators = [
        str(tf.config.experimental.get_device_details(device).get("device_name", device.name))
        for device in tf.config.list_physical_devices("GPU")
    ]
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return (_processor(), *accelerators, f"{threads} threads", *names)


def _processor() -> str:
    """Its model where the system tells it, else its architecture."""
    if _CPU_FILE.exists():
        for line in _CPU_FILE.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
