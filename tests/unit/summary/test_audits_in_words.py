"""Audits in words: each sentence has the numbers of its row, and says what the attack could have shown."""

import math

import pandas as pd
import pytest

from pulseveil.audit.bounds import AttackCounts, CanaryGuesses
from pulseveil.audit.membership import RecordAttack
from pulseveil.audit.release import Reidentification
from pulseveil.audit.tables import (
    descriptive_row,
    guess_rows,
    judged_rows,
    reidentification_row,
    repetition_rows,
)
from pulseveil.audit.verdict import Claim
from pulseveil.summary.audited import explain, in_words

KEYS = {
    "cohort": "wesad",
    "part": "detector",
    "generator": "none",
    "detector": "logistic",
    "unit": "subject",
    "epsilon_generator": math.inf,
    "epsilon_detector": 1.0,
}


def claim(epsilon):
    return Claim("logistic", epsilon, 0.0, "subject")


def attack(hits, false_alarms, trainings=15, record="S1"):
    counts = AttackCounts(trainings, hits, trainings, false_alarms)
    return RecordAttack(record, 0.9, counts, counts)


def words(row):
    return explain(KEYS | dict(row))


def test_all_hits_of_a_person_show_an_epsilon_and_no_hit_more_than_false_alarms_shows_none():
    # Clopper-Pearson: 15 of 15 is a rate above 0.025 ** (1 / 15), 0 of 15 one below 1 - 0.025 ** (1 / 15).
    low = 0.025 ** (1 / 15)
    best = math.log(low / (1 - low))
    (row,) = judged_rows([attack(15, 0)], claim(1.0), 1)
    assert f"epsilon is at least {best:.2f}" in words(row)
    assert "in 15 of 15 trainings with S1, and in 0 of 15 without" in words(row)
    assert "This refutes the claim of 1." in words(row)
    (row,) = judged_rows([attack(8, 8)], claim(1.0), 1)
    assert "shows no epsilon above 0, which does not mean that epsilon is 0" in words(row)
    assert f"could have shown {best:.2f} with as many trainings: it could have refuted" in words(row)


@pytest.mark.parametrize(
    ("epsilon", "end"),
    [
        (10.0, "the attack cannot test the claim of 10."),
        (math.inf, "nothing is claimed."),
        (0.5, "it could have refuted the claim of 0.5, and did not."),
    ],
)
def test_the_end_says_whether_the_claim_could_be_tested(epsilon, end):
    (row,) = judged_rows([attack(8, 8)], claim(epsilon), 1)
    assert words(row).endswith(end)


def test_pooled_hits_give_no_bound():
    text = words(descriptive_row(attack(120, 0, 120, "all (descriptive)")))
    assert "in 120 of 120 trainings with the attacked record, and in 0 of 120 without" in text
    assert "give no bound of epsilon. The rows per person have bounds." in text
    assert "at least" not in text


def test_guesses_say_how_many_canaries_a_test_would_need():
    (row,) = guess_rows(CanaryGuesses(200, 100, 87), claim(4.0), None, 1)
    text = words(row)
    assert "87 of 100 guesses were right" in text
    assert "of 200 canaries" in text
    # All n right with probability p ** n at most 0.05, where p = e^4 / (1 + e^4).
    needed = math.ceil(math.log(0.05) / -math.log1p(math.exp(-4.0)))
    assert f"{needed:,} canaries would all have to be guessed" in text
    assert text.endswith("it is easier to find than a person.")


def test_one_canary_in_many_trainings_is_no_person():
    (row,) = repetition_rows(AttackCounts(42, 42, 58, 0), claim(1.0), None, 1)
    assert "in 42 of 42 trainings with the canary, and in 0 of 58 without" in words(row)
    assert "A canary is made up" in words(row)


def test_recognised_people_stand_beside_chance():
    text = words(reidentification_row("warping", Reidentification(people=15, correct=5, choices=15)))
    assert "5 of 15 people were recognised; by chance it would be 7%." in text


def test_the_table_has_a_row_per_row_with_model_and_claim():
    rows = [
        *judged_rows([attack(8, 8)], claim(1.0), 1),
        descriptive_row(attack(8, 8, record="all (descriptive)")),
    ]
    noised = {"part": "noised", "detector": "none", "evaluation": "real", "input_noise": 0.5}
    linked = reidentification_row("warping", Reidentification(15, 5, 15))
    table = in_words(pd.DataFrame([*(KEYS | dict(row) for row in rows), KEYS | noised | dict(linked)]))
    assert table["model"].tolist() == ["logistic, unit subject"] * 2 + ["windows of real, noise 0.5"]
    assert table["claimed"].tolist() == ["1", "1", ""]
    assert in_words(pd.DataFrame()).empty
