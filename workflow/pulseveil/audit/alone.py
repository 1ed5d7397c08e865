"""Attacks on a release alone: no training is repeated, so that windows of any tool can be attacked.

The attacker has the released windows, people who may have been learnt from, and people who were not. Both
groups must be exchangeable otherwise: people of one study, chosen by lot, and not two cohorts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pulseveil.audit.bounds import LEVEL, ConfidenceInterval, area_under_curve, auc_interval
from pulseveil.audit.membership import record_means
from pulseveil.audit.release import (
    Reidentification,
    dtw_distances,
    nearness,
    nearness_on_average,
    source_distances,
)
from pulseveil.core.arrays import Bools, Floats
from pulseveil.core.errors import InputError

Windows = NDArray[np.floating]
Names = NDArray[np.str_]
# How near a person's windows are to released ones: a copy is near to one, an average to all.
SCORES: Mapping[str, Callable[[Windows, Windows], Floats]] = {
    "nearest window": nearness,
    "all windows": nearness_on_average,
}
# Below this number of splits into two groups the p-value is exact, otherwise from as many random splits.
_MOST_SPLITS = 100_000


@dataclass(frozen=True)
class GroupMembership:
    """Membership inference by person: members score higher than people of the hold-out.

    p: of the permutation test of the difference of means, one-sided. ceiling: least p that so few people can
    show. power: probability that p is at most 1 - `LEVEL`, corrected for the attacks, if members score one
    standard deviation of people higher.
    """

    attack: str
    members: int
    held_out: int
    auc: float
    p: float
    ceiling: float
    power: float

    def auc_interval(self, level: float = LEVEL) -> ConfidenceInterval:
        """Approximate confidence interval of the AUC."""
        return auc_interval(self.auc, self.members, self.held_out, level)


def membership(windows: Windows, subject: Names, member: Bools, released: Windows) -> list[GroupMembership]:
    """Attack by each of `SCORES`.

    Args:
        windows: (n, time, channels), of people of both groups, in the form of the release.
        subject: (n), the person of each window.
        member: (n), whether the release may have been learnt from the person.
        released: (m, time, channels).

    Raises:
        InputError: a person is in both groups, or a group has fewer than two people.
    """
    names, first = np.unique(subject, return_index=True)
    is_member = member[first]
    if (member != is_member[np.searchsorted(names, subject)]).any():
        raise InputError("a person is in both groups; expected members and hold-out apart")
    members, held_out = int(is_member.sum()), int((~is_member).sum())
    if min(members, held_out) < 2:
        raise InputError(
            f"expected two people or more per group, found {members} members and {held_out} held out"
        )
    found = []
    for attack, score in SCORES.items():
        people = record_means(score(windows, released), subject)
        own, others = people[is_member], people[~is_member]
        p = _permutation_p(own, others)
        power = shift_power(members, held_out, (1 - LEVEL) / len(SCORES))
        auc = area_under_curve(own, others)
        found.append(
            GroupMembership(attack, members, held_out, auc, p, 1 / comb(members + held_out, members), power)
        )
    return found


def _permutation_p(members: Floats, held_out: Floats) -> float:
    """One-sided p-value of the difference of means, over all splits of the people into two such groups."""
    return float(
        stats.permutation_test(
            (members, held_out),
            lambda own, others, axis: own.mean(axis=axis) - others.mean(axis=axis),
            permutation_type="independent",
            vectorized=True,
            n_resamples=_MOST_SPLITS,
            alternative="greater",
            # The groups decide which splits are drawn, and not a secret: a rerun gives the same p.
            rng=np.random.default_rng(0),
        ).pvalue
    )


def shift_power(members: int, held_out: int, alpha: float, shift: float = 1.0) -> float:
    """Power of a one-sided test at `alpha` for normal scores that differ by `shift` standard deviations.

    That of the t test, with which the permutation test agrees in large samples (Hoeffding 1952).

    Examples:
        >>> round(shift_power(15, 15, alpha=0.05), 2)
        0.85
    """
    degrees = members + held_out - 2
    noncentrality = shift / np.sqrt(1 / members + 1 / held_out)
    return float(stats.nct.sf(stats.t.isf(alpha, degrees), degrees, noncentrality))


def link(windows: Windows, subject: Names, released: Windows, source: Names, band: int) -> Reidentification:
    """Link each person to the nearest source of released windows by dynamic time warping.

    For releases whose windows belong to one person each, such as noised recordings: `source` (m) names the
    person of each released window. A link is right if the source is the person.

    Args:
        windows: (n, time, channels), of the people, other ones than those that were released.
        subject: (n), the person of each window.
        released: (m, time, channels).
        source: (m), the person of each released window.
        band: matched samples are at most `band` - 1 samples apart.

    Raises:
        InputError: a person has no released windows.

    Source: re-identification of wearable recordings by time warping, arXiv:2308.08310.
    """
    people, sources = np.unique(subject), np.unique(source)
    if missing := sorted(set(people.tolist()) - set(sources.tolist())):
        raise InputError(f"{missing[0]}: expected released windows of each person, found none of this one")
    distances = source_distances(dtw_distances(windows, released, band), subject, source)
    guess = sources[distances.argmin(axis=1)]
    return Reidentification(len(people), int((guess == people).sum()), len(sources))
