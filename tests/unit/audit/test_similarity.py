import numpy as np
import pytest
from scipy import stats

from pulseveil.audit.release import (
    Reidentification,
    dtw_distances,
    nearness,
    reidentify_by_left_out,
    source_distances,
)
from pulseveil.core.errors import InputError


def cohort(random, people=6, each=20, time=30, channels=2):
    """Windows of people who each have a rhythm and a level of their own; sorted names."""
    seconds = np.arange(time)
    rhythm = 4.0 + 2 * np.arange(people)
    phase = random.uniform(0, 2 * np.pi, size=(people, each, 1))
    waves = np.sin(2 * np.pi * seconds / rhythm[:, None, None] + phase)
    windows = np.stack([waves, np.roll(waves, 3, axis=2)][:channels], axis=-1).reshape(-1, time, channels)
    noise = 0.1 * random.normal(size=windows.shape)
    return (windows + noise).astype(np.float32), np.repeat([f"S{i}" for i in range(people)], each)


def plain_dtw(left, right, band):
    """Sakoe and Chiba 1978, one cell after another."""
    cost = np.full((len(left) + 1, len(right) + 1), np.inf)
    cost[0, 0] = 0
    for i in range(1, len(left) + 1):
        for j in range(1, len(right) + 1):
            if abs(i - j) < band:
                step = min(cost[i - 1, j - 1], cost[i - 1, j], cost[i, j - 1])
                cost[i, j] = np.sum((left[i - 1] - right[j - 1]) ** 2) + step
    return np.sqrt(cost[-1, -1])


@pytest.mark.parametrize("band", [1, 4, 30])
def test_warped_distances_are_those_of_a_plain_loop(band):
    random = np.random.default_rng(0)
    queries, gallery = random.normal(size=(3, 12, 6)), random.normal(size=(4, 12, 6))
    expected = [[plain_dtw(q, g, band) for g in gallery] for q in queries]
    np.testing.assert_allclose(dtw_distances(queries, gallery, band), expected, rtol=1e-9)


def test_a_band_of_one_is_the_euclidean_distance_and_a_wider_one_forgives_delays():
    time = np.arange(60)[np.newaxis, :, np.newaxis]
    wave, late = np.exp(-(((time - 30) / 5) ** 2)), np.exp(-(((time - 34) / 5) ** 2))
    assert dtw_distances(wave, late, 1)[0, 0] == pytest.approx(np.linalg.norm(wave - late))
    assert dtw_distances(wave, late, 10)[0, 0] < 0.1 * np.linalg.norm(wave - late)


def test_people_are_far_from_a_source_by_their_nearest_windows():
    distances = np.array([[1.0, 9.0, 4.0], [3.0, 2.0, 5.0], [7.0, 8.0, 6.0]])
    found = source_distances(distances, np.array(["S2", "S2", "S10"]), np.array(["a", "a", "b"]))
    np.testing.assert_allclose(found, [[7.0, 6.0], [(1 + 2) / 2, (4 + 5) / 2]])  # S10, then S2


def test_people_are_recognised_by_their_own_windows():
    random = np.random.default_rng(1)
    windows, subject = cohort(random)
    others, _ = cohort(random)
    found = source_distances(dtw_distances(windows, others, 5), subject, subject)
    np.testing.assert_array_equal(found.argmin(axis=1), np.arange(6))


def test_an_attack_that_is_right_each_time_has_exact_chance_and_interval():
    found = Reidentification(people=6, correct=6, choices=6)
    low, high = found.interval()
    assert (low, high) == (pytest.approx(0.025 ** (1 / 6)), 1.0)
    assert found.p_value() == pytest.approx(6.0**-6)
    assert found.chance == pytest.approx(1 / 6)


def test_random_distances_recognise_people_by_chance():
    """300 cohorts of 8 people, one in eight right: a z-score beyond 4 has probability 6e-5."""
    random = np.random.default_rng(2)
    right = sum(reidentify_by_left_out(random.normal(size=(8, 8))).correct for _ in range(300))
    assert abs(right - 300) < 4 * np.sqrt(300 * 7 / 8) + 1
    # The exact test keeps its error rate, though people of one cohort share sources.
    p = [reidentify_by_left_out(random.normal(size=(8, 8))).p_value() for _ in range(300)]
    assert stats.binomtest(sum(v < 0.05 for v in p), 300, 0.05, alternative="greater").pvalue > 1e-4


def test_a_release_that_is_bad_for_all_is_not_taken_for_everybodys():
    random = np.random.default_rng(3)
    distances = random.uniform(0.9, 1.1, size=(8, 8)) + np.eye(8)
    distances[:, 5] += 10
    assert reidentify_by_left_out(distances).correct == 8


def test_sources_and_people_must_match():
    with pytest.raises(InputError, match="5 people and 4 sources"):
        reidentify_by_left_out(np.zeros((5, 4)))


def test_nearness_is_that_of_a_plain_loop():
    random = np.random.default_rng(9)
    real, synthetic = random.normal(size=(7, 5, 2)), random.normal(size=(4, 5, 2))
    expected = [min(np.linalg.norm(s - r) for r in real) for s in synthetic]
    np.testing.assert_allclose(nearness(synthetic, real), np.negative(expected), rtol=1e-9)
