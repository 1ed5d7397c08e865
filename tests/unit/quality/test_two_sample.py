import numpy as np
import pytest

from pulseveil.core.randomness import root_stream
from pulseveil.quality.classifiers import (
    discriminator,
    logistic,
    nearest_neighbour,
    prediction_errors,
    two_sample_score,
)
from pulseveil.quality.samples import Pair, Sample

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


def sample(windows, people=10, name="S"):
    """Windows of `people` people in turn."""
    n = len(windows)
    subject = np.char.add(name, (np.arange(n) % people).astype(str))
    return Sample(windows, np.arange(n) % 3 == 0, subject)


def accuracy(test, real, other):
    return test(Pair(sample(real), sample(other, name="SYN")), STREAM).correct.mean()


def test_nearest_neighbours_of_a_pair_decide_as_the_score_does():
    real, synthetic = normal(0, 60), normal(1, 60, shift=0.4)
    found = nearest_neighbour(Pair(sample(real), sample(synthetic, name="SYN")), STREAM)
    assert found.correct.mean() == two_sample_score(real, synthetic, STREAM)
    assert len(set(found.subject)) == 20


def test_logistic_regression_sees_a_shift_and_nothing_where_there_is_none():
    real = normal(0, 400, size=(10, 2))
    assert accuracy(logistic, real, normal(1, 400, size=(10, 2))) == pytest.approx(0.5, abs=0.1)
    assert accuracy(logistic, real, normal(1, 400, 0.5, (10, 2))) > 0.8


def test_trees_see_a_spread_that_a_linear_model_does_not():
    real, wider = normal(0, 300), 2 * normal(1, 300)
    assert accuracy(discriminator, real, wider) > 0.8
    assert accuracy(logistic, real, wider) < 0.6
    assert accuracy(discriminator, real, normal(2, 300)) == pytest.approx(0.5, abs=0.1)


def test_who_a_window_is_from_does_not_help_to_tell_it_from_others():
    # Every person has a level of their own, on both sides from one distribution: whoever knew the people of
    # the tested windows would be right nearly always.
    levels = np.random.default_rng(5).normal(size=(2, 40, 1, 1)) * 3
    real, other = (np.tile(level, (10, 4, 2)) + normal(6 + i, 400) / 100 for i, level in enumerate(levels))
    pair = Pair(sample(real, 40), sample(other, 40, "T"))
    assert nearest_neighbour(pair, STREAM).correct.mean() > 0.95
    # 80 people: an accuracy over people has a standard error of about .06.
    for test in (logistic, discriminator):
        assert test(pair, STREAM).correct.mean() == pytest.approx(0.5, abs=0.25)


def test_one_person_a_side_cannot_be_tested_on_others():
    pair = Pair(sample(normal(0, 20), 1), sample(normal(1, 20), 5, "SYN"))
    assert logistic(pair, STREAM) is None


def test_a_linear_process_is_predicted_down_to_its_noise():
    rng = np.random.default_rng(0)
    values = np.zeros((300, 40, 2))
    noise = rng.normal(size=values.shape) * 0.1
    for t in range(1, 40):
        values[:, t] = 0.9 * values[:, t - 1] + noise[:, t]
    errors = prediction_errors(values[:150].astype(np.float32), values[150:].astype(np.float32))
    # The mean absolute value of normal noise of SD .1 is .1 sqrt(2 / pi); 10,500 predictions.
    assert errors.shape == (150,)
    assert errors.mean() == pytest.approx(0.1 * np.sqrt(2 / np.pi), rel=0.03)


def test_a_model_of_another_rhythm_predicts_worse():
    time = np.arange(60)
    phase = np.random.default_rng(1).uniform(0, 6, size=(100, 1))
    slow, fast = (np.sin(phase + time * w)[:, :, np.newaxis].astype(np.float32) for w in (0.3, 1.2))
    assert prediction_errors(slow, slow).mean() < 0.01 < 0.2 < prediction_errors(fast, slow).mean()
