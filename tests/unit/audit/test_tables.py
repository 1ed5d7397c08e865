import math

import pytest

from pulseveil.audit import tables
from pulseveil.audit.bounds import AttackCounts, CanaryGuesses
from pulseveil.audit.membership import RecordAttack
from pulseveil.audit.release import Reidentification
from pulseveil.audit.trade_off import GaussianTradeOff
from pulseveil.audit.verdict import Claim

CLAIM = Claim("cnn", 1.0, 1e-5, "subject")
ATTACK = RecordAttack("S2", 0.9, AttackCounts(15, 15, 15, 0), AttackCounts(15, 6, 15, 0))


def test_a_person_has_counts_intervals_a_bound_and_its_ceiling():
    (row,) = tables.judged_rows([ATTACK], CLAIM, audits=15)
    assert (row["record"], row["auc"], row["trainings_in"], row["trainings_out"]) == ("S2", 0.9, 15, 15)
    assert row["tpr_at_no_false_alarm"] == pytest.approx(6 / 15)
    # Clopper and Pearson's 95 % limits of 6 of 15, and the upper one of 0 of 15.
    assert (row["tpr_low"], row["tpr_high"]) == pytest.approx((0.163, 0.677), abs=1e-3)
    assert row["fpr_high"] == pytest.approx(1 - 0.025 ** (1 / 15))
    assert row["epsilon_low"] == row["epsilon_ceiling"] == pytest.approx(1.277, abs=1e-3)
    # The bound at 95 % lies above the claim, the one at the level that 15 audits share below.
    assert not row["failed"]
    assert row["level"] == pytest.approx(1 - 0.05 / 15)
    assert tables.judged_rows([ATTACK], CLAIM, audits=1)[0]["failed"]


def test_a_description_has_no_bound():
    row = tables.descriptive_row(ATTACK)
    assert row["auc"] == 0.9
    assert not {"epsilon_low", "failed", "verdict"} & set(row)


def test_canaries_have_a_row_for_epsilon_and_one_for_the_curve():
    guesses = CanaryGuesses(200, 100, 100)
    by_epsilon, by_curve = tables.guess_rows(guesses, CLAIM, GaussianTradeOff(0.268), audits=2)
    assert by_epsilon["correct"] == by_curve["correct"] == 100
    assert by_epsilon["epsilon_low"] == by_epsilon["epsilon_ceiling"] == pytest.approx(3.49, abs=0.01)
    assert by_curve["epsilon_low"] == by_curve["epsilon_ceiling"] > by_epsilon["epsilon_low"]
    assert by_epsilon["failed"]
    assert by_curve["failed"]
    assert len(tables.guess_rows(guesses, Claim("cnn", math.inf, 1e-5, "subject"), None, audits=2)) == 1


def test_repeated_canaries_count_trainings():
    rows = tables.repetition_rows(AttackCounts(60, 40, 50, 20), CLAIM, GaussianTradeOff(0.268), audits=2)
    assert [row["attack"] for row in rows] == ["repeated canary", "repeated canary, trade-off curve"]
    for row in rows:
        counted = [row[name] for name in ("trainings_in", "hits", "trainings_out", "false_alarms")]
        assert counted == [60, 40, 50, 20]
        assert 0 <= row["epsilon_low"] <= row["epsilon_ceiling"]


def test_re_identification_stands_beside_chance():
    row = tables.reidentification_row("left out", Reidentification(15, 8, 15))
    assert (row["rate"], row["chance"]) == pytest.approx((8 / 15, 1 / 15))
    assert (row["rate_low"], row["rate_high"]) == pytest.approx((0.266, 0.787), abs=1e-3)
    assert row["p"] < 1e-5
