import csv
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pulseveil.core.errors import InputError
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.published import published_values, read_published
from tests.unit.summary_cases import KEYS, description

CONFIG = Path(__file__).resolve().parents[3] / "config" / "published.csv"


def keys(*changes):
    frame = pd.DataFrame([{**KEYS, **change} for change in changes]).drop(columns="seed")
    return frame.astype({"epsilon_generator": float, "epsilon_detector": float, "noise": float})


def values(study=None, **change):
    described = StudyDescription.model_validate(study or description())
    return published_values(keys(change), described, read_published(CONFIG)).iloc[0]


def test_every_published_result_is_there_once():
    rows = read_published(CONFIG)
    cell = [
        "scenario", "generator", "detector", "epsilon_generator", "epsilon_detector", "subjects", "noise",
    ]  # fmt: skip
    assert len(rows) == 184
    assert not rows.duplicated(cell).any()
    assert rows["scenario"].value_counts().sort_index().tolist() == [12, 9, 84, 21, 25, 12, 12, 6, 3]


def test_the_file_says_where_its_values_come_from():
    header = [line for line in CONFIG.read_text().splitlines() if line.startswith("#")]
    assert "10.3390/s24103052" in " ".join(header)
    assert "MIT licence" in " ".join(header)


@pytest.mark.real
def test_values_equal_the_published_file(recordings):
    with open(recordings / "published" / "results.csv") as handle:
        source = list(csv.DictReader(handle))
    ours = read_published(CONFIG)
    for name in ("accuracy_mean", "f1_mean", "accuracy_sd_runs", "f1_sd_runs", "poor_ratio"):
        assert ours[name].tolist() == [float(row[name]) for row in source]
    assert ours["subjects"].tolist() == [int(row["synthetic_subjects"]) for row in source]
    assert ours["epsilon_detector"].tolist() == [float(row["detector_epsilon"]) for row in source]
    assert ours["train"].eq("synthetic").tolist() == [row["evaluation"] == "tstr" for row in source]


def test_a_cell_finds_its_published_value():
    row = values(detector="cnn")
    assert (row["published_scenario"], row["published_accuracy"]) == ("1-LOSO_15real", 0.8812)
    assert row["published_equals_majority"] == "no"


def test_a_private_cell_finds_its_own_and_the_constant_answer_is_named():
    row = values(detector="cnn_lstm", epsilon_detector=0.1)
    assert (row["published_accuracy"], row["published_equals_majority"]) == (0.717, "yes")


def test_synthetic_cells_match_on_generator_epsilon_and_number():
    synthetic = {"evaluation": "tstr", "generator": "cgan", "subjects": 10}
    assert values(**synthetic, epsilon_generator=1, detector="cnn_lstm")["published_accuracy"] == 0.283
    assert values(**synthetic, epsilon_generator="inf", detector="cnn_lstm")["published_accuracy"] == 0.6249


@pytest.mark.parametrize(
    "change", [{"detector": "logistic"}, {"noise": 0.1}, {"epsilon_detector": 8}, {"evaluation": "augmented"}]
)
def test_a_cell_that_was_never_published_stays_empty(change):
    row = values(**change)
    assert math.isnan(row["published_accuracy"])
    assert (row["published_scenario"], row["published_equals_majority"]) == ("", "")


def test_only_the_paper_protocol_on_wesad_is_compared():
    sound = description(protocol="sound")
    simulated = description(cohorts={"wesad": {"kind": "simulated", "subjects": 15}})
    assert np.isnan([values(study)["published_accuracy"] for study in (sound, simulated)]).all()


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "p.csv").write_text("scenario,train\na,b\n")
    with pytest.raises(InputError, match=r"p\.csv: column 'test' is missing"):
        read_published(tmp_path / "p.csv")
