"""Attacks on released synthetic windows: membership and re-identification of people, and canaries.

Scores of canaries compare a release with releases that were trained without any canary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pulseveil.audit import canaries
from pulseveil.audit.bounds import LEVEL, ConfidenceInterval, rate_interval
from pulseveil.audit.membership import record_means
from pulseveil.core.arrays import Bools, Floats
from pulseveil.core.contracts import STRESS, WindowSet
from pulseveil.core.errors import InputError
from pulseveil.generators.subjects import Subjects
from pulseveil.quality.neighbours import nearest_distances

Windows = NDArray[np.floating]
Names = NDArray[np.str_]


@dataclass(frozen=True)
class Reidentification:
    """Re-identification: `correct` of `people` were linked to their own source among `choices` sources.

    Interval and p-value are exact for independent people; people who share sources are nearly independent.

    Examples:
        >>> found = Reidentification(people=15, correct=5, choices=15)
        >>> round(found.rate, 2), round(found.chance, 2), found.p_value() < 0.05
        (0.33, 0.07, True)
    """

    people: int
    correct: int
    choices: int

    @property
    def rate(self) -> float:
        """Share of people who were linked correctly."""
        return self.correct / self.people

    @property
    def chance(self) -> float:
        """Expected share of a guess without any information."""
        return 1 / self.choices

    def interval(self, level: float = LEVEL) -> ConfidenceInterval:
        """Exact confidence interval of the rate (Clopper and Pearson 1934)."""
        return rate_interval(self.correct, self.people, level)

    def p_value(self) -> float:
        """P-value of the exact binomial test against chance, one-sided."""
        return float(stats.binomtest(self.correct, self.people, self.chance, alternative="greater").pvalue)


def nearness(windows: Windows, synthetic: Windows) -> Floats:
    """Negative Euclidean distance (n) of each window (n, ...) to the nearest synthetic one (m, ...).

    It is a generator's answer for `membership.train_design`: higher for windows that the generator copies.
    """
    return -nearest_distances(windows.reshape(len(windows), -1), synthetic.reshape(len(synthetic), -1))


def nearness_on_average(windows: Windows, synthetic: Windows) -> Floats:
    """Negative root mean square (n) of the distances of each window (n, ...) to all synthetic ones (m, ...).

    Generators of averages, such as `moments`, reveal a record by the position of all synthetic windows.
    """
    # The mean squared distance to all is that to their centre plus their variance: no matrix (n, m) is
    # needed.
    rows = windows.reshape(len(windows), -1).astype(np.float64)
    flat = synthetic.reshape(len(synthetic), -1).astype(np.float64)
    centre = flat.mean(axis=0)
    spread = float(np.square(flat - centre).sum(axis=1).mean())
    return np.asarray(-np.sqrt(np.square(rows - centre).sum(axis=1) + spread), dtype=np.float64)


def dtw_distances(queries: Windows, gallery: Windows, band: int) -> Floats:
    """Distances (n, m) by dynamic time warping of windows (n, time, channels) and (m, time, channels).

    All channels are warped together. Matched samples are at most `band` - 1 samples apart.

    Source: Sakoe and Chiba 1978; dtaidistance (Meert et al. 2020), its compiled part.
    """
    from dtaidistance import dtw_ndim

    n, m = len(queries), len(gallery)
    series = list(np.concatenate([queries, gallery]).astype(np.float64))
    distances = dtw_ndim.distance_matrix_fast(
        series, ndim=queries.shape[2], window=band, block=((0, n), (n, n + m)), compact=True, parallel=False
    )
    return np.asarray(distances, dtype=np.float64).reshape(n, m)


def source_distances(distances: Floats, subject: Names, source: Names) -> Floats:
    """Distances (people, sources) of each person to each source, both in sorted order of names.

    A distance is the mean over the person's windows of the distance to the nearest window of the source.

    Args:
        distances: (n, m), of windows of people to windows of the gallery.
        subject: (n), the person of each window.
        source: (m), the source of each window of the gallery.
    """
    names, index = np.unique(source, return_inverse=True)
    nearest = np.stack([distances[:, index == i].min(axis=1) for i in range(len(names))], axis=1)
    return np.stack([record_means(column, subject) for column in nearest.T], axis=1)


def reidentify_by_left_out(distances: Floats) -> Reidentification:
    """Re-identification: link each person to the release that was trained without this person.

    The guess is the release whose distance to this person exceeds its mean distance to people by most. Two
    folds differ by a swap of two people: this is an attack on replace-one neighbours.

    Args:
        distances: (people, people), of each person to the release of each fold; fold i lacks person i.

    Raises:
        InputError: the numbers of people and sources differ.
    """
    people, sources = distances.shape
    if people != sources:
        raise InputError(
            f"re-identification: expected one source per person, found {people} people and {sources} sources"
        )
    # Relative to the release's mean: a poor release is far from everybody, and would be guessed for all.
    guess = (distances - distances.mean(axis=0)).argmax(axis=1)
    return Reidentification(people, int((guess == np.arange(people)).sum()), sources)


# Equal releases have no spread: this share of the values' size replaces it.
_SMALLEST_SPREAD = 1e-9


@dataclass(frozen=True, eq=False)
class ReleaseScores:
    """Scores of canaries by a release, in standard deviations over releases without any canary.

    records: the windows of all canaries. owner (rows): the canary of each row, which may differ from its
    `subject`. centre (2, canaries), spread (2): mean and standard deviation of both kinds of nearness in
    releases without canaries.
    """

    records: WindowSet
    owner: Names
    centre: Floats
    spread: Floats

    def __call__(self, release: Subjects) -> Floats:
        """One score per canary (canaries), higher if the release is nearer to it than other releases are."""
        # Both kinds of nearness are added: a generator that copies releases a window next to the canary, one
        # that averages moves all windows a little.
        found = _nearness(self.records, self.owner, release)
        return np.asarray(((found - self.centre) / self.spread[:, np.newaxis]).sum(axis=0))


def release_scores(records: WindowSet, owner: Names, without: Sequence[Subjects]) -> ReleaseScores:
    """Scores that compare with at least two releases `without` a canary."""
    found = np.stack([_nearness(records, owner, release) for release in without])
    # One spread for all canaries: a few releases give no usable one for each.
    spread = np.sqrt(
        np.square(found - found.mean(axis=0)).sum(axis=(0, 2)) / (len(found) - 1) / found.shape[2]
    )
    floor = _SMALLEST_SPREAD * np.abs(found).max(axis=(0, 2)) + np.finfo(np.float64).tiny
    return ReleaseScores(records, owner, found.mean(axis=0), np.maximum(spread, floor))


def release_canaries(
    synthesize: Callable[[WindowSet], Subjects],
    windows: WindowSet,
    records: WindowSet,
    score: ReleaseScores,
) -> canaries.Training:
    """Canary training of a generator: scores of its release after training on the included canaries."""
    names = np.unique(score.owner)

    def train(included: Bools) -> Floats:
        chosen = records.take(np.isin(score.owner, names[included]))
        return score(synthesize(WindowSet.concatenate([windows, chosen])))

    return train


def _nearness(records: WindowSet, owner: Names, release: Subjects) -> Floats:
    """Nearness (2, canaries) of the release to each canary: of the nearest window, and of all on average."""
    # Within each class: a release has labels, and a canary's class is where it lies far from all others.
    found = np.empty((2, len(records)))
    for stress in (False, True):
        asked = records.stress == stress
        synthetic = release.windows[(release.condition == STRESS) == stress]
        if asked.any():
            of_kind = (nearness, nearness_on_average)
            found[:, asked] = [near(records.windows[asked], synthetic) for near in of_kind]
    return np.stack([record_means(row, owner) for row in found])
