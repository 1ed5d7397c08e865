"""Sentences for a paper and the list of what may leave, on a main table by hand."""

import numpy as np
import pandas as pd

from pulseveil.summary import claimed
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.unprotected import unprotected
from tests.unit.summary_cases import description

STUDY = StudyDescription.model_validate(description())
NOBODY = {
    f"accuracy_minus_{role}{part}": np.nan
    for role in ("public_signs", "public_signs_three", "untrained")
    for part in ("", "_low", "_high", "_p")
}
ROW = NOBODY | {
    "evaluation": "tstr",
    "generator": "posterior",
    "detector": "logistic",
    "unit": "subject",
    "epsilon_generator": 1.0,
    "epsilon_detector": np.inf,
    "subjects": 28,
    "role": "model",
    "secret": "yes",
    "n_seeds": 100,
    "n_subjects": 15,
    "accuracy": 0.856,
    "accuracy_low": 0.8,
    "accuracy_high": 0.9,
    "delta": 9e-6,
    "epsilon_pld": 1.0,
    "accuracy_minus_public_signs_three": 0.027,
    "accuracy_minus_public_signs_three_low": -0.003,
    "accuracy_minus_public_signs_three_high": 0.062,
    "accuracy_minus_public_signs_three_p": 0.071,
    "shows_use_of_private_data": "no",
}


def main_table(*changes):
    return pd.DataFrame([ROW | change for change in changes])


def test_a_private_row_is_one_sentence_with_its_guarantee_and_its_doubts():
    (sentence,) = claimed.sentences(main_table({}), STUDY)
    for words in (
        "(1, 9e-06)-differential privacy of one whole person",
        "0.856 [0.800, 0.900]",
        "28 synthetic people of",
        "15 people, mean over 100 noise draws",
        "+0.027 [\u22120.003, +0.062] (p=0.071) against the literature rule of three statistics",
        "a use of private data is not shown.",
    ):
        assert words in sentence, sentence
    assert "initial weights" not in sentence


def test_rows_without_secret_noise_and_rules_have_no_sentence():
    rows = main_table({"secret": "no"}, {"secret": "", "epsilon_pld": np.nan}, {"role": "public_signs"})
    assert claimed.sentences(rows, STUDY) == []
    assert not any(file.may_leave.startswith("yes") for file in claimed.files(rows, STUDY))


def test_every_unprotected_file_is_listed_and_none_of_single_people_may_leave():
    found = {file.files: file for file in claimed.files(main_table({}), STUDY)}
    for holding in unprotected(STUDY):
        assert found[holding.files].guarantee == "none"
        assert not found[holding.files].may_leave.startswith("yes")
    assert all(found[name].may_leave == "no" for name in (".runs/**", "windows/**", "scores/**/*.h5"))
    private = found["generators/**/unit=subject/epsilon_generator=E/*.h5"]
    assert "epsilon 1 for one whole person" in private.guarantee
    assert private.may_leave.startswith("yes, one of them")
    # No detector of this table has a budget of its own.
    assert not any("epsilon_detector=E" in name for name in found)


def test_budgets_of_different_units_are_never_one_number():
    rows = main_table({}, {"unit": "window", "epsilon_pld": 10.0, "epsilon_generator": 10.0})
    guarantees = {file.guarantee for file in claimed.files(rows, STUDY) if "E/" in file.files}
    assert guarantees == {
        "one model: epsilon 1 for one whole person; several add up",
        "one model: epsilon 10 for one window; several add up",
    }
