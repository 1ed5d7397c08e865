"""Requests: whole windows for shares, bounds, and the same windows for the same seed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulseveil.app import catalogue
from pulseveil.app.synthesis import Request, make, usual_request
from pulseveil.core.errors import InputError
from pulseveil.runs.generators import synthesize


@pytest.fixture(scope="module")
def private(models_folder):
    (file,) = [f for f in catalogue.find_models(models_folder) if (f.study, f.epsilon) == ("small", 8)]
    return catalogue.open_model(file, "S1")


@given(st.integers(1, 500), st.lists(st.integers(0, 50), min_size=2, max_size=3).filter(any))
def test_windows_are_the_whole_numbers_nearest_to_the_shares(windows, weights):
    shares = tuple(weight / sum(weights) for weight in weights)
    counts = Request(1, windows, shares, 0).windows_per_condition()
    assert sum(counts) == windows
    exact = [windows * weight / sum(weights) for weight in weights]
    assert all(abs(count - share) < 1 for count, share in zip(counts, exact, strict=True))
    # No other division of the same total is nearer.
    worst = max(abs(count - share) for count, share in zip(counts, exact, strict=True))
    for other in range(windows + 1):
        if len(weights) == 2:
            assert max(abs(other - exact[0]), abs(windows - other - exact[1])) >= worst - 1e-6


def test_shares_that_are_whole_in_decimals_stay_whole():
    for stress in range(101):
        counts = Request(1, 100, (1 - stress / 100, stress / 100), 0).windows_per_condition()
        assert counts == (100 - stress, stress)
    assert Request(1, 10, (0.53, 0.3, 0.17), 0).windows_per_condition() == (5, 3, 2)


def test_the_usual_request_is_that_of_the_published_front_end():
    two, three = usual_request(2), usual_request(3)
    assert (two.subjects, two.windows, two.shares) == (1, 36, (0.7, 0.3))
    # 20 minutes of baseline and 392 s of amusement share the other 70 %.
    assert three.shares == (0.53, 0.3, 0.17)
    two.check(2)
    three.check(3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 36, (0.7, 0.3), 0), "number of subjects: expected a whole number from 1 to 1000, found 0"),
        ((1.5, 36, (0.7, 0.3), 0), "number of subjects: expected a whole number from 1 to 1000, found 1.5"),
        ((1001, 1, (0.7, 0.3), 0), "number of subjects"),
        ((True, 1, (0.7, 0.3), 0), "number of subjects"),
        ((1, 0, (0.7, 0.3), 0), "windows of a subject: expected a whole number from 1 to 500, found 0"),
        ((1000, 21, (0.7, 0.3), 0), "1000 subjects x 21 windows = 21000; ask for fewer"),
        ((1, 36, (0.7, 0.4), 0), r"class shares: expected 100 % together, found 110 %"),
        ((1, 36, (1.2, -0.2), 0), r"share of not stress: expected 0 to 100 %, found 120 %"),
        ((1, 36, (float("nan"), 1.0), 0), "share of not stress"),
        ((1, 36, (0.5, 0.3, 0.2), 0), r"one per class \(not stress, stress\); found 3"),
        ((1, 36, (0.7, 0.3), -1), "seed: expected a whole number from 0 to 4294967295, found -1"),
        ((1, 36, (0.7, 0.3), 2**32), "seed"),
    ],
)
def test_numbers_out_of_bounds_are_refused(private, values, message):
    with pytest.raises(InputError, match=message):
        make(private, Request(*values))


def test_the_same_request_gives_the_same_windows_and_another_seed_others(private):
    request = Request(2, 10, (0.6, 0.4), 3)
    first, again = make(private, request).synthetic, make(private, request).synthetic
    np.testing.assert_array_equal(first.windows, again.windows)
    other = make(private, Request(2, 10, (0.6, 0.4), 4)).synthetic
    assert not np.any(np.isclose(first.windows, other.windows).all(axis=(1, 2)))


def test_fewer_subjects_are_the_first_of_more(private):
    few = make(private, Request(2, 10, (0.6, 0.4), 3)).synthetic
    many = make(private, Request(30, 10, (0.6, 0.4), 3)).synthetic
    np.testing.assert_array_equal(few.windows, many.windows[:20])
    assert sorted(set(many.subject)) == [f"SYN{i:04d}" for i in range(1, 31)]
    for name in ("SYN0001", "SYN0030"):
        assert np.bincount(many.condition[many.subject == name]).tolist() == [6, 4]


def test_nothing_that_the_study_drew_is_drawn_again(private):
    ours = make(private, Request(2, 35, (25 / 35, 10 / 35), 0)).synthetic
    study = synthesize(private.models, 2)
    study = study.take(study.fold == "S1")
    assert np.bincount(ours.condition).tolist() == np.bincount(study.condition).tolist()
    assert not np.any(np.isclose(ours.windows, study.windows).all(axis=(1, 2)))


def test_a_kind_that_is_not_installed_is_refused_in_a_sentence(private):
    job = {**private.models.description["job"], "kind": "elsewhere"}
    models = replace(private.models, description={**private.models.description, "job": job})
    with pytest.raises(InputError, match="generators of kind 'elsewhere' are not installed here"):
        make(replace(private, models=models), usual_request(2))


def test_a_class_without_a_share_is_not_drawn(private):
    made = make(private, Request(1, 12, (0.0, 1.0), 0)).synthetic
    assert set(made.condition) == {1}
    assert made.stress.all()
