from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulseveil.core import randomness, registry
from pulseveil.core.contracts import FeatureSet, WindowSet
from pulseveil.core.errors import InputError
from pulseveil.evaluation.protocols import (
    ALL,
    Fold,
    People,
    require_apart,
    require_folds,
    test_rows,
    training_rows,
    with_input_noise,
    with_noised_samples,
)
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import read_study
from tests.unit.study.test_plan import labels_of_the_studies

test_rows.__test__ = False  # a function of the library, not a test

BSA, BAS = ("baseline", "stress", "amusement"), ("baseline", "amusement", "stress")
OUTLINE = {"S1": BSA, "S2": BAS, "S3": BSA, "S10": BAS}
CONFIG = Path(__file__).resolve().parents[3] / "config"


def make_folds(test, outline, selection):
    return registry.load("protocols", test).folds(People(outline, outline, selection))


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
    assert with_input_noise(rows, 0.0, "laplace", randomness.root_stream(1)) is rows
    noisy = with_input_noise(rows, 0.5, "laplace", randomness.root_stream(1))
    difference = (noisy.features - rows.features).ravel()
    # The mean of |Laplace(b)| is b; 60,000 draws have a standard error of b / 245: 5 of them as tolerance.
    assert abs(np.abs(difference).mean() - 0.5) < 5 * 0.5 / 245


@pytest.mark.parametrize(("distribution", "absolute", "squared"), [("laplace", 1, 2), ("gaussian", 0.798, 1)])
def test_noise_on_samples_has_the_asked_distribution_and_is_independent(distribution, absolute, squared):
    n, scale = 1000, 0.3
    values = np.tile(np.linspace(0, 1, 60, dtype=np.float32)[:, np.newaxis], (n, 1, 6))
    windows = WindowSet(
        windows=values,
        condition=np.zeros(n, np.int8),
        stress=np.zeros(n, bool),
        calibration=np.zeros(n, bool),
        subject=np.array(["S1"] * n),
        start_s=60.0 * np.arange(n),
        channels=("BVP", "EDA", "ACC_x", "ACC_y", "ACC_z", "TEMP"),
        rate_hz=1.0,
        window_s=60.0,
        stride_s=60.0,
        scaling="min-max",
        protocol="paper",
    )
    assert with_noised_samples(windows, 0.0, distribution, randomness.root_stream(1)) is windows
    noised = with_noised_samples(windows, scale, distribution, randomness.root_stream(1))
    noise = (noised.windows - values).astype(np.float64) / scale
    # 360,000 draws: standard errors below .004 of both moments (fourth moment of Laplace 24), 5 as tolerance.
    assert abs(np.abs(noise).mean() - absolute) < 5 * 0.002
    assert abs(np.square(noise).mean() - squared) < 5 * np.sqrt(20 / noise.size)
    # Neighbouring samples and channels: correlations of 50,000 pairs or more have standard errors below .005.
    assert abs(np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]) < 0.025
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.025
    np.testing.assert_array_equal(noised.subject, windows.subject)


def plainly_split(study, outlines, evaluation):
    """The folds of an evaluation by plain loops: (name, who trains, who is tested)."""
    outline, folds = outlines[evaluation.cohort], []
    if evaluation.test == "transfer":
        return [("all", list(outline), list(outlines[evaluation.test_cohort]))]
    if evaluation.test == "loso":
        for left_out in outline:
            folds.append((left_out, [s for s in outline if s != left_out], [left_out]))
        # Of studies with fewer folds, the first.
        return folds[: study.folds] if isinstance(study.folds, int) else folds
    for order in sorted({"-".join(conditions) for conditions in outline.values()}):
        tested = [s for s in outline if "-".join(outline[s]) == order]
        folds.append((order, [s for s in outline if s not in tested], tested))
    return folds


@pytest.mark.parametrize("name", [file.stem for file in sorted(CONFIG.glob("*.yaml"))])
def test_studies_of_the_project_have_the_folds_of_plain_loops(name, tmp_path, monkeypatch):
    labels_of_the_studies(tmp_path)
    monkeypatch.chdir(tmp_path)
    plan = make_plan(read_study(CONFIG / f"{name}.yaml"))
    study, found = plan.study, Counter()
    for pack in plan.detector_packs:
        evaluation = pack.evaluation
        expected = plainly_split(study, plan.outlines, evaluation)
        if pack.train == "synthetic" and study.generator_shared and evaluation.test == "loso":
            tested = [subject for _, _, subjects in expected for subject in subjects]
            expected = [("all", list(plan.outlines[evaluation.cohort]), tested)]
        folds = plan.detector_folds(pack)
        assert [(f.name, list(f.train_subjects), list(f.test_subjects)) for f in folds] == expected
        found[evaluation.test] += len(folds)
    assert found.total() > 0
    if name == "sound":
        assert found["order_crossed"] > 0


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        ([], "at least one fold"),
        ([("a", ["S1"], ["S2"]), ("a", ["S2"], ["S1"])], "different names"),
        ([("a/b", ["S1"], ["S2"])], "without a slash"),
        ([("a", [], ["S2"])], "fold a trains on nobody"),
        ([("a", ["S1"], [])], "fold a tests nobody"),
        ([("a", ["S1", "S7"], ["S2"])], "fold a trains on S7; expected one or more of S1, S2, S3, S10"),
        ([("a", ["S1", "S1"], ["S2"])], "fold a trains on S1, S1"),
    ],
)
def test_folds_that_are_none_are_refused(folds, words):
    split = tuple(Fold(name=name, train_subjects=train, test_subjects=test) for name, train, test in folds)
    with pytest.raises(InputError) as caught:
        require_folds(split, People(OUTLINE, OUTLINE, ALL))
    assert words in str(caught.value)


def test_a_fold_that_tests_whom_it_trains_on_is_refused():
    require_apart(make_folds("loso", OUTLINE, ALL))
    with pytest.raises(InputError, match="fold a tests S2, on whom it trains"):
        require_apart((Fold(name="a", train_subjects=("S1", "S2"), test_subjects=("S3", "S2")),))
