"""Samples to compare: equally many real and synthetic windows, and halves of the real people as floors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.contracts import subject_order
from pulseveil.core.randomness import Stream, child, generator

# Enough for stable values, and few enough for distances between all pairs of rows.
MOST_ROWS = 500
# With few people, one random division into halves depends on who falls into which half.
HALVINGS = 5


class Sample(NamedTuple):
    """Windows (n, time, channels) float32 with stress (n) bool and subject (n) str."""

    windows: NDArray[np.float32]
    stress: NDArray[np.bool_]
    subject: NDArray[np.str_]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Sample:
        """The sample restricted to `rows` (mask or indices)."""
        return Sample(self.windows[rows], self.stress[rows], self.subject[rows])


class Pair(NamedTuple):
    """Real windows, and the windows compared with them: synthetic windows, or windows of other people."""

    real: Sample
    other: Sample


class Comparisons(NamedTuple):
    """The pairs to measure.

    synthetic: training windows and synthetic windows. floors: one half of the training people and the other
    half; empty for a single person. held_out: training windows and all windows of people that the generator
    never saw; None if nobody is held out.
    """

    synthetic: Pair
    floors: tuple[Pair, ...]
    held_out: Pair | None


def compare(training: Sample, synthetic: Sample, held_out: Sample | None, stream: Stream) -> Comparisons:
    """Choose the windows to compare: equally many of each class in all samples, at most `MOST_ROWS` each.

    Equal numbers make value and floor comparable, because many measures depend on the number of windows. The
    share of stress among synthetic windows is not compared, because the user chooses it. A half has fewer
    people than the whole, so that halves differ more by chance: floors err in favour of generators.
    """
    # The smallest sample decides: all samples, and each half of each halving, get the same numbers.
    halvings = list(_halvings(training, stream))
    counts = class_counts(training, synthetic, *(half for halving in halvings for half in halving))
    real = stratified_sample(training, counts, child(stream, "real"))
    generated = stratified_sample(synthetic, counts, child(stream, "synthetic"))
    floors = [
        Pair(
            *(stratified_sample(half, counts, child(stream, "half", i, j)) for j, half in enumerate(halving))
        )
        for i, halving in enumerate(halvings)
    ]
    return Comparisons(Pair(real, generated), tuple(floors), held_out and Pair(real, held_out))


def class_counts(*samples: Sample) -> tuple[int, int]:
    """Numbers of windows (not stress, stress) that every sample has, scaled down to `MOST_ROWS` in total."""
    counts = [min(int(np.sum(sample.stress == stress)) for sample in samples) for stress in (False, True)]
    scale = min(1.0, MOST_ROWS / max(1, sum(counts)))
    return int(counts[0] * scale), int(counts[1] * scale)


def stratified_sample(sample: Sample, counts: tuple[int, int], stream: Stream) -> Sample:
    """A random choice of `counts` (not stress, stress) windows, in the order of the sample.

    Examples:
        >>> from pulseveil.core.randomness import root_stream
        >>> sample = Sample(np.zeros((6, 60, 1), np.float32), np.arange(6) < 3, np.full(6, "S1"))
        >>> stratified_sample(sample, (2, 1), root_stream(0)).stress
        array([ True, False, False])
    """
    rng = generator(stream)
    chosen = [
        rng.permutation(np.flatnonzero(sample.stress == stress))[:count]
        for stress, count in zip((False, True), counts, strict=True)
    ]
    return sample.take(np.sort(np.concatenate(chosen)))


def _halvings(training: Sample, stream: Stream) -> Iterator[tuple[Sample, Sample]]:
    """Windows of a random half of the people and of the other half, `HALVINGS` times; none for one person."""
    # Sorted, because the order of a set of names differs between processes.
    names = sorted(set(training.subject.tolist()), key=subject_order)
    rng = generator(child(stream, "halves"))
    for _ in range(HALVINGS if len(names) > 1 else 0):
        is_first = np.isin(training.subject, rng.permutation(names)[: len(names) // 2])
        yield training.take(is_first), training.take(~is_first)
