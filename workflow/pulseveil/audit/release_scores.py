"""How strongly a release of synthetic windows points at a canary, compared with releases without any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pulseveil.audit import canaries
from pulseveil.audit.bounds import Floats
from pulseveil.audit.lira import Flags, record_means
from pulseveil.audit.similarity import Names, nearness, nearness_on_average
from pulseveil.contracts import STRESS, WindowSet
from pulseveil.generators.subjects import Subjects

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
        made = release.windows[(release.condition == STRESS) == stress]
        if asked.any():
            of_kind = (nearness, nearness_on_average)
            found[:, asked] = [near(records.windows[asked], made) for near in of_kind]
    return np.stack([record_means(row, owner) for row in found])
