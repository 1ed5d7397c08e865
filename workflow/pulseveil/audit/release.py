"""How much synthetic windows tell of the people behind them, and of canaries.

Membership and re-identification of people; a release with canaries compared with releases without any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pulseveil.audit import canaries
from pulseveil.audit.bounds import LEVEL, Floats, Interval, rate_interval
from pulseveil.audit.membership import Flags, record_means
from pulseveil.core.contracts import STRESS, WindowSet
from pulseveil.core.errors import InputError
from pulseveil.generators.subjects import Subjects
from pulseveil.quality.neighbours import nearest_distances

Windows = NDArray[np.floating]
Names = NDArray[np.str_]


@dataclass(frozen=True)
class Reidentification:
    """How many of `people` an attacker linked to their own one of `choices` sources.

    Chance is 1 / choices. Interval and p-value are exact for independent people; those who share sources are
    nearly so.
    """

    people: int
    correct: int
    choices: int

    @property
    def rate(self) -> float:
        """Share of people linked correctly."""
        return self.correct / self.people

    @property
    def chance(self) -> float:
        """The share that a guess without any information links correctly."""
        return 1 / self.choices

    def interval(self, level: float = LEVEL) -> Interval:
        """Exact interval of the rate (Clopper and Pearson 1934)."""
        return rate_interval(self.correct, self.people, level)

    def p_value(self) -> float:
        """Probability that chance alone links so many people, or more (exact binomial test)."""
        return float(stats.binomtest(self.correct, self.people, self.chance, alternative="greater").pvalue)


def nearness(windows: Windows, synthetic: Windows) -> Floats:
    """How near each window (n, ...) has a synthetic one (m, ...): minus the Euclidean distance (n).

    The answer of a generator that `membership.train_design` asks for: nearer to those it was trained on?
    """
    return -nearest_distances(windows.reshape(len(windows), -1), synthetic.reshape(len(synthetic), -1))


def nearness_on_average(windows: Windows, synthetic: Windows) -> Floats:
    """How near all synthetic windows (m, ...) are to each window (n, ...): minus their root mean square (n).

    Euclidean distances. Generators of averages give a record away by where all that they make lies.
    """
    rows = windows.reshape(len(windows), -1).astype(np.float64)
    flat = synthetic.reshape(len(synthetic), -1).astype(np.float64)
    centre = flat.mean(axis=0)
    spread = float(np.square(flat - centre).sum(axis=1).mean())
    return np.asarray(-np.sqrt(np.square(rows - centre).sum(axis=1) + spread), dtype=np.float64)


def dtw_distances(queries: Windows, gallery: Windows, band: int) -> Floats:
    """Distances (n, m) by dynamic time warping of windows (n, time, channels) and (m, time, channels).

    All channels are warped together; a sample is matched with one at most `band` - 1 samples away.

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
    """How far each person is from each source (people, sources), both in sorted order.

    distances (n, m): of the person's windows to the windows of the gallery; subject (n), source (m): whose
    they are. Mean over a person's windows of the distance to the nearest window of the source.
    """
    names, index = np.unique(source, return_inverse=True)
    nearest = np.stack([distances[:, index == i].min(axis=1) for i in range(len(names))], axis=1)
    return np.stack([record_means(column, subject) for column in nearest.T], axis=1)


def reidentify_by_left_out(distances: Floats) -> Reidentification:
    """Link each person to the release that lacks them; release i was made without person i.

    distances (people, people): to the synthetic windows of the generator of each fold. Guessed is the release
    that is farther from this person than it is from people in general. Two folds differ by a swap of two
    people, so that this is an attack on replace-one neighbours. Raises InputError for unequal numbers.
    """
    people, sources = distances.shape
    if people != sources:
        raise InputError(
            f"re-identification: expected a source a person, found {people} people and {sources} sources"
        )
    guess = (distances - distances.mean(axis=0)).argmax(axis=1)
    return Reidentification(people, int((guess == np.arange(people)).sum()), sources)


_SMALLEST_SPREAD = 1e-9


@dataclass(frozen=True, eq=False)
class ReleaseScores:
    """Scores of canaries from a release: in standard deviations of the releases that saw no canary.

    records: the windows of all canaries, `subject` or `owner` aside; owner (rows): the canary of each.
    centre (2, canaries), spread (2): mean and deviation of both kinds of nearness in releases without any.
    """

    records: WindowSet
    owner: Names
    centre: Floats
    spread: Floats

    def __call__(self, release: Subjects) -> Floats:
        """One number a canary (canaries), higher where the release lies nearer to it than others do.

        The sum of both kinds of nearness: a generator that copies makes a window next to the canary, one
        that averages moves all of its windows a little.
        """
        found = _nearness(self.records, self.owner, release)
        return np.asarray(((found - self.centre) / self.spread[:, np.newaxis]).sum(axis=0))


def release_scores(records: WindowSet, owner: Names, without: Sequence[Subjects]) -> ReleaseScores:
    """The scores that compare with at least two releases `without` a canary."""
    found = np.stack([_nearness(records, owner, release) for release in without])
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
    """Audited training of a generator: the scores of what it releases, trained on the included canaries."""
    names = np.unique(score.owner)

    def train(included: Flags) -> Floats:
        chosen = records.take(np.isin(score.owner, names[included]))
        return score(synthesize(WindowSet.concatenate([windows, chosen])))

    return train


def _nearness(records: WindowSet, owner: Names, release: Subjects) -> Floats:
    """Nearness of the release to each canary (2, canaries): of the nearest window, and of all on average.

    Windows are compared with those of their own class, which a release tells.
    """
    found = np.empty((2, len(records)))
    for stress in (False, True):
        asked = records.stress == stress
        synthetic = release.windows[(release.condition == STRESS) == stress]
        if asked.any():
            of_kind = (nearness, nearness_on_average)
            found[:, asked] = [near(records.windows[asked], synthetic) for near in of_kind]
    return np.stack([record_means(row, owner) for row in found])
