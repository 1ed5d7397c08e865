"""The life of a private training's key, and the names of its releases.

The key lives from the first noised step until the ledger is closed. Only then is the model written, so that
what is released can never be met again by the key that made it.

What a process that is killed leaves behind, and what the next start makes of it:

    key        state       model  killed                              next start
    none, cut  none        no     before the first step               new key
    whole      none        no     before the first stored state       new key
    whole      its own     no     in the training                     goes on, see `privacy.resume`
    whole      the last    no     between the names of two states     goes on from the one before
    whole      unreadable  no     never, but by a disk that fails     as above or, without any, new key
    zeros      any         no     while the key was destroyed         new key
    none       any         no     before the model was written        new key
    none       any         yes    before the state was removed        nothing to train; removes the state

Half-written files are removed, and a lock lets one process train a run. A new key makes another release of a
run of which nothing has left.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseveil.core import identity
from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import Stream, child
from pulseveil.evaluation.protocols import Fold
from pulseveil.privacy import ledger, noise, resume
from pulseveil.privacy.budget import Budget, NoiseMode

logger = logging.getLogger(__name__)


@contextmanager
def with_noise(
    budget: Budget,
    mode: NoiseMode,
    key_path: Path,
    stream: Stream,
    checkpoint: Checkpoint | None = None,
) -> Iterator[Budget]:
    """`budget` with its source of noise, if it is private; the key is destroyed when the block succeeds.

    A training with a stored state of its own key replays that key's noise; any other draws a new one.
    """
    if not budget.is_private:
        yield budget
    elif mode == "reproducible":
        yield replace(budget, noise=noise.reproducible(child(stream, "noise")))
    else:
        own = _of_stored_state(key_path, checkpoint)
        if own is None:
            noise.destroy(key_path)
            own = noise.fresh(key_path)
        yield replace(budget, noise=own)
        noise.destroy(key_path)


def _of_stored_state(key_path: Path, checkpoint: Checkpoint | None) -> noise.Noise | None:
    """The noise that a stored state was made with; None, and no state, where it cannot be told."""
    if checkpoint is None or not checkpoint.exists():
        return None
    try:
        own = noise.resume(key_path)
        if resume.marked(checkpoint, own).load() is not None:
            return own
        why = f"{checkpoint.path}: damaged, or not made with the key {key_path}"
    except InputError as error:
        why = str(error)
    # Nothing of it has left: the model would be there, and the state is not used.
    logger.warning("%s; the training starts again with a new key, as another release", why)
    checkpoint.clear()
    return None


def closed_ledger(
    entries: Sequence[ledger.Entry],
    budget: Budget,
    keys: Mapping[str, Any],
    fold: Fold,
    settings: Mapping[str, Any],
    weights: Mapping[str, NDArray[Any]] | None = None,
) -> NDArray[np.str_]:
    """The entries of one training on the people of `fold`, each as JSON (m).

    Their `inputs` are public: run keys, fold, its people, and hashes of the settings and, where the model
    itself leaves, of its `weights`. The release is named by its key, since a hash of the training data would
    let anybody check a guess of them.
    """
    public = {"people": list(fold.train_subjects), "settings": settings_hash(settings)}
    if weights is not None:
        public["weights"] = weights_hash(weights)
    inputs = {**journal_keys(keys, fold, budget), **public}
    return np.array([ledger.to_json(replace(entry, inputs=inputs)) for entry in entries], dtype=np.str_)


def journal_keys(keys: Mapping[str, Any], fold: Fold, budget: Budget) -> Mapping[str, Any]:
    """What the journal says of a training: its keys, its fold and, if it is private, its release."""
    release = {"release": release_name(budget)} if budget.is_private else {}
    return {**keys, "fold": fold.name, **release}


def release_name(budget: Budget) -> str:
    """A public name of a private release, derived from its key and telling nothing of it."""
    words = budget.noise_source().seeds("release", shape=(2,))
    return words.astype("<i4").tobytes().hex()


def settings_hash(values: Mapping[str, Any]) -> str:
    """A hash of public settings."""
    return identity.cell_hash(values)[:16]


def weights_hash(arrays: Mapping[str, NDArray[Any]]) -> str:
    """sha256 of the arrays of a released model, by name: types, shapes and values, as a file gives them back.

    A function of what was noised already: it may leave with it.
    """
    digest = sha256()
    for name in sorted(arrays):
        values = np.asarray(arrays[name])
        # Texts are as wide as the longest one of their array.
        kind, content = values.dtype.str, values.tobytes()
        if values.dtype.kind == "U":
            kind, content = "text", json.dumps(values.tolist()).encode()
        digest.update(json.dumps([name, kind, values.shape, len(content)]).encode())
        digest.update(content)
    return digest.hexdigest()
