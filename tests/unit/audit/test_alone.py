"""Attacks on a release alone: copies are found, strangers are not, and errors occur as often as stated."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy import stats

from pulseveil.audit import alone
from pulseveil.core.errors import InputError

MEMBERS, HELD_OUT, EACH = 6, 5, 4


def people(seed, *, time=20):
    """Windows (n, time, 2) of people, each with an own level; their names; whether they are members."""
    random = np.random.default_rng(seed)
    level = random.normal(size=(MEMBERS + HELD_OUT, 1, 1, 2))
    windows = level + 0.3 * random.normal(size=(MEMBERS + HELD_OUT, EACH, time, 2))
    subject = np.repeat([f"S{i:02d}" for i in range(MEMBERS + HELD_OUT)], EACH)
    return windows.reshape(-1, time, 2), subject, np.repeat(np.arange(MEMBERS + HELD_OUT) < MEMBERS, EACH)


def test_copies_of_members_are_found():
    windows, subject, member = people(0)
    nearest, _ = alone.membership(windows, subject, member, windows[member])
    assert nearest.auc == 1
    assert nearest.p == nearest.ceiling == 1 / comb(MEMBERS + HELD_OUT, MEMBERS)


def test_the_p_value_is_that_of_all_splits():
    windows, subject, member = people(1)
    released = people(2)[0]
    found = alone.membership(windows, subject, member, released)
    for attack, score in zip(found, alone.SCORES.values(), strict=True):
        values = score(windows, released).reshape(-1, EACH).mean(axis=1)
        observed = values[:MEMBERS].mean() - values[MEMBERS:].mean()
        splits = [list(split) for split in combinations(range(len(values)), MEMBERS)]
        differences = [values[split].mean() - np.delete(values, split).mean() for split in splits]
        assert attack.p == pytest.approx(np.mean(np.array(differences) >= observed - 1e-12))


def test_a_release_of_strangers_is_accused_as_seldom_as_stated():
    """200 releases that knew nobody: more than 21 accusations at 5 % happen in one of 2,000 runs."""
    accused = 0
    for seed in range(200):
        windows, subject, member = people(seed, time=5)
        nearest, _ = alone.membership(windows, subject, member, people(1000 + seed, time=5)[0])
        accused += nearest.p <= 0.05
    assert accused <= stats.binom.isf(1 / 2000, 200, 0.05)


def test_the_power_is_that_of_simulated_scores():
    random = np.random.default_rng(3)
    own, others = random.normal(1, 1, (20_000, 15)), random.normal(0, 1, (20_000, 10))
    p = stats.ttest_ind(own, others, axis=1, alternative="greater").pvalue
    # Three standard errors of 20,000 draws.
    assert alone.shift_power(15, 10, 0.025) == pytest.approx((p <= 0.025).mean(), abs=0.011)


def test_noised_people_are_linked_and_strangers_are_not():
    windows, subject, _ = people(4)
    noised = windows + 0.2 * np.random.default_rng(5).normal(size=windows.shape)
    found = alone.link(windows, subject, noised, subject, 5)
    assert (found.people, found.correct, found.choices) == (MEMBERS + HELD_OUT,) * 3
    assert found.p_value() < 1e-9
    drowned = windows + 100 * np.random.default_rng(6).normal(size=windows.shape)
    assert alone.link(windows, subject, drowned, subject, 5).correct <= 4


def test_groups_that_cannot_be_compared_are_refused():
    windows, subject, member = people(7)
    with pytest.raises(InputError, match="expected two people or more per group, found 11 members"):
        alone.membership(windows, subject, np.ones(len(member), bool), windows)
    mixed = member.copy()
    mixed[0] = False
    with pytest.raises(InputError, match="a person is in both groups"):
        alone.membership(windows, subject, mixed, windows)
    with pytest.raises(InputError, match="S00: expected released windows of each person"):
        alone.link(windows, subject, windows[EACH:], subject[EACH:], 5)
