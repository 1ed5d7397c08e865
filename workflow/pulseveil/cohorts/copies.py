"""Copies of a recording: the same signal under two names would lie on both sides of a fold.

Short pieces of a signal, chosen by their content and not by their place, are known by a hash of their rounded
samples. A copy that is shifted in time, or cut at its ends, still has the same pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import Recording
from pulseveil.core.errors import InputError

# Hashes of the chosen pieces of each person, by channel.
Pieces = Mapping[str, Mapping[str, Sequence[int]]]

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


class Seen:
    """Pieces of the recordings of a cohort that were read so far, and of people of other cohorts.

    others: pieces of the people of cohorts that were read before, by cohort. same_person: for each person of
    this cohort, the names (COHORT/NAME) under which other cohorts may hold the same recording.
    """

    def __init__(
        self,
        others: Mapping[str, Pieces] | None = None,
        same_person: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._same = same_person or {}
        self._read = 0
        self._own: dict[str, dict[str, list[int]]] = {}
        # The first owner of a piece: number of its recording (-1: in another cohort) and its person.
        self._owners: dict[tuple[str, int], tuple[int, str]] = {}
        for cohort, people in (others or {}).items():
            for person, channels in people.items():
                for channel, found in channels.items():
                    for piece in found:
                        self._owners.setdefault((channel, piece), (-1, f"{cohort}/{person}"))

    @property
    def pieces(self) -> Pieces:
        """The pieces of this cohort's people."""
        return self._own

    def add(self, recording: Recording) -> None:
        """Remember a recording.

        Raises:
            InputError: one of its signals is also in another recording, of the same or another person.
        """
        number, self._read = self._read, self._read + 1
        own_channels = self._own.setdefault(recording.subject, {})
        for channel in _PIECES:
            equal: dict[tuple[int, str], int] = {}
            own = pieces(channel, recording.signals[channel].values).tolist()
            for piece in own:
                owner = self._owners.setdefault((channel, piece), (number, recording.subject))
                if owner[0] != number and owner[1] not in self._same.get(recording.subject, ()):
                    equal[owner] = equal.get(owner, 0) + 1
            for (before, other), count in equal.items():
                if count >= _LEAST_EQUAL:
                    raise InputError(_message(channel, other, recording.subject, elsewhere=before < 0))
            own_channels[channel] = [*own_channels.get(channel, ()), *own]


def without_copies(recordings: Iterable[Recording], seen: Seen | None = None) -> Iterator[Recording]:
    """The recordings unchanged, each added to `seen`.

    Raises:
        InputError: a signal of a recording is also in another recording, of the same or another person.
    """
    seen = Seen() if seen is None else seen
    for recording in recordings:
        seen.add(recording)
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


def _message(channel: str, one: str, other: str, *, elsewhere: bool) -> str:
    if one == other:
        return f"{one}: {channel} of one recording is also in another one; keep one of them"
    cure = (
        "or state in the key same_person of the study that they are one person"
        if elsewhere
        else "or merge their labels"
    )
    return (
        f"{one} and {other}: {channel} of one is in the other too (a copy, or one person with two names), so "
        f"that a person would be on both sides of a fold; remove one of them, {cure}"
    )
