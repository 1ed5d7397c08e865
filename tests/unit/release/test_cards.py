"""Cards: every fact that a reader of the data needs, from the files of the study alone."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pulseveil.cohorts import UNKNOWN_ORIGIN
from pulseveil.core import identity, paths, store
from pulseveil.release.cards import MOST_ROWS, data_card, gather, model_card
from pulseveil.runs.generators import synthesize

ROOT = Path(__file__).resolve().parents[3]
WORDS = {"study": "small", "cohort": "people", "generator": "moments", "unit": "subject", "seed": "0"}


def model_path(folder, epsilon="8"):
    return folder / paths.fill(paths.MODELS, **WORDS, epsilon_generator=epsilon)


@pytest.fixture
def copy(models_folder, tmp_path):
    """The files that a card may read, to be changed."""
    for part in ("generators", "quality"):
        shutil.copytree(models_folder / "results/small" / part, tmp_path / "results/small" / part)
    return tmp_path


def facts_of(folder, epsilon="8", folds=("S1",)):
    path = model_path(folder, epsilon)
    return gather(path, store.read_models(path), folds)


def card_of(folder, epsilon="8", folds=("S1",)):
    models = store.read_models(model_path(folder, epsilon))
    synthetic = synthesize(replace(models, arrays={fold: models.arrays[fold] for fold in folds}), 2)
    return data_card(facts_of(folder, epsilon, folds), synthetic, {"Drawn by": "a test"}, {"a.csv": "f" * 64})


def tables(card):
    """The tables of a card: lists of rows of cells."""
    blocks = re.findall(r"(?:^\|.*\n)+", card, flags=re.M)
    return [[re.split(r"(?<!\\)\|", line.strip("|\n")) for line in block.splitlines()] for block in blocks]


def test_a_data_card_has_all_that_it_must(models_folder):
    card = card_of(models_folder)
    for heading in (
        "Origin",
        "Protocol",
        "Columns",
        "How it was synthesized",
        "Privacy",
        "Measured",
        "Known limits",
    ):
        assert f"\n## {heading}\n" in card
    assert "**private: epsilon 8, delta 1e-05, for one whole person**" in card
    # Published subjects: 25 windows of rest and 10 of stress, twice.
    assert "Synthetic subjects: 2. Windows: 70 (50 not stress, 20 stress)." in card
    assert "People that the model learned from: 3 (simulated)." in card
    assert "nobody was recorded" in card
    assert "`a.csv`: sha256 `" + "f" * 64 in card
    assert identity.describe_run("", pd.Timestamp.now())["packages"]["numpy"] in card
    assert identity.file_hash(model_path(models_folder)) in card
    assert facts_of(models_folder).claim.statement.strip() in card


def test_cards_name_the_cohorts_that_are_taken_for_public(models_folder):
    facts = facts_of(models_folder)
    assert "Public people" not in model_card(facts)
    pooled = model_card(replace(facts, public_cohorts=("others", "more")))
    assert "Public people, whom no budget protects: all people of the cohorts `others`, `more`." in pooled


def test_every_column_of_the_csv_is_described_with_its_unit(models_folder):
    columns = next(rows for rows in tables(card_of(models_folder)) if "column" in rows[0][0])
    described = {row[0].strip(): row[2].strip() for row in columns[2:]}
    assert list(described) == [
        *("subject", "window", "second"),
        *("heart_rate", "pulse_amplitude", "eda_level", "eda_phasic", "activity", "temperature"),
        "condition",
    ]
    assert described["heart_rate"] == "change against the person's own rest, in steps of 10 beats/min"
    assert described["condition"] == "0 not stress, 1 stress"


def test_a_card_of_several_folds_describes_their_column_and_composes_them(models_folder):
    card = card_of(models_folder, folds=("S1", "S2"))
    assert "\n| fold | whose generator synthesized the window |" in card
    assert "Synthetic subjects: 4. Windows: 140" in card


def test_quality_is_taken_as_the_study_wrote_it(copy):
    written = pd.read_csv(copy / paths.fill(paths.QUALITY, **WORDS, epsilon_generator="8"))
    told_apart = written[written["measure"] == "two_sample_1nn"].set_index("fold")
    row = f"| two_sample_1nn | all | all | {told_apart.loc['S1', 'value']:.4g} |"
    assert row in card_of(copy)
    assert f"{told_apart.loc['S2', 'low']:.4g} | {told_apart.loc['S2', 'high']:.4g}" not in card_of(copy)
    long = "study,fold,measure,value,floor\nsmall,S1,a|b,0.123456,0.5\nsmall,S2,c,0.777,0.5\n"
    (copy / paths.fill(paths.QUALITY, **WORDS, epsilon_generator="8")).write_text(long)
    card = card_of(copy)
    assert "| small | S1 | a\\|b | 0.1235 | 0.5 |" in card
    assert "0.777" not in card


def test_what_was_not_measured_is_named_so(copy):
    shutil.rmtree(copy / "results/small/quality")
    for card in (card_of(copy), model_card(facts_of(copy))):
        assert "\nNot assessed.\n" in card
        assert "\nNot audited.\n" in card


def test_audit_numbers_stand_on_both_cards(copy):
    table = copy / paths.fill(paths.GENERATOR_AUDIT, **WORDS, epsilon_generator="8")
    table.parent.mkdir(parents=True)
    head = "cohort,part,generator,unit,attack,record,epsilon_low,epsilon_ceiling,failed"
    table.write_text(f"{head}\npeople,generator,moments,subject,canaries,S2,0.42,3.51,False\n")
    for card in (card_of(copy), model_card(facts_of(copy))):
        assert "| attack | epsilon_low | epsilon_ceiling | failed |" in card
        assert "| canaries | 0.42 | 3.51 | False |" in card


def test_long_tables_are_cut_and_say_so(copy):
    rows = "".join(f"S1,m{i},{i}\n" for i in range(MOST_ROWS + 7))
    (copy / paths.fill(paths.QUALITY, **WORDS, epsilon_generator="8")).write_text(
        f"fold,measure,value\n{rows}"
    )
    assert "7 more rows are in the study's own table." in card_of(copy)


def test_every_row_of_every_table_has_the_cells_of_its_head(models_folder):
    for card in (card_of(models_folder), model_card(facts_of(models_folder))):
        for rows in tables(card):
            assert len({len(row) for row in rows}) == 1


@pytest.mark.parametrize(
    ("kind", "citation", "terms"),
    [
        ("wesad", "https://doi.org/10.1145/3242969.3242985", "names no licence"),
        ("empatica", "the owner of the recordings", "consent of the people"),
        ("", UNKNOWN_ORIGIN.citation, "ask the owner"),
        ("of a plugin that is gone", UNKNOWN_ORIGIN.citation, "ask the owner"),
    ],
)
def test_the_licence_is_that_of_the_recordings(models_folder, kind, citation, terms):
    path = model_path(models_folder)
    models = store.read_models(path)
    job = {**models.description["job"], "cohort_kind": kind}
    changed = replace(models, description={**models.description, "job": job})
    card = model_card(gather(path, changed, ("S1",)))
    assert citation in card
    assert terms in card
    assert "simulated" not in card.replace("unit=", "")


def test_models_of_older_files_have_cards_too(models_folder):
    path = model_path(models_folder)
    models = store.read_models(path)
    old = {k: v for k, v in models.description.items() if k != "trained_stride_s"}
    old["job"] = {k: v for k, v in old["job"].items() if k != "cohort_kind"}
    facts = gather(path, replace(models, description=old), ("S1",))
    assert facts.claim.is_private
    assert "Windows of 60 s at 1 Hz." in model_card(facts)


def test_no_card_names_a_person_or_a_place_on_the_machine(models_folder):
    for epsilon in ("8", "inf"):
        cards = card_of(models_folder, epsilon) + model_card(facts_of(models_folder, epsilon))
        assert not re.search(r"\bS[234]\b", cards)
        assert str(models_folder) not in cards


def test_a_card_without_budget_says_so_first(models_folder):
    for card in (card_of(models_folder, "inf"), model_card(facts_of(models_folder, "inf"))):
        assert "NOT PRIVATE" in card.splitlines()[0]
        assert "it was trained without a privacy budget" in card
        assert "Epsilon 8" not in card
