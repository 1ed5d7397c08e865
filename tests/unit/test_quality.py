import numpy as np
import pytest

from pulseveil.quality import logistic_two_sample, real_floor, two_sample_score
from pulseveil.randomness import root_stream

STREAM = root_stream(0)


def normal(seed, n=200, shift=0.0, size=(4, 2)):
    return (np.random.default_rng(seed).normal(size=(n, *size)) + shift).astype(np.float32)


def plain_score(real, synthetic, neighbours):
    """Leave-one-out accuracy of the nearest neighbours, one row and one distance after another."""
    rows = [(row.ravel(), True) for row in real] + [(row.ravel(), False) for row in synthetic]
    total = 0.0
    for i, (row, kind) in enumerate(rows):
        others = sorted((np.linalg.norm(row - other), k) for j, (other, k) in enumerate(rows) if j != i)
        own = sum(k == kind for _, k in others[:neighbours]) / neighbours
        total += 1.0 if own > 0.5 else 0.5 if own == 0.5 else 0.0
    return total / len(rows)


@pytest.mark.parametrize("neighbours", [1, 2, 3])
def test_score_is_that_of_a_plain_loop(neighbours):
    real, synthetic = normal(0, 40), normal(1, 40, shift=0.4)
    expected = plain_score(real, synthetic, neighbours)
    assert two_sample_score(real, synthetic, STREAM, neighbours) == pytest.approx(expected)


def test_one_distribution_scores_half_and_two_apart_score_one():
    # The standard error of 1200 dependent decisions is about .02: five of them.
    assert two_sample_score(normal(0, 600), normal(1, 600), STREAM) == pytest.approx(0.5, abs=0.1)
    assert two_sample_score(normal(0), normal(1, shift=20), STREAM) == 1


def test_copies_of_real_windows_score_near_zero():
    real = normal(0)
    assert two_sample_score(real, real + np.float32(1e-4), STREAM) < 0.05


def test_both_sides_weigh_the_same_whatever_their_sizes():
    # Of unequal sizes, always answering with the larger side would score 10 / 11.
    assert two_sample_score(normal(0, 2000), normal(1, 200), STREAM) == pytest.approx(0.5, abs=0.12)


def test_logistic_regression_sees_a_shift_and_nothing_where_there_is_none():
    real = normal(0, 400, size=(10, 2))
    assert logistic_two_sample(real, normal(1, 400, size=(10, 2)), STREAM) == pytest.approx(0.5, abs=0.1)
    assert logistic_two_sample(real, normal(1, 400, 0.5, (10, 2)), STREAM) > 0.8


def test_the_floor_compares_different_people():
    people = np.repeat([f"S{i}" for i in range(2, 12)], 20)
    own_level = np.repeat(np.arange(10.0), 20)[:, np.newaxis, np.newaxis]
    alike = normal(0)
    assert real_floor(alike, people, STREAM) == pytest.approx(0.5, abs=0.15)
    assert real_floor((alike / 10 + own_level).astype(np.float32), people, STREAM) > 0.95
