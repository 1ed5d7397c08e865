import csv

import numpy as np
import pytest

from pulseveil.core.contracts import PUBLISHED_CHANNELS, SyntheticSet
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.generators.moments import Moments, MomentsSettings
from pulseveil.generators.subjects import published_windows, synthetic_subjects
from pulseveil.release.export import export_csv
from tests.trainings import plain


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    windows, codes = rng.normal(size=(90, 60, 6)).astype(np.float32), np.arange(90) % 3
    return Moments.fit(
        MomentsSettings(rank=5, residual="white"),
        plain(windows, codes, root_stream(0), classes=3),
    )


def test_a_published_subject_has_25_windows_of_rest_and_10_of_stress():
    assert published_windows(2) == (25, 10)
    assert published_windows(3) == (19, 10, 6)
    assert published_windows(3, amusement_share=0.0) == (25, 10, 0)


@pytest.mark.parametrize("subjects", [1, 7, 8, 30])
def test_fewer_subjects_are_the_first_of_more_to_the_last_bit(model, subjects):
    few = synthetic_subjects(model, subjects=subjects, classes=3, stream=root_stream(4))
    many = synthetic_subjects(model, subjects=40, classes=3, stream=root_stream(4))
    n = 35 * subjects
    for name in ("windows", "condition", "subject"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:n])


def test_subjects_and_conditions_come_in_the_numbers_asked_for(model):
    made = synthetic_subjects(
        model, subjects=3, classes=3, stream=root_stream(1), windows_per_condition=(4, 0, 2)
    )
    assert made.condition.tolist() == [0, 0, 0, 0, 2, 2] * 3
    assert made.subject.tolist() == ["SYN0001"] * 6 + ["SYN0002"] * 6 + ["SYN0003"] * 6


def test_subjects_differ_from_each_other_and_between_streams(model):
    first = synthetic_subjects(model, subjects=2, classes=2, stream=root_stream(1)).windows
    other = synthetic_subjects(model, subjects=2, classes=2, stream=root_stream(2)).windows
    assert not np.isclose(first[:35], first[35:]).any(axis=(1, 2)).all()
    assert abs(np.corrcoef(first[:35].ravel(), first[35:].ravel())[0, 1]) < 0.1
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.1


def synthetic_set(folds):
    n = len(folds)
    windows = np.arange(n * 60 * 6, dtype=np.float32).reshape(n, 60, 6) / 7
    condition = np.arange(n, dtype=np.int8) % 2
    return SyntheticSet(
        windows,
        condition,
        condition == 1,
        np.repeat("SYN0001", n),
        np.array(folds),
        PUBLISHED_CHANNELS,
        1.0,
        60.0,
        60.0,
        "min-max",
        "paper",
        "moments",
        "subject",
        float("inf"),
        0,
    )


def test_csv_has_one_row_a_second_with_the_windows_values(tmp_path):
    synthetic = synthetic_set(["all", "all"])
    export_csv(tmp_path / "made.csv", synthetic)
    with open(tmp_path / "made.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["subject", "window", "second", *PUBLISHED_CHANNELS, "condition"]
    assert len(rows) == 120
    assert [int(row["second"]) for row in rows] == [*range(60), *range(60)]
    assert {row["window"] for row in rows[60:]} == {"1"}
    assert [int(row["condition"]) for row in rows] == [0] * 60 + [1] * 60
    values = np.array([[float(row[name]) for name in PUBLISHED_CHANNELS] for row in rows])
    np.testing.assert_allclose(values, synthetic.windows.reshape(120, 6), rtol=1e-6)


def test_csv_names_the_fold_where_there_are_several(tmp_path):
    export_csv(tmp_path / "made.csv", synthetic_set(["S2", "S2", "S3"]))
    with open(tmp_path / "made.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["fold"], row["window"]) for row in rows} == {("S2", "0"), ("S2", "1"), ("S3", "0")}


def test_windows_that_are_not_finite_are_refused_where_they_are_made():
    mean = np.array([[0.0], [np.inf]])
    arrays = {
        "mean": mean,
        "factors": np.ones((2, 1, 1)),
        "residual": np.zeros((2, 1)),
        "shape": np.array([1, 1]),
    }
    model = Moments.from_arrays(MomentsSettings(rank=1), arrays)
    with pytest.raises(InputError, match=r"Moments: 20 of 70 windows .* not finite \(condition codes 1\)"):
        synthetic_subjects(model, subjects=2, classes=2, stream=root_stream(1))
