import os

import numpy as np
import pytest

from pulseveil.audit import canaries
from pulseveil.audit.bounds import AttackCounts, CanaryGuesses
from pulseveil.audit.canaries import canary_features, canary_windows, mislabelled, shared_subjects
from pulseveil.core.contracts import PHYSIOLOGICAL_CHANNELS, FeatureSet, WindowSet
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.gaussian import clip_rows, release
from pulseveil.privacy.noise import Noise
from tests.unit.detectors.test_simple_detectors import features
from tests.unit.noised_sums import audited_sum, orthonormal_rows

CLIP = 1.5


def one_query(multiplier, people=14, width=16, canaries_each=1):
    """A real release of class means with secret noise, audited with canaries of full clip norm."""
    random = np.random.default_rng(0)
    rows = clip_rows(random.normal(size=(people, width)), CLIP)
    n = people + canaries_each
    mechanism = Mechanism("means", "subject", n, 1.0, n, 1, CLIP, multiplier)
    return audited_sum(
        lambda given: release(given, mechanism, Noise(os.urandom(32), secret=True)),
        rows,
        CLIP,
        orthonormal_rows(canaries_each, width, random),
    )


def test_coins_are_fair_and_differ():
    flips = np.stack([canaries.coins(1001) for _ in range(100)])
    assert flips.shape == (100, 1001)
    # Five standard errors of 100,100 coins, and of a column of 100.
    assert flips.mean() == pytest.approx(0.5, abs=0.008)
    assert len(np.unique(flips, axis=0)) == 100
    assert np.abs(flips.mean(axis=0) - 0.5).max() < 0.27


def test_scores_are_whether_a_canary_is_in_where_there_is_no_noise():
    train = one_query(1e-4, canaries_each=10)
    included = canaries.coins(10)
    np.testing.assert_allclose(train(included), included, atol=1e-3)


def test_the_canaries_farthest_from_the_mean_are_guessed():
    scores = np.array([0.1, -3.0, 2.0, -0.2, 5.0]) + 7.0  # the mean is 7.78
    included = np.array([False, False, True, True, False])
    assert canaries.count_guesses(scores, included, 3) == CanaryGuesses(5, 3, 2)
    assert canaries.count_guesses(scores, included, 4) == CanaryGuesses(5, 4, 2)
    assert canaries.count_guesses(scores, included, 5) == CanaryGuesses(5, 5, 3)
    with pytest.raises(ValueError, match="impossible"):
        canaries.count_guesses(scores, included, 6)


def test_each_run_has_coins_of_its_own():
    seen = []

    def train(included):
        seen.append(tuple(included))
        return included.astype(float)

    assert canaries.audit(train, canaries=40, guesses=10, runs=5) == CanaryGuesses(200, 50, 50)
    assert len(set(seen)) == 5


def test_repeated_trainings_find_the_mu_of_a_real_release():
    """One query of multiplier .5 has mu 2.

    At level 99.99 % the bound is too high with probability under 1e-4. At 95 % it is 1.78 with a standard
    deviation of .08: below 1.4 with probability under 1e-5.
    """
    counts = canaries.audit_repeatedly(one_query(0.5), 1500)
    assert counts.members + counts.non_members == 1500
    assert counts.mu_lower_bound(0.9999) <= 2.0
    assert counts.mu_lower_bound(0.95) > 1.4


def test_repeated_trainings_without_noise_make_no_error():
    counts = canaries.audit_repeatedly(one_query(1e-4), 200)
    assert counts == counts.flawless
    assert isinstance(counts, AttackCounts)


def test_canaries_are_records_in_the_form_of_the_others():
    rows = features(120)
    made = canary_features(rows, canaries=5, windows_each=4, radius=3.0, generator=np.random.default_rng(2))
    joined = FeatureSet.concatenate([rows, made])
    assert len(joined) == 140
    assert joined.statistics.dtype == np.float32
    assert sorted(set(made.subject)) == [f"CANARY0000{i}" for i in range(1, 6)]
    for name in set(made.subject):
        assert made.stress[made.subject == name].sum() == 2
    spread = (made.statistics - rows.statistics.mean(axis=0)) / rows.statistics.std(axis=0)
    np.testing.assert_allclose(np.abs(spread), 3.0, rtol=1e-3)
    # The side of a window is the label: stress one way, rest the other way of the canary's own direction.
    first = made.subject == "CANARY00001"
    np.testing.assert_allclose(spread[first & made.stress][0], -spread[first & ~made.stress][0], rtol=1e-3)


def test_canary_windows_are_windows_of_the_same_form():
    random = np.random.default_rng(3)
    n = 30
    windows = WindowSet(
        windows=random.normal(size=(n, 60, 6)).astype(np.float32),
        condition=np.zeros(n, np.int8),
        stress=np.zeros(n, bool),
        calibration=np.zeros(n, bool),
        subject=np.full(n, "S2"),
        start_s=30.0 * np.arange(n),
        channels=PHYSIOLOGICAL_CHANNELS,
        rate_hz=1.0,
        window_s=60.0,
        stride_s=30.0,
        scaling="public",
        protocol="sound",
    )
    made = canary_windows(windows, canaries=8, windows_each=1, radius=4.0, generator=random)
    assert made.windows.shape == (8, 60, 6)
    assert len(WindowSet.concatenate([windows, made])) == 38
    assert len(set(made.subject)) == 8
    np.testing.assert_array_equal(made.condition == 1, made.stress)
    # A level a channel: a generator that keeps nothing else of a window keeps that.
    spread = (made.windows - windows.windows.mean(axis=0)) / windows.windows.std(axis=0)
    np.testing.assert_allclose(spread, np.repeat(spread[:, :1], 60, axis=1), rtol=1e-3)
    np.testing.assert_allclose(np.abs(spread), 4.0, rtol=1e-3)
    shared = shared_subjects(made, 4, windows.stride_s)
    assert shared.start_s.tolist() == [0, 30, 60, 90] * 2


def test_windows_of_different_canaries_can_share_a_made_up_person():
    made = canary_features(
        features(120), canaries=10, windows_each=1, radius=3.0, generator=np.random.default_rng(4)
    )
    shared = shared_subjects(made, 4)
    assert np.unique(shared.subject, return_counts=True)[1].tolist() == [4, 4, 2]
    assert len({*zip(shared.subject.tolist(), shared.start_s.tolist(), strict=True)}) == 10
    np.testing.assert_array_equal(shared.statistics, made.statistics)


def test_labels_are_turned_where_a_model_without_the_canary_finds_them_right():
    made = canary_features(
        features(120), canaries=3, windows_each=2, radius=3.0, generator=np.random.default_rng(4)
    )
    turned = mislabelled(made, made.subject, np.array([2.0, 1.0, -2.0, 1.0, -1.0, -1.0]))
    np.testing.assert_array_equal(turned.stress[:2], ~made.stress[:2])
    np.testing.assert_array_equal(turned.stress[2:], made.stress[2:])
    np.testing.assert_array_equal(turned.condition == 1, turned.stress)


def test_a_record_training_sees_the_included_canaries_only():
    rows = features(80)
    made = canary_features(rows, canaries=6, windows_each=2, radius=3.0, generator=np.random.default_rng(5))

    reference = np.arange(12.0)

    def fit(given):
        known = set(given.subject)
        assert known >= set(rows.subject)
        return lambda asked: np.isin(asked.subject, sorted(known)).astype(float)

    train = canaries.record_training(fit, rows, made, made.subject, np.repeat(reference[::2], 2))
    included = np.array([True, False, False, True, True, False])
    np.testing.assert_allclose(train(included), included - reference[::2])
