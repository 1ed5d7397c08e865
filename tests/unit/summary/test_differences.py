import numpy as np
import pytest
from scipy import stats

from pulseveil.core.randomness import root_stream
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.differences import all_pairs, differences_table
from pulseveil.summary.results import arrange, collect
from tests.unit.summary_cases import constant_scores, description, scores, write

PEOPLE = {"S2": 0, "S3": 2, "S4": 4}


def study(folder, records):
    results = collect(write(folder, records))
    described = StudyDescription.model_validate(description())
    return arrange(results, described), described


def named(cells, pairs):
    def name(row):
        return " ".join(str(cells.keys.loc[row, key]) for key in ("evaluation", "generator", "detector"))

    return {(name(pair.cell), name(pair.reference), pair.against) for pair in pairs}


def test_each_cell_meets_baselines_rival_models_and_real_data(tmp_path):
    synthetic = {"evaluation": "tstr", "generator": "cgan", "subjects": 15}
    cells, described = study(
        tmp_path,
        [
            scores(PEOPLE),
            scores(PEOPLE, detector="forest"),
            constant_scores(list(PEOPLE)),
            scores(PEOPLE, **synthetic),
            scores(PEOPLE, **{**synthetic, "generator": "moments"}),
        ],
    )
    assert named(cells, all_pairs(cells.keys, described)) == {
        ("real none cnn", "real none majority", "majority"),
        ("real none forest", "real none majority", "majority"),
        ("real none forest", "real none cnn", "detector"),
        ("tstr moments cnn", "tstr cgan cnn", "generator"),
        ("tstr cgan cnn", "real none cnn", "real"),
        ("tstr moments cnn", "real none cnn", "real"),
    }


def test_each_budget_meets_the_row_of_public_knowledge_alone(tmp_path):
    people = {"evaluation": "tstr", "generator": "posterior", "subjects": 28}
    records = [
        *(scores(PEOPLE, **people, epsilon_generator=epsilon) for epsilon in ("inf", 10, 1)),
        scores(PEOPLE, **people | {"generator": "prior_only"}),
        scores(PEOPLE, **people | {"subjects": 5}),
        scores(PEOPLE),
    ]
    cells, described = study(tmp_path, records)
    pairs = [pair for pair in all_pairs(cells.keys, described) if pair.against == "prior"]
    found = cells.keys.loc[[pair.cell for pair in pairs]]
    assert found["epsilon_generator"].tolist() == [np.inf, 10.0, 1.0]
    assert set(found["generator"]) == {"posterior"}
    assert set(found["subjects"]) == {28}
    assert {cells.keys.loc[pair.reference, "generator"] for pair in pairs} == {"prior_only"}


def test_some_signals_are_compared_with_all_signals(tmp_path):
    levels = ("TEMP", "without_TEMP", "all")
    records = [scores(PEOPLE, signals=signals) for signals in levels]
    records += [scores(PEOPLE, detector="forest", signals="TEMP"), constant_scores(list(PEOPLE))]
    cells, described = study(tmp_path, records)
    pairs = all_pairs(cells.keys, described)
    level = cells.keys["signals"]
    found = {(level[pair.cell], level[pair.reference]) for pair in pairs if pair.against == "signals"}
    assert found == {("TEMP", "all"), ("without_TEMP", "all")}
    # Two detectors are compared where both read the same.
    other = [(level[pair.cell], level[pair.reference]) for pair in pairs if pair.against == "detector"]
    assert other == [("TEMP", "TEMP")]


def test_axes_are_compared_with_their_least_private_least_noisy_and_smallest_cell(tmp_path):
    synthetic = {"evaluation": "tstr", "generator": "cgan", "subjects": 5}
    cells, described = study(
        tmp_path,
        [
            scores(PEOPLE, **synthetic),
            scores(PEOPLE, **{**synthetic, "subjects": 100}),
            scores(PEOPLE, **synthetic, epsilon_generator=1),
            scores(PEOPLE, **synthetic, epsilon_generator=10),
            scores(PEOPLE, noise=0.0),
            scores(PEOPLE, noise=2.0),
        ],
    )
    pairs = [p for p in all_pairs(cells.keys, described) if p.against in ("epsilon", "subjects", "noise")]
    axis = {"epsilon": "epsilon_generator", "subjects": "subjects", "noise": "noise"}
    levels = {
        (p.against, cells.keys.loc[p.cell, axis[p.against]], cells.keys.loc[p.reference, axis[p.against]])
        for p in pairs
    }
    assert levels == {("epsilon", 10, np.inf), ("epsilon", 1, np.inf), ("subjects", 100, 5), ("noise", 2, 0)}


def test_the_real_reference_has_the_same_privacy(tmp_path):
    cells, described = study(
        tmp_path,
        [
            scores(PEOPLE),
            scores(PEOPLE, epsilon_detector=1),
            scores(PEOPLE, evaluation="tstr", generator="cgan", subjects=15, epsilon_generator=1),
        ],
    )
    (pair,) = [p for p in all_pairs(cells.keys, described) if p.against == "real"]
    assert cells.keys.loc[pair.reference, "epsilon_detector"] == 1


def test_a_baseline_of_the_same_noise_is_taken_before_another(tmp_path):
    cells, described = study(
        tmp_path,
        [scores(PEOPLE, noise=2.0), constant_scores(list(PEOPLE)), constant_scores(list(PEOPLE), noise=2.0)],
    )
    (pair,) = [p for p in all_pairs(cells.keys, described) if p.against == "majority"]
    assert cells.keys.loc[pair.reference, "noise"] == 2


def test_both_sides_of_a_difference_name_the_cohorts_that_they_take_for_public(tmp_path):
    described = description()
    described["generators"]["cgan"] |= {"public_cohorts": ("others", "more")}
    synthetic = {"evaluation": "tstr", "subjects": 15}
    cells, _ = study(tmp_path, [scores(PEOPLE, **synthetic, generator=name) for name in ("cgan", "moments")])
    table = differences_table(cells, StudyDescription.model_validate(described), root_stream(0))
    assert set(table["against"]) == {"generator"}
    assert set(table["generator"]) == {"moments"}
    assert set(table["public_cohorts"]) == {""}
    assert set(table["reference_public_cohorts"]) == {"others, more"}


def test_differences_average_seeds_first_and_pair_subjects(tmp_path):
    # Accuracy of S2: (1 + .8) / 2 against .9; of S3: .9 against .7; S4 is not tested by both.
    cells, described = study(
        tmp_path,
        [
            scores({"S2": 0, "S3": 2}, seed=0),
            scores({"S2": 4, "S3": 2}, seed=1),
            scores({"S2": 2, "S3": 6, "S4": 1}, detector="forest"),
        ],
    )
    table = differences_table(cells, described, root_stream(0))
    row = table[(table["metric"] == "accuracy") & (table["against"] == "detector")].iloc[0]
    assert row["difference"] == pytest.approx(-(0.0 + 0.2) / 2)
    assert row["n_subjects"] == 2
    assert row["p"] == pytest.approx(stats.ttest_1samp([0.0, -0.2], 0).pvalue)
