"""Copies of a recording: the same signal under two names would lie on both sides of a fold.

Short pieces of a signal, chosen by their content and not by their place, are known by a hash of their rounded
samples. A copy that is shifted in time, or cut at its ends, still has the same pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import Recording
from pulseveil.core.errors import InputError

# Signals that two people never share for the length of a piece: samples of a piece, and the mean number of
# samples between two chosen pieces. About one piece in 8 s.
_PIECES = {"BVP": (128, 512), "EDA": (64, 32)}
# A piece with fewer different samples is flat or periodic and could occur twice.
_LEAST_DIFFERENT = 24
# Number of equal pieces that make a copy.
_LEAST_EQUAL = 3
# Bits of a sample that count, so that another rounding in the last place changes no piece.
_BITS = 20
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def without_copies(recordings: Iterable[Recording]) -> Iterator[Recording]:
    """The recordings unchanged.

    Raises:
        InputError: a signal of a recording is also in another recording, of the same or another person.
    """
    owners: dict[tuple[str, int], tuple[int, str]] = {}
    for number, recording in enumerate(recordings):
        for channel in _PIECES:
            equal: dict[tuple[int, str], int] = {}
            own = pieces(channel, recording.signals[channel].values).tolist()
            for piece in own:
                owner = owners.setdefault((channel, piece), (number, recording.subject))
                if owner[0] != number:
                    equal[owner] = equal.get(owner, 0) + 1
            for (_, other), count in equal.items():
                if count >= _LEAST_EQUAL:
                    raise InputError(_message(channel, other, recording.subject))
        yield recording


def pieces(channel: str, values: Floats) -> NDArray[np.uint64]:
    """Hashes (m,) of the chosen pieces of a signal (n,), each once."""
    length, spacing = _PIECES[channel]
    if len(values) < length:
        return np.zeros(0, np.uint64)
    mantissa, exponent = np.frexp(values)
    samples = np.rint(mantissa * 2**_BITS).astype(np.int64) * 4096 + exponent
    # A sum of mixed samples, weighted by powers of an odd number: one product per place in a piece.
    mixed = _mix(samples.astype(np.uint64))
    hashes = np.zeros(len(values) - length + 1, np.uint64)
    for place in range(length):
        hashes = hashes * _FACTOR + mixed[place : place + len(hashes)]
    hashes = _mix(hashes)
    chosen = np.flatnonzero(hashes % np.uint64(spacing) == 0)
    rows = samples[chosen[:, None] + np.arange(length)]
    different = 1 + np.count_nonzero(np.diff(np.sort(rows, axis=1), axis=1), axis=1)
    return np.unique(hashes[chosen[different >= _LEAST_DIFFERENT]])


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Bits of each number spread over all 64 places (splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _message(channel: str, one: str, other: str) -> str:
    if one == other:
        return f"{one}: {channel} of one recording is also in another one; keep one of them"
    return (
        f"{one} and {other}: {channel} of one is in the other too (a copy, or one person with two names), so "
        "that a person would be on both sides of a fold; remove one of them, or merge their labels"
    )
