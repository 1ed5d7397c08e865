import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulseveil import randomness
from pulseveil.contracts import FeatureSet
from pulseveil.errors import InputError
from pulseveil.protocols import ALL, make_folds, test_rows, training_rows, with_input_noise

test_rows.__test__ = False  # a function of the library, not a test

BSA, BAS = ("baseline", "stress", "amusement"), ("baseline", "amusement", "stress")
OUTLINE = {"S1": BSA, "S2": BAS, "S3": BSA, "S10": BAS}


def features(subject, fold="", calibration=False):
    n = len(subject)
    return FeatureSet(
        features=np.arange(n * 12, dtype=np.float32).reshape(n, 6, 2),
        statistics=np.zeros((n, 1), np.float32),
        condition=np.zeros(n, np.int8),
        stress=np.zeros(n, bool),
        calibration=np.broadcast_to(calibration, n).copy(),
        subject=np.array(subject),
        fold=np.broadcast_to(fold, n).astype(np.str_),
        start_s=np.zeros(n),
        frequency_hz=np.full((6, 2), np.nan, np.float32),
        statistic_names=("x",),
        scaling="calibration",
        protocol="sound",
    )


def test_loso_leaves_each_subject_out_once_and_never_trains_on_it():
    folds = make_folds("loso", OUTLINE, ALL)
    assert [f.name for f in folds] == list(OUTLINE)
    for fold in folds:
        assert fold.test_subjects == (fold.name,)
        assert set(fold.train_subjects) == set(OUTLINE) - {fold.name}


def test_order_crossed_tests_only_on_an_order_never_trained_on():
    for fold in make_folds("order_crossed", OUTLINE, ALL):
        trained = {OUTLINE[s] for s in fold.train_subjects}
        tested = {OUTLINE[s] for s in fold.test_subjects}
        assert trained.isdisjoint(tested)
        assert set(fold.train_subjects) | set(fold.test_subjects) == set(OUTLINE)


def test_order_crossed_needs_two_orders():
    with pytest.raises(InputError, match="2 orders"):
        make_folds("order_crossed", {"S1": BSA, "S2": BSA}, ALL)


def test_folds_can_be_the_first_k_or_named_ones():
    assert [f.name for f in make_folds("loso", OUTLINE, 2)] == ["S1", "S2"]
    assert [f.name for f in make_folds("loso", OUTLINE, ("S10", "S3"))] == ["S3", "S10"]
    with pytest.raises(InputError, match="S4"):
        make_folds("loso", OUTLINE, ("S4",))
    with pytest.raises(InputError, match="9 asked for"):
        make_folds("loso", OUTLINE, 9)


@given(st.permutations(["S1", "S1", "S2", "S3", "S10", "S10"]))
def test_the_left_out_subject_is_in_no_training_row_and_in_every_test_row(subjects):
    real = features(subjects)
    for fold in make_folds("loso", OUTLINE, ALL):
        train = training_rows(real, None, fold, train="real", generator_fold="", subjects=0)
        assert fold.name not in train.subject
        assert len(train) + len(test_rows(real, fold)) == len(real)


def test_calibration_windows_are_never_tested():
    real = features(["S1", "S1", "S2"], calibration=[True, False, False])
    fold = make_folds("loso", OUTLINE, ("S1",))[0]
    assert len(test_rows(real, fold)) == 1


def test_synthetic_rows_come_from_the_folds_own_generator_and_the_first_subjects():
    real = features(["S1", "S2"])
    synthetic = FeatureSet.concatenate(
        [features(["SYN0001", "SYN0002", "SYN0003"], fold) for fold in ("S1", "S2")]
    )
    fold = make_folds("loso", OUTLINE, ("S1",))[0]
    rows = training_rows(real, synthetic, fold, train="real+synthetic", generator_fold="S1", subjects=2)
    assert list(rows.subject) == ["S2", "SYN0001", "SYN0002"]
    assert set(rows.fold) == {"", "S1"}
    with pytest.raises(InputError, match="4 synthetic subjects needed, 3 found"):
        training_rows(real, synthetic, fold, train="synthetic", generator_fold="S1", subjects=4)


def test_input_noise_has_the_asked_scale_and_zero_changes_nothing():
    rows = features(["S1"] * 5000)
    assert with_input_noise(rows, 0.0, randomness.root_stream(1)) is rows
    noisy = with_input_noise(rows, 0.5, randomness.root_stream(1))
    difference = (noisy.features - rows.features).ravel()
    # The mean of |Laplace(b)| is b; 60,000 draws have a standard error of b / 245: 5 of them as tolerance.
    assert abs(np.abs(difference).mean() - 0.5) < 5 * 0.5 / 245
