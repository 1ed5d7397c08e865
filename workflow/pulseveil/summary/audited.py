"""Rows of the audit table in words: what the counts of each attack show, and what they could have shown."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from pulseveil.audit.verdict import NOT_TESTABLE
from pulseveil.summary import labels
from pulseveil.summary.column import Column
from pulseveil.summary.results import NO_GENERATOR

IN_WORDS = (
    Column("model", "audited generator or detector, with its unit", title="Model"),
    Column("claimed", "epsilon of the claim", "epsilon", title="ε claimed"),
    Column("attack", "kind of the attack", title="Attack"),
    Column("words", "what the counts show, and what they could have shown at best", title="In words"),
)
_POOLED = "These counts are pooled over records, whose trainings share data, and give no bound of epsilon."
_MADE = "A canary is made up and unlike all people of the cohort: it is easier to find than a person."

Row = Mapping[Hashable, Any]


def in_words(audits: pd.DataFrame) -> pd.DataFrame:
    """The audit table with the columns `IN_WORDS`, one row per row."""
    rows = [(_model(row), _claimed(row), row["attack"], explain(row)) for row in audits.to_dict("records")]
    return pd.DataFrame(rows, columns=[column.key for column in IN_WORDS])


def explain(row: Row) -> str:
    """What one row of the audit table shows, with its own numbers."""
    attack = str(row["attack"])
    if _has(row, "people"):
        counts = f"{_count(row, 'correct')} of {_count(row, 'people')} people were recognised"
        chance = f"by chance it would be {_number(row, 'chance'):.0%}"
        return f"{counts}; {chance}. There is no bound of epsilon: people share the attacked windows."
    if _has(row, "canaries"):
        counts = (
            f"{_count(row, 'correct')} of {_count(row, 'guesses')} guesses were right whether a canary was "
            f"trained on (by chance half), of {_count(row, 'canaries')} canaries."
        )
        # A claim of infinity cannot be tested with any number.
        needed = _number(row, "canaries_needed")
        most = (
            f" To test {_claim(row)}, {needed:,.0f} canaries would all have to be guessed."
            if _tests(row, needed)
            else ""
        )
        return f"{counts} {_bound(row)}{most} {_MADE}"
    record = str(row["record"]) if _has(row, "record") else "the canary"
    of = "the attacked record" if record.startswith("all") else record
    hits, false_alarms = (
        f"{_count(row, key)} of {_count(row, of_all)}"
        for key, of_all in (("hits", "trainings_in"), ("false_alarms", "trainings_out"))
    )
    counts = f'The attack said "trained on" in {hits} trainings with {of}, and in {false_alarms} without.'
    if not _has(row, "epsilon_low"):
        return f"{counts} {_POOLED}" + (
            " The rows per person have bounds." if row["unit"] == "subject" else ""
        )
    return f"{counts} {_bound(row)}" + (f" {_MADE}" if attack.startswith("repeated canary") else "")


def _bound(row: Row) -> str:
    low, ceiling = _number(row, "epsilon_low"), _number(row, "epsilon_ceiling")
    shown = (
        f"With 95 % confidence epsilon is at least {low:.2f}."
        if low > 0
        else "This shows no epsilon above 0, which does not mean that epsilon is 0."
    )
    best = f"Without any error the attack could have shown {ceiling:.2f} with as many trainings"
    if str(row["attack"]).endswith("trade-off curve"):
        shown = shown.replace("epsilon is", "a Gaussian mechanism has an epsilon of")
    if math.isinf(_number(row, "epsilon_claimed")):
        return f"{shown} {best}; nothing is claimed."
    if str(row.get("verdict", "")).endswith(NOT_TESTABLE):
        return f"{shown} {best}: the attack cannot test {_claim(row)}."
    if row.get("failed") is True or str(row.get("failed")) == "True":
        return f"{shown} {best}. This refutes {_claim(row)}."
    return f"{shown} {best}: it could have refuted {_claim(row)}, and did not."


def _claim(row: Row) -> str:
    return f"the claim of {labels.epsilon(_number(row, 'epsilon_claimed'))}"


def _claimed(row: Row) -> str:
    # Rows without a verdict have no claim of their own; noised windows have none at all.
    part = str(row["part"])
    return "" if part == "noised" else labels.level(float(row[f"epsilon_{part}"]))


def _tests(row: Row, needed: float) -> bool:
    return math.isfinite(needed) and not str(row["attack"]).endswith("trade-off curve")


def _model(row: Row) -> str:
    if str(row["part"]) == "noised":
        noise = labels.level(_number(row, "input_noise"))
        return f"windows of {row['evaluation']}, noise {noise}"
    names = [str(row[key]) for key in ("detector", "generator") if str(row[key]) != NO_GENERATOR]
    return f"{' beside '.join(names)}, unit {row['unit']}"


def _has(row: Row, key: str) -> bool:
    return key in row and not pd.isna(row[key])


def _number(row: Row, key: str) -> float:
    return float(row[key]) if _has(row, key) else math.nan


def _count(row: Row, key: str) -> str:
    return f"{int(row[key]):,}"
