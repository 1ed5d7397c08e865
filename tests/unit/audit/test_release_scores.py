"""Scores of canaries from what a generator releases."""

from dataclasses import replace

import numpy as np
import pytest

from pulseveil.audit.release import nearness_on_average, release_canaries, release_scores
from pulseveil.core.contracts import WindowSet
from pulseveil.generators.subjects import Subjects
from tests.unit.audit.test_generator import windows

OWNER = np.array(["a", "a", "b", "b"])


def release(seed, shift=0.0, first=None):
    """Twenty normal windows, half of them stress, moved by `shift`; the first stress window may be given."""
    rows = np.random.default_rng(seed).normal(size=(20, 30, 2)) + shift
    condition = np.repeat([0, 1], 10).astype(np.int8)
    if first is not None:
        rows[10] = first
    return Subjects(rows.astype(np.float32), condition, np.full(20, "SYN0001"))


def canaries():
    """Two canaries of two windows each, with stress and without, far out on either side."""
    rows = windows().take(np.arange(4))
    level = np.array([5.0, -5.0, -5.0, 5.0])[:, np.newaxis, np.newaxis]
    stress = np.array([True, False, True, False])
    made = np.broadcast_to(level, (4, 30, 2)).astype(np.float32)
    return replace(rows, windows=made, stress=stress, condition=stress.astype(np.int8), subject=OWNER)


WITHOUT = [release(seed) for seed in range(10)]


def test_the_mean_square_distance_is_that_of_all_pairs():
    asked, made = canaries().windows, release(1).windows
    pairs = np.square(asked[:, np.newaxis] - made).sum(axis=(2, 3)).mean(axis=1)
    np.testing.assert_allclose(nearness_on_average(asked, made), -np.sqrt(pairs), rtol=1e-6)


def test_a_release_without_canaries_scores_like_the_others():
    """Sums of two standardized numbers: beyond 8 by far less than one in a million."""
    score = release_scores(canaries(), OWNER, WITHOUT)
    np.testing.assert_allclose(np.mean([score(made) for made in WITHOUT], axis=0), 0, atol=1e-9)
    assert np.abs(score(release(99))).max() < 8


def test_a_copied_canary_and_a_moved_average_are_both_seen():
    score = release_scores(canaries(), OWNER, WITHOUT)
    copied = score(release(99, first=canaries().windows[0]))
    assert copied[0] > 20
    assert copied[1] < 0  # on the other side of the average, which the copy moves away
    moved = score(release(99, shift=0.5))
    # Stress windows move to canary a and away from b, the others the other way round: they cancel.
    assert np.abs(moved).max() < 20
    stress_only = release(99)
    stress_only.windows[10:] += 0.5
    found = score(stress_only)
    assert found[0] > 8
    assert found[1] < -8


def test_included_canaries_alone_are_trained_on():
    seen = []

    def synthesize(rows):
        seen.append(set(rows.subject) - set(windows().subject))
        return release(5)

    score = release_scores(canaries(), OWNER, WITHOUT)
    shared = replace(canaries(), subject=np.array(["x"] * 4))
    train = release_canaries(synthesize, windows(), shared, score)
    for included, names in (([False, False], set()), ([True, False], {"x"})):
        assert train(np.array(included)) == pytest.approx(score(release(5)))
        assert seen[-1] == names
    assert isinstance(WindowSet.concatenate([windows(), shared]), WindowSet)
