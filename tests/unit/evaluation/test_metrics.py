import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from pulseveil.core.contracts import Scores
from pulseveil.evaluation.metrics import (
    METRICS,
    NAMES,
    auroc,
    average_precision,
    measure,
    per_subject,
    pooled,
    two_output_f1,
)


def scores(
    stress, score, *, score_rest=None, predicted=None, condition=None, subject=None, fold=None
) -> Scores:
    stress, score = np.asarray(stress, bool), np.asarray(score, np.float32)
    n = len(stress)
    return Scores(
        subject=np.full(n, "S2") if subject is None else np.asarray(subject),
        fold=np.full(n, "S2") if fold is None else np.asarray(fold),
        start_s=60.0 * np.arange(n),
        condition=stress.astype(np.int8) if condition is None else np.asarray(condition, np.int8),
        stress=stress,
        score=score,
        score_rest=(1 - score) if score_rest is None else np.asarray(score_rest, np.float32),
        predicted=score > 0.5 if predicted is None else np.asarray(predicted, bool),
    )


# A coarse grid of scores makes many ties.
labelled = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=60).filter(
    lambda rows: len({stress for stress, _ in rows}) == 2
)


@settings(deadline=None, max_examples=200)
@given(labelled)
def test_every_metric_equals_scikit_learn(rows):
    stress, score = np.array([s for s, _ in rows]), np.array([v / 8 for _, v in rows])
    found, predicted = pooled(scores(stress, score)), score > 0.5
    expected = {
        "accuracy": reference.accuracy_score(stress, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(stress, predicted),
        "precision": reference.precision_score(stress, predicted, zero_division=0),
        "recall": reference.recall_score(stress, predicted),
        "f1": reference.f1_score(stress, predicted, zero_division=0),
        "macro_f1": reference.f1_score(stress, predicted, average="macro", zero_division=0),
        "auroc": reference.roc_auc_score(stress, score),
        "average_precision": reference.average_precision_score(stress, score),
        "brier": reference.brier_score_loss(stress, score),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def plain_two_output_f1(stress, score, score_rest) -> float:
    truth = np.stack([~stress, stress], axis=1).ravel()
    answer = np.stack([score_rest > 0.5, score > 0.5], axis=1).ravel()
    return reference.f1_score(truth, answer, zero_division=0)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40))
def test_the_published_f1_equals_its_plain_definition(rows):
    stress, score, rest = (np.array(column) for column in zip(*rows, strict=True))
    assert two_output_f1(stress, score, rest) == pytest.approx(plain_two_output_f1(stress, score, rest))


@pytest.mark.parametrize(
    ("score", "score_rest", "published", "accuracy", "f1"),
    [(0, 1, 380 / 530, 380 / 530, 0.0), (1, 0, 150 / 530, 150 / 530, 300 / 680), (1, 1, 2 / 3, None, None)],
)
def test_constant_answers_reach_the_known_values(score, score_rest, published, accuracy, f1):
    stress = np.arange(530) < 150
    found = pooled(scores(stress, np.full(530, score), score_rest=np.full(530, score_rest)))
    assert found["f1_published"] == pytest.approx(published)
    if accuracy is not None:
        assert (found["accuracy"], found["f1"]) == pytest.approx((accuracy, f1))


def test_amusement_metrics_look_at_active_windows_only():
    condition = [0, 0, 1, 1, 2, 2]
    score = [0.9, 0.9, 0.8, 0.3, 0.6, 0.1]
    found = pooled(scores(np.array(condition) == 1, score, condition=condition))
    assert found["auroc_amusement"] == pytest.approx(3 / 4)
    assert found["accuracy_amusement"] == pytest.approx(2 / 4)
    assert found["auroc"] == pytest.approx(3 / 8)


def test_a_subject_without_stress_leaves_its_metrics_undefined():
    found = pooled(scores([False] * 4, [0.1, 0.2, 0.7, 0.3]))
    undefined = {name for name, value in found.items() if np.isnan(value)}
    assert undefined == {
        *("balanced_accuracy", "precision", "recall", "f1", "macro_f1"),
        *("auroc", "average_precision", "accuracy_amusement", "auroc_amusement"),
    }
    assert found["accuracy"] == pytest.approx(3 / 4)


def test_a_subject_of_stress_only_keeps_the_metrics_of_stress():
    found = pooled(scores([True] * 4, [0.9, 0.8, 0.7, 0.3]))
    assert (found["precision"], found["recall"]) == (1.0, 0.75)
    undefined = {name for name, value in found.items() if np.isnan(value)}
    assert undefined == {
        *("balanced_accuracy", "macro_f1", "auroc"),
        *("accuracy_amusement", "auroc_amusement"),
    }


def test_scores_that_are_not_finite_leave_ranking_undefined_and_keep_decisions():
    found = pooled(scores([True, False], [np.nan, 0.2], predicted=[False, False]))
    assert found["accuracy"] == 0.5
    assert np.isnan([found["auroc"], found["average_precision"], found["brier"]]).all()


def test_per_subject_keeps_folds_and_subjects_apart_in_file_order():
    table = per_subject(
        scores(
            [True, False, True, False, True],
            [0.9, 0.1, 0.2, 0.1, 0.8],
            subject=["S10", "S10", "S2", "S2", "S10"],
            fold=["a", "a", "a", "a", "b"],
        )
    )
    assert list(zip(table["fold"], table["subject"], strict=True)) == [
        ("a", "S10"),
        ("a", "S2"),
        ("b", "S10"),
    ]
    assert table["windows"].tolist() == [2, 2, 1]
    assert table["stress_windows"].tolist() == [1, 1, 1]
    assert table["accuracy"].tolist() == [1.0, 0.5, 1.0]
    assert list(table.columns[4:]) == list(NAMES)


def drawn_file(rng, people):
    """Scores with ties of some people in two folds; people without stress or amusement occur."""
    n = 90
    condition = rng.integers(0, 3, n) * (rng.random(n) < 0.5)
    fold, score = rng.choice(["a", "b"], n), np.round(rng.random(n), 1)
    return scores(condition == 1, score, condition=condition, subject=rng.choice(people, n), fold=fold)


def test_files_measured_together_have_the_metrics_of_a_plain_loop():
    rng = np.random.default_rng(4)
    files = [drawn_file(rng, people) for people in (["S2", "S3"], ["S10"], [f"S{i}" for i in range(30)])]
    # Two files in succession that test the same people in the same windows.
    again = rng.random(90).round(1)
    files.insert(1, scores(files[0].stress, again, subject=files[0].subject, fold=files[0].fold))
    found = measure(files)
    expected = []
    for number, each in enumerate(files):
        pairs = list(zip(each.fold.tolist(), each.subject.tolist(), strict=True))
        assert found.pooled.loc[number, "accuracy"] == np.mean(each.stress == each.predicted)
        for pair in dict.fromkeys(pairs):
            rows = np.array([other == pair for other in pairs])
            stress, score = each.stress[rows], each.score[rows]
            ranks = [np.nan, np.nan]
            if stress.any():
                ranks[1] = reference.average_precision_score(stress, score)
            if stress.any() and not stress.all():
                ranks[0] = reference.roc_auc_score(stress, score)
            expected.append((number, *pair, rows.sum(), np.mean(stress == each.predicted[rows]), *ranks))
    columns = ["file", "fold", "subject", "windows", "accuracy", "auroc", "average_precision"]
    assert len(expected) > 30
    pd.testing.assert_frame_equal(
        found.per_subject[columns], pd.DataFrame(expected, columns=columns), check_dtype=False
    )


@settings(deadline=None, max_examples=50)
@given(labelled)
def test_ranking_metrics_do_not_see_a_monotone_change(rows):
    stress, score = np.array([s for s, _ in rows]), np.array([v / 8 for _, v in rows])
    assert auroc(stress, np.exp(score)) == pytest.approx(auroc(stress, score))
    assert auroc(stress, -score) == pytest.approx(1 - auroc(stress, score))
    assert average_precision(stress, score**3) == pytest.approx(average_precision(stress, score))


def test_every_metric_says_what_it_means():
    assert set(pooled(scores([True, False], [0.9, 0.1]))) == set(NAMES)
    assert len(set(NAMES)) == len(METRICS)
    assert [m.name for m in METRICS if not m.higher_is_better] == ["brier"]
