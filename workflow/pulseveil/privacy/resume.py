"""Where an interrupted private training goes on, and with which noise.

Lost steps are run again with the same noise only if nothing at all has changed since: two gradients under
equal noise give their difference away. Otherwise the lost steps stay spent, and fresh noise is drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseveil.privacy.mechanism import Mechanism
from pulseveil.privacy.noise import Noise

Arrays = Mapping[str, NDArray[Any]]
_SEAL, _LOST, _ATTEMPT = "__seal__", "__lost__", "__attempt__"


@dataclass(frozen=True)
class Progress:
    """Steps that are in the state, steps that were spent for nothing, and whose noise comes next.

    `attempt` rises with each resume that draws fresh noise.
    """

    done: int = 0
    lost: int = 0
    attempt: int = 0

    @property
    def spent(self) -> int:
        """All steps that were noised."""
        return self.done + self.lost


def sealed(state: Arrays, progress: Progress, fingerprint: str, noise: Noise) -> dict[str, NDArray[Any]]:
    """What a checkpoint keeps of a state: the arrays, and a seal that only the training's key can make."""
    kept = {**state, _LOST: np.array(progress.lost), _ATTEMPT: np.array(progress.attempt)}
    return {**kept, _SEAL: _seal(kept, progress.done, fingerprint, noise)}


def opened(
    stored: tuple[int, Arrays] | None, mechanism: Mechanism, fingerprint: str, noise: Noise, *, at_risk: int
) -> tuple[Progress, dict[str, NDArray[Any]] | None]:
    """Where to go on from what a checkpoint holds, with the state's arrays; the beginning where it is None.

    stored: steps done and the arrays of `sealed`. at_risk: the most steps that can have run after a state was
    stored. A seal that does not fit (other data, settings, program, device or state) counts them as lost.
    """
    if stored is None:
        return Progress(), None
    done, kept = stored
    state = {name: value for name, value in kept.items() if name not in (_SEAL, _LOST, _ATTEMPT)}
    progress = Progress(done, int(kept[_LOST]), int(kept[_ATTEMPT]))
    unsealed = {name: value for name, value in kept.items() if name != _SEAL}
    if np.array_equal(kept[_SEAL], _seal(unsealed, done, fingerprint, noise)):
        return progress, state
    lost = min(progress.lost + at_risk, mechanism.steps - done)
    return Progress(done, lost, progress.attempt + 1), state


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
