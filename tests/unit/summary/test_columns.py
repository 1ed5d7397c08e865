"""Every column of every table is declared once, with a meaning, and listed beside the tables."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pulseveil.audit import tables as audited
from pulseveil.audit.bounds import AttackCounts, CanaryGuesses
from pulseveil.audit.membership import attack_records
from pulseveil.audit.release import Reidentification
from pulseveil.audit.trade_off import GaussianTradeOff
from pulseveil.audit.verdict import Claim
from pulseveil.summary import columns, main_columns
from pulseveil.summary.column import in_declared_order, keys_of
from pulseveil.summary.description import DESCRIPTIONS, StudyDescription
from pulseveil.summary.published import read_published
from pulseveil.summary.summarize import summarize
from tests.unit.summary_cases import (
    WESAD,
    constant_scores,
    description,
    scores,
    write,
    write_generator,
    write_quality,
)

ROOT = Path(__file__).resolve().parents[3]
CLAIM = Claim("cnn", 1.0, 1e-5, "subject")


def audit_rows():
    """Rows of every attack that an audit has."""
    random = np.random.default_rng(0)
    members = np.tile([[True], [False]], (20, 2))
    attacks = attack_records(random.normal(size=(40, 2)) + members, members, ["S2", "S3"])
    curve = GaussianTradeOff(0.268)
    return [
        audited.descriptive_row(attacks[0]),
        *audited.judged_rows(attacks, CLAIM, 2),
        *audited.guess_rows(CanaryGuesses(100, 20, 10), CLAIM, curve, 2),
        *audited.repetition_rows(AttackCounts(60, 20, 50, 20), CLAIM, curve, 2),
        audited.reidentification_row("left out", Reidentification(15, 8, 15)),
        {
            **audited.reidentification_row("linked recording", Reidentification(15, 8, 15)),
            "evaluation": "tstr",
            "input_noise": 0.5,
        },
    ]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The tables of a private, audited, assessed study of the published evaluations, by their names."""
    folder = tmp_path_factory.mktemp("study")
    wrong = {name: i % 5 for i, name in enumerate(WESAD)}
    keys = {"evaluation": "tstr", "generator": "cgan", "subjects": 15}
    records = [scores(wrong), constant_scores(WESAD)]
    records += [scores(wrong, **keys, epsilon_generator=e) for e in (math.inf, 10.0)]
    named = {
        "cohort": "wesad",
        "part": "generator",
        "generator": "cgan",
        "detector": "none",
        "unit": "subject",
        "epsilon_generator": 10.0,
        "epsilon_detector": math.inf,
    }
    audit = pd.DataFrame([{**named, **row} for row in audit_rows()])
    audit.to_csv(folder / "audit.csv", index=False)
    study = StudyDescription.model_validate(
        description(
            models=[write_generator(folder, epsilon_generator=10.0)],
            quality=[write_quality(folder / "quality.csv", [0.6, 0.7])],
            audits=[str(folder / "audit.csv")],
        )
    )
    published = read_published(ROOT / "config" / "published.csv")
    summarize(study, write(folder, records), folder / "results", published=published)
    return folder / "results"


def written(done):
    names = sorted(path.relative_to(done).as_posix() for path in done.rglob("*.csv"))
    return {name: pd.read_csv(done / name) for name in names}


def test_every_column_of_every_table_is_declared_in_its_order_and_none_is_declared_in_vain(done):
    tables = written(done)
    assert set(tables) == set(columns.TABLES) - {"hours.csv"}
    for name, table in tables.items():
        declared = keys_of(columns.TABLES[name])
        assert len(set(declared)) == len(declared), name
        if name == "tables/audit.csv":
            assert set(table) == set(declared)
        else:
            assert list(table) == declared, name


def test_the_dictionary_stands_beside_the_tables_and_explains_each_column(done):
    dictionary = json.loads((done / "tables" / "columns.json").read_text(encoding="utf-8"))
    for name, table in written(done).items():
        assert {entry["key"] for entry in dictionary[name]} == set(table)
        assert all(len(entry["meaning"]) > 2 for entry in dictionary[name])
    assert "tables/columns.json" in DESCRIPTIONS


def test_titles_of_the_printed_tables_are_those_of_the_dictionary(done):
    dictionary = json.loads((done / "tables" / "columns.json").read_text(encoding="utf-8"))["tables/main.csv"]
    shown = {entry["title"] for entry in dictionary if any("main.html" in view for view in entry["shown"])}
    text = (done / "tables" / "main.html").read_text(encoding="utf-8")
    printed = re.findall(r"<th[^>]*>([^<]+)</th>", text)
    assert set(printed) <= shown
    assert {
        "Accuracy [95 %]",
        "ε composed (PLD)",
        "Secret noise",
        "Published accuracy",
        "Audited part",
    } <= set(printed)


def test_printed_keys_are_columns_of_the_main_table():
    declared = set(keys_of(main_columns.MAIN))
    assert set(main_columns.PRINTED) <= declared
    assert set(main_columns.TERMINAL) <= declared
    assert set(columns.REPRODUCTION_PAGE) <= set(keys_of(columns.REPRODUCTION))


@pytest.mark.parametrize("names", [["scope"], [*keys_of(columns.SPENDING), "new"]])
def test_a_column_that_is_not_declared_or_missing_is_refused(names):
    with pytest.raises(ValueError, match="declared"):
        in_declared_order(pd.DataFrame(columns=names), columns.SPENDING)
