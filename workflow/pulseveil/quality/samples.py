"""What is compared: equally many windows of both sides, and real halves, which give the floors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.contracts import subject_order
from pulseveil.core.randomness import Stream, child, generator

# Enough for stable values; distances between all pairs of rows stay cheap.
MOST_ROWS = 500
# One division of few people into halves says little: it depends on who is in which.
HALVINGS = 5


class Sample(NamedTuple):
    """Windows (n, time, channels) float32, whether each is stress (n), and whose each is (n)."""

    windows: NDArray[np.float32]
    stress: NDArray[np.bool_]
    subject: NDArray[np.str_]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Sample:
        """The sample restricted to `rows` (mask or indices)."""
        return Sample(self.windows[rows], self.stress[rows], self.subject[rows])


class Pair(NamedTuple):
    """Real windows, and the windows that are compared with them: synthetic ones, or those of other people."""

    real: Sample
    other: Sample


class Comparisons(NamedTuple):
    """`synthetic`: training windows against synthetic ones; `floors`: halves of the people against the rest.

    `held_out`: training windows against those of people that the generator never saw, as many as there are.
    There is no floor for a single person, and None where nobody was held out.
    """

    synthetic: Pair
    floors: tuple[Pair, ...]
    held_out: Pair | None


def compare(training: Sample, synthetic: Sample, held_out: Sample | None, stream: Stream) -> Comparisons:
    """Draw the windows to compare: of each class equally many in all samples, `MOST_ROWS` at most.

    The share of stress among synthetic windows is chosen by who samples them, so it is not compared. Measures
    that depend on the number of windows do so alike in value and floor. A half has fewer people than the
    whole, so that chance makes halves differ more: floors err to the side of generators.
    """
    halvings = list(_halvings(training, stream))
    counts = class_counts(training, synthetic, *(half for halving in halvings for half in halving))
    real = draw(training, counts, child(stream, "real"))
    generated = draw(synthetic, counts, child(stream, "synthetic"))
    floors = [
        Pair(*(draw(half, counts, child(stream, "half", i, j)) for j, half in enumerate(halving)))
        for i, halving in enumerate(halvings)
    ]
    return Comparisons(Pair(real, generated), tuple(floors), held_out and Pair(real, held_out))


def class_counts(*samples: Sample) -> tuple[int, int]:
    """How many windows (not stress, stress) all samples can give, scaled down to `MOST_ROWS` together."""
    counts = [min(int(np.sum(sample.stress == stress)) for sample in samples) for stress in (False, True)]
    scale = min(1.0, MOST_ROWS / max(1, sum(counts)))
    return int(counts[0] * scale), int(counts[1] * scale)


def draw(sample: Sample, counts: tuple[int, int], stream: Stream) -> Sample:
    """`counts` (not stress, stress) windows at random, in the order of the sample."""
    rng = generator(stream)
    chosen = [
        rng.permutation(np.flatnonzero(sample.stress == stress))[:count]
        for stress, count in zip((False, True), counts, strict=True)
    ]
    return sample.take(np.sort(np.concatenate(chosen)))


def _halvings(training: Sample, stream: Stream) -> Iterator[tuple[Sample, Sample]]:
    """The windows of a random half of the people and of the others, `HALVINGS` times; none for one person."""
    names = sorted(set(training.subject.tolist()), key=subject_order)
    rng = generator(child(stream, "halves"))
    for _ in range(HALVINGS if len(names) > 1 else 0):
        is_first = np.isin(training.subject, rng.permutation(names)[: len(names) // 2])
        yield training.take(is_first), training.take(~is_first)
