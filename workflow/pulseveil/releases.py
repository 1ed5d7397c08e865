"""The life of a private training's key, and the names of its releases.

The key lives from the first noised step until the ledger is closed. Only then is the model written, so that
what is released can never be met again by the key that made it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseveil import provenance
from pulseveil.privacy import ledger, noise
from pulseveil.privacy.budget import Budget, NoiseMode
from pulseveil.protocols import Fold
from pulseveil.randomness import Stream, child


@contextmanager
def with_noise(
    budget: Budget, mode: NoiseMode, key_path: Path, stream: Stream, *, resumes: bool = False
) -> Iterator[Budget]:
    """`budget` with its source of noise, if it is private; the key is destroyed when the block succeeds.

    A training that `resumes` from a checkpoint replays the noise of its key; any other draws a new one.
    """
    if not budget.is_private:
        yield budget
    elif mode == "reproducible":
        yield replace(budget, noise=noise.reproducible(child(stream, "noise")))
    else:
        if not resumes:
            noise.destroy(key_path)
        yield replace(budget, noise=noise.resume(key_path) if resumes else noise.fresh(key_path))
        noise.destroy(key_path)


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
    return provenance.cell_hash(values)[:16]


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
