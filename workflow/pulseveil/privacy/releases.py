"""Key of a private training, from creation to destruction, and the names of its releases.

The key exists from the first noised step until the ledger is closed. Only then is the model written, so that
the noise of a released model can never be drawn again.

State of the files after a process was killed, and what the next start does:

    key        state       model  killed                              next start
    none, cut  none        no     before the first step               new key
    whole      none        no     before the first stored state       new key
    whole      its own     no     in the training                     resumes, see `privacy.resume`
    whole      the last    no     between the names of two states     resumes from the one before
    whole      unreadable  no     only if a disk fails                as above or, without any, new key
    zeros      any         no     while the key was destroyed         new key
    none       any         no     before the model was written        new key
    none       any         yes    before the state was removed        nothing to train; removes the state

Half-written files are removed, and a lock admits one process per run. A new key is safe in each of these
cases, because nothing of the run has been released: the new training is another release.
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
    """Give a private budget its source of noise; the key is destroyed when the block succeeds.

    Args:
        key_path: the file of the key; a training with a stored state of this key replays its noise.
        stream: the seeds of reproducible noise.

    Raises:
        InputError: the key cannot be stored or destroyed.

    Guarantee:
        Without a state that carries the mark of its key, the old key is destroyed and a new one drawn: no
        noise serves two trainings. If the block fails, the key stays for resumption; if it succeeds, the key
        is gone before the model can be written. Mode `reproducible` protects nobody.
    """
    if not budget.is_private:
        yield budget
    elif mode == "reproducible":
        yield replace(budget, noise=noise.reproducible(child(stream, "noise")))
    else:
        own = _of_stored_state(key_path, checkpoint)
        if own is None:
            # An old key may have noised steps that are in no state: they could not be counted.
            noise.destroy(key_path)
            own = noise.fresh(key_path)
        yield replace(budget, noise=own)
        # Not in a `finally`: a training that fails keeps its key, to resume with the same noise.
        noise.destroy(key_path)


def _of_stored_state(key_path: Path, checkpoint: Checkpoint | None) -> noise.Noise | None:
    """Noise of the key that marked a stored state; without one that fits, None, and the state is removed."""
    if checkpoint is None or not checkpoint.exists():
        return None
    try:
        own = noise.resume(key_path)
        if resume.marked(checkpoint, own).load() is not None:
            return own
        why = f"{checkpoint.path}: the state is damaged, or was not made with the key {key_path}"
    except InputError as error:
        why = str(error)
    # Nothing of this training was released: otherwise its model would exist, and no state would be read.
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
    """Entries of one training on the people of `fold`, each as JSON (m), with public `inputs`.

    Inputs are the run's keys, the fold and its people, the release, and hashes of the settings and, if the
    model itself leaves, of its `weights`.

    Guarantee:
        Inputs hold no function of private data but the hash of weights, which are noised. Names of people and
        folds are public: taking part is not hidden.
    """
    # The release is named by its key: with a hash of the training data, anybody could check a guess of them.
    public = {"people": list(fold.train_subjects), "settings": settings_hash(settings)}
    if weights is not None:
        public["weights"] = weights_hash(weights)
    inputs = {**journal_keys(keys, fold, budget), **public}
    return np.array([ledger.to_json(replace(entry, inputs=inputs)) for entry in entries], dtype=np.str_)


def journal_keys(keys: Mapping[str, Any], fold: Fold, budget: Budget) -> Mapping[str, Any]:
    """Journal entries of a training: its keys, its fold and, if it is private, its release."""
    release = {"release": release_name(budget)} if budget.is_private else {}
    return {**keys, "fold": fold.name, **release}


def release_name(budget: Budget) -> str:
    """Public name of a private release, derived from its key by HKDF, which does not reveal the key."""
    words = budget.noise_source().seeds("release", shape=(2,))
    return words.astype("<i4").tobytes().hex()


def settings_hash(values: Mapping[str, Any]) -> str:
    """Hash of public settings."""
    return identity.cell_hash(values)[:16]


def weights_hash(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of the arrays of a released model: names, types, shapes and values, as read from a file.

    Guarantee:
        A function of the released weights alone, and as protected as they are.
    """
    digest = sha256()
    for name in sorted(arrays):
        values = np.asarray(arrays[name])
        # The type of a text array holds a width, which a file need not give back: texts are hashed as a list.
        kind, content = values.dtype.str, values.tobytes()
        if values.dtype.kind == "U":
            kind, content = "text", json.dumps(values.tolist()).encode()
        # Names, types and lengths first: bytes cannot move from one array to the next unseen.
        digest.update(json.dumps([name, kind, values.shape, len(content)]).encode())
        digest.update(content)
    return digest.hexdigest()
