"""One seed tree: every random stream is a named child of the study's root seed."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.identity import number_label

Stream = np.random.SeedSequence


def root_stream(seed: int) -> Stream:
    """The root of a study's seed tree."""
    return np.random.SeedSequence(seed)


def child(stream: Stream, *names: str | float) -> Stream:
    """The child of `stream` at the path `names`; independent of siblings and of the order of creation.

    Examples:
        >>> stream = child(root_stream(7), "detector", "cnn", 1)
        >>> generator(stream).random() == generator(child(root_stream(7), "detector", "cnn", 1.0)).random()
        True
    """
    # SeedSequence.spawn would number children in the order of creation. Hashes of names as spawn keys do not.
    key = list(stream.spawn_key)
    for name in names:
        key.extend(_words(name if isinstance(name, str) else number_label(name)))
    return np.random.SeedSequence(stream.entropy, spawn_key=tuple(key))


# The words of a study are few, and each of its runs has a stream.
@lru_cache(maxsize=4096)
def _words(label: str) -> tuple[int, ...]:
    """Four words of 32 bits of the label's SHA-256."""
    digest = hashlib.sha256(label.encode()).digest()
    return tuple(np.frombuffer(digest[:16], dtype="<u4").tolist())


def generator(stream: Stream) -> np.random.Generator:
    """NumPy generator that starts at `stream`."""
    # Not default_rng: a later NumPy may choose another bit generator for it.
    return np.random.Generator(np.random.PCG64(stream))


def stateless_seed(stream: Stream) -> NDArray[np.int32]:
    """The stream as a `(2,)` int32 seed for TensorFlow's stateless random operations."""
    return stream.generate_state(2, np.uint32).view(np.int32)


def integer_seed(stream: Stream) -> int:
    """The stream as one 32-bit integer, for libraries that take nothing better (scikit-learn)."""
    return int(stream.generate_state(1, np.uint32)[0])
