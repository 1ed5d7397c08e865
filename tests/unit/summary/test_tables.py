from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.summary.description import EvaluationDescription, StudyDescription
from pulseveil.summary.results import arrange, collect
from pulseveil.summary.spent import privacy_table, read_ledgers
from pulseveil.summary.tables import main_table, use_of_private_data
from tests.unit.summary_cases import constant_scores, description, ledger_of, scores, write

STREAM = root_stream(0)
WRONG = {"S2": 2, "S3": 4, "S4": 6, "S5": 0, "S6": 1, "S7": 3}


def table(folder, records, published=None, **changes):
    results = collect(write(folder, records))
    study = StudyDescription.model_validate(description(**changes))
    return main_table(results, arrange(results, study), study, published, STREAM)


def test_means_and_both_deviations_by_hand(tmp_path):
    # Accuracies .9 .8 in seed 0 and .7 .8 in seed 1: seed means .85 .75, subject means .8 .8.
    records = [scores({"S2": 2, "S3": 4}, seed=0), scores({"S2": 6, "S3": 4}, seed=1)]
    row = table(tmp_path, records).iloc[0]
    assert row["accuracy"] == pytest.approx(0.8)
    assert row["accuracy_sd_seeds"] == pytest.approx(0.1 / np.sqrt(2))
    assert row["accuracy_sd_subjects"] == pytest.approx(0)
    assert row["accuracy_pooled"] == pytest.approx(0.8)
    assert (row["accuracy_interval"], row["accuracy_low"], row["accuracy_high"]) == ("constant", 0.8, 0.8)
    assert row[["n_seeds", "n_subjects", "n_windows"]].tolist() == [2, 2, 40]


def test_poor_runs_are_counted_per_seed_and_not_per_subject(tmp_path):
    # With two outputs that sum to 1, f1_published is the accuracy. Means per seed: .9 and .275; S2 alone of
    # the first seed would be poor, S3 alone of the second would not.
    records = [scores({"S2": 15, "S3": 0}, seed=0), scores({"S2": 15, "S3": 14}, seed=1)]
    found = table(tmp_path, records).iloc[0]
    assert found["f1_published"] == pytest.approx((0.625 + 0.275) / 2)
    assert found["poor_ratio"] == 0.5


def test_one_seed_has_no_deviation_over_seeds(tmp_path):
    row = table(tmp_path, [scores(WRONG)]).iloc[0]
    assert np.isnan(row["accuracy_sd_seeds"])
    assert row["accuracy_sd_subjects"] == pytest.approx(np.std([0.9, 0.8, 0.7, 1, 0.95, 0.85], ddof=1))


def test_difference_to_the_majority_is_paired_over_subjects(tmp_path):
    # Six subjects, all but S4 better than .7, S4 equal.
    rows = table(tmp_path, [scores(WRONG), constant_scores(list(WRONG))]).set_index("detector")
    assert rows.loc["cnn", "accuracy_minus_majority"] == pytest.approx(0.8667 - 0.7, abs=1e-4)
    assert 0 < rows.loc["cnn", "accuracy_minus_majority_p"] <= 0.05
    assert rows.loc["cnn", "accuracy_minus_majority_low"] > 0
    assert rows.loc["cnn", "better_than_majority"] == "yes"
    assert rows.loc["majority", "better_than_majority"] == ""
    assert rows.loc["majority", "f1"] == 0


def test_rows_not_better_than_the_majority_are_marked(tmp_path):
    unsure = {"S2": 0, "S3": 12, "S4": 6, "S5": 0, "S6": 12, "S7": 7}
    rows = table(tmp_path, [scores(unsure), constant_scores(list(unsure))]).set_index("detector")
    assert rows.loc["cnn", "better_than_majority"] == "no"


def test_without_baselines_the_differences_are_empty(tmp_path):
    row = table(tmp_path, [scores(WRONG)]).iloc[0]
    assert row[[f"accuracy_minus_majority{part}" for part in ("", "_low", "_high", "_p")]].isna().all()
    assert row["accuracy_minus_majority_two_people"] == ""
    assert row["better_than_majority"] == ""


def test_a_subject_without_stress_is_counted_as_undefined(tmp_path):
    record = scores(WRONG)
    calm = record.subject != "S3"
    still = type(record)(
        **{**vars(record), "stress": record.stress & calm, "condition": record.condition * calm}
    )
    row = table(tmp_path, [still]).iloc[0]
    f1 = [2 * (6 - w) / (12 - w) for s, w in WRONG.items() if s != "S3"]
    assert (row["f1_undefined"], row["accuracy_undefined"]) == (1, 0)
    assert row["f1"] == pytest.approx(np.mean(f1))


def test_interval_of_three_folds_is_students_t(tmp_path):
    row = table(tmp_path, [scores({"S2": 1, "S3": 2, "S4": 6})]).iloc[0]
    truth = stats.t.interval(0.95, 2, loc=0.85, scale=stats.sem([0.95, 0.9, 0.7]))
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((truth[0], min(1, truth[1])))


def test_every_row_of_a_shared_generator_says_that_it_saw_the_test_subject(tmp_path):
    synthetic = {"generator": "cgan", "subjects": 15}
    records = [
        scores(WRONG),
        scores(WRONG, evaluation="tstr", **synthetic),
        constant_scores(list(WRONG), evaluation="tstr", **synthetic),
        scores(WRONG, evaluation="augmented", **synthetic),
    ]
    rows = table(tmp_path, records)
    saw = rows.groupby("evaluation")["generator_saw_test_subject"].unique().map(list).to_dict()
    assert saw == {"real": [""], "tstr": ["yes"], "augmented": ["no"]}


@pytest.mark.parametrize(
    ("change", "saw"),
    [
        ({}, True),
        ({"test": "order_crossed"}, True),
        ({"train": "real+synthetic"}, True),
        ({"train": "real"}, False),
        ({"generator_shared": False}, False),
        ({"test": "transfer", "test_cohort": "other"}, False),
    ],
)
def test_only_a_shared_generator_of_the_tested_cohort_saw_the_test_subject(change, saw):
    shared = {
        "cohort": "wesad",
        "train": "synthetic",
        "test": "loso",
        "tested_on": "each left-out subject",
        "generator_shared": True,
    }
    assert EvaluationDescription.model_validate({**shared, **change}).generator_saw_test_subject is saw


def use_by_row(folder, records):
    results = collect(write(folder, records))
    study = StudyDescription.model_validate(description())
    cells = arrange(results, study)
    privacy = privacy_table(cells.keys, read_ledgers(results.ledger, ()), study)
    main = main_table(results, cells, study, None, STREAM).join(privacy)
    main["use"] = use_of_private_data(main)
    return main.set_index(["detector", "epsilon_detector"])["use"].to_dict()


def training(wrong, **keys):
    """Scores of a private training of 20 steps; `scores` are those of one query."""
    found = scores(wrong, **keys)
    return replace(found, ledger=ledger_of(found.keys, "epsilon_detector", steps=20))


@pytest.mark.parametrize(
    ("kind", "seeds", "use"),
    [(training, 5, "yes"), (training, 4, "few seeds"), (scores, 100, "yes"), (scores, 99, "few seeds")],
)
def test_a_private_row_must_beat_the_public_signs_with_enough_draws_of_noise(tmp_path, kind, seeds, use):
    signs = scores(dict.fromkeys(WRONG, 6), detector="public_signs")
    better = {**WRONG, "S4": 1}
    records = [
        signs,
        scores(better),
        *(kind(better, epsilon_detector=1, seed=seed) for seed in range(seeds)),
        kind({**WRONG, "S5": 12}, epsilon_detector=0.1),
    ]
    rows = {("cnn", 1.0): use, ("cnn", 0.1): "no", ("cnn", np.inf): "", ("public_signs", np.inf): ""}
    assert use_by_row(tmp_path, records) == rows


@pytest.mark.parametrize(("wrong_of_three", "use"), [(6, "yes"), (1, "no")])
def test_a_private_row_must_beat_the_harder_of_two_literature_rules(tmp_path, wrong_of_three, use):
    records = [
        scores(dict.fromkeys(WRONG, 6), detector="public_signs"),
        scores(dict.fromkeys(WRONG, wrong_of_three), detector="public_signs_three"),
        *(training({**WRONG, "S4": 1}, epsilon_detector=1, seed=seed) for seed in range(5)),
    ]
    assert use_by_row(tmp_path, records)["cnn", 1.0] == use
    assert use_by_row(tmp_path, records)["public_signs_three", np.inf] == ""


@pytest.mark.parametrize(("wrong_of_untrained", "use"), [(6, "yes"), (1, "no")])
def test_a_private_network_must_also_beat_its_untrained_network(tmp_path, wrong_of_untrained, use):
    records = [
        scores(dict.fromkeys(WRONG, 6), detector="public_signs"),
        scores(dict.fromkeys(WRONG, wrong_of_untrained), detector="untrained"),
        *(
            training({**WRONG, "S4": 1}, detector=detector, epsilon_detector=1, seed=seed)
            for detector in ("cnn", "transformer")
            for seed in range(5)
        ),
    ]
    found = use_by_row(tmp_path, records)
    # The untrained network of the description is a CNN, which says nothing of a transformer.
    assert (found["cnn", 1.0], found["transformer", 1.0]) == (use, "yes")


def test_to_beat_the_untrained_network_alone_shows_no_use(tmp_path):
    untrained = scores(dict.fromkeys(WRONG, 6), detector="untrained")
    private = [training({**WRONG, "S4": 1}, epsilon_detector=1, seed=seed) for seed in range(5)]
    assert use_by_row(tmp_path, [untrained, *private])["cnn", 1.0] == ""


def test_a_row_names_the_cohorts_that_its_generator_takes_for_public(tmp_path):
    described = description()
    described["generators"]["cgan"] |= {"public_cohorts": ("others", "more")}
    synthetic = {"evaluation": "tstr", "generator": "cgan"}
    results = collect(write(tmp_path, [scores(WRONG), scores(WRONG, **synthetic)]))
    study = StudyDescription.model_validate(described)
    main = main_table(results, arrange(results, study), study, None, STREAM)
    assert main.set_index("generator")["public_cohorts"].to_dict() == {"none": "", "cgan": "others, more"}


def test_a_row_names_the_cohorts_that_its_detector_takes_for_public_too(tmp_path):
    described = description()
    described["generators"]["cgan"] |= {"public_cohorts": ("others",)}
    described["detectors"]["cnn"] |= {"public_cohorts": ("others", "more")}
    records = [
        scores(WRONG),
        scores(WRONG, detector="forest"),
        scores(WRONG, evaluation="tstr", generator="cgan"),
    ]
    results = collect(write(tmp_path, records))
    study = StudyDescription.model_validate(described)
    main = main_table(results, arrange(results, study), study, None, STREAM)
    named = dict(zip(main["generator"] + " " + main["detector"], main["public_cohorts"], strict=True))
    assert named == {"none cnn": "others, more", "none forest": "", "cgan cnn": "others, more"}


def test_table_order_is_that_of_the_study_with_baselines_last(tmp_path):
    records = [
        constant_scores(["S2", "S3"]),
        scores({"S2": 0, "S3": 1}, evaluation="tstr", generator="cgan", epsilon_generator=1),
        scores({"S2": 0, "S3": 1}, evaluation="tstr", generator="cgan", epsilon_generator="inf"),
        scores({"S2": 0, "S3": 1}),
    ]
    rows = table(tmp_path, records)
    found = list(zip(rows["evaluation"], rows["detector"], rows["epsilon_generator"], strict=True))
    assert found == [
        ("real", "cnn", np.inf),
        ("real", "majority", np.inf),
        ("tstr", "cnn", np.inf),
        ("tstr", "cnn", 1.0),
    ]


def test_scores_of_another_study_are_refused(tmp_path):
    with pytest.raises(InputError, match="evaluation 'elsewhere': the study has only real"):
        table(tmp_path, [scores(WRONG, evaluation="elsewhere")])


def test_published_values_stand_beside_ours(tmp_path):
    published = pd.DataFrame(
        {
            "scenario": ["1-LOSO_15real"], "train": ["real"], "test": ["loso"], "generator": ["none"],
            "detector": ["cnn"], "epsilon_generator": [np.inf], "epsilon_detector": [np.inf],
            "subjects": [0], "noise": [0.0], "accuracy_mean": [0.8812], "f1_mean": [0.88],
            "accuracy_sd_runs": [0.0085], "f1_sd_runs": [0.0083], "poor_ratio": 0.0,
        }
    )  # fmt: skip
    row = table(tmp_path, [scores(dict.fromkeys(WRONG, 2))], published).iloc[0]
    assert row["accuracy_minus_published"] == pytest.approx(0.9 - 0.8812)
    assert row["f1_published_minus_published"] == pytest.approx(0.9 - 0.88)


def test_a_private_generator_alone_marks_no_row_of_real_windows(tmp_path):
    signs = {"detector": "public_signs"}
    mixed = {"evaluation": "augmented", "generator": "cgan", "subjects": 15, "epsilon_generator": 1}
    records = [scores(WRONG, **mixed), scores(WRONG, evaluation="augmented", **signs)]
    assert set(use_by_row(tmp_path, records).values()) == {""}
