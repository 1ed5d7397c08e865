"""The figure of noised real data: which values stand where."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pulseveil.audit import tables
from pulseveil.audit.release import Reidentification
from pulseveil.core.randomness import root_stream
from pulseveil.summary import printing
from pulseveil.summary.columns import AUDIT_KEYS
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.noise_figure import noise_columns, noise_figure
from pulseveil.summary.results import arrange, collect
from pulseveil.summary.tables import main_table
from tests.unit.summary_cases import constant_scores, description, scores, write

WRONG = {"S2": 2, "S3": 4, "S4": 9, "S5": 0, "S6": 1, "S7": 3}
WORSE = {name: count + 3 for name, count in WRONG.items()}
ACCURACY, WORSE_ACCURACY = 1 - 19 / 120, 1 - 37 / 120
KEYS = {"cohort": "wesad", "generator": "none", "detector": "none", "unit": "none"}
KEYS |= {"epsilon_generator": np.inf, "epsilon_detector": np.inf}


def study() -> StudyDescription:
    values = description()
    values["evaluations"]["noised"] = {**values["evaluations"]["real"], "noise_distribution": "gaussian"}
    return StudyDescription.model_validate(values)


@pytest.fixture
def main(tmp_path):
    records = [
        scores(WRONG, evaluation="noised"),
        scores(WORSE, evaluation="noised", noise=0.5),
        constant_scores(list(WRONG), evaluation="noised"),
        scores(WORSE, evaluation="tstr", generator="moments", subjects=15),
        scores(WRONG, evaluation="tstr", generator="moments", subjects=15, epsilon_generator=1),
        scores(WRONG, evaluation="tstr", generator="cgan", subjects=15),
    ]
    results = collect(write(tmp_path, records))
    return main_table(results, arrange(results, study()), study(), None, root_stream(0))


def attacked(correct: int, noise: float, attack: str = "linked recording"):
    row = tables.reidentification_row(attack, Reidentification(15, correct, 15))
    return {**KEYS, "part": "noised", "evaluation": "noised", "input_noise": noise, **row}


def missing(correct: int, epsilon: float):
    row = tables.reidentification_row("missing person", Reidentification(15, correct, 15))
    keys = {**KEYS, "part": "generator", "generator": "moments", "unit": "subject"}
    return {**keys, "epsilon_generator": epsilon, **row}


AUDITS = [attacked(15, 0.0), attacked(3, 0.5), attacked(6, 0.5, "linked smoothed recording")]


def drawn(panel):
    return {tuple(np.round(line.get_ydata(), 4)) for line in panel.lines if line.get_marker() == "o"}


def test_utility_and_links_stand_above_each_other_by_scale(main):
    (column,) = noise_columns(main, pd.DataFrame(AUDITS), study())
    assert (column.title, list(column.ticks)) == ("Gaussian noise on real windows", ["none", "0.5"])
    assert column.axis == "standard deviation of the noise"
    accuracy, _, links = noise_figure([column], study()).axes
    assert drawn(accuracy) == {(round(ACCURACY, 4), round(WORSE_ACCURACY, 4))}
    assert drawn(links) == {(1.0, 0.2), (0.4,)}
    # The majority rule across all levels, and chance among 15 people.
    assert [line.get_ydata()[0] for line in accuracy.lines if line.get_marker() != "o"] == [
        pytest.approx(0.7)
    ]
    assert [line.get_ydata()[0] for line in links.lines if line.get_marker() != "o"] == [1 / 15]


def test_attacked_generators_stand_beside_the_noise_and_others_do_not(main):
    columns = noise_columns(main, pd.DataFrame([*AUDITS, missing(8, np.inf), missing(1, 1.0)]), study())
    assert len(columns) == 2
    assert list(columns[1].ticks) == ["Moments\nnone", "Moments\nε 1, subject"]
    accuracy, links = (noise_figure(columns, study()).axes[i] for i in (1, 5))
    assert drawn(accuracy) == {(round(WORSE_ACCURACY, 4), round(ACCURACY, 4))}
    assert drawn(links) == {(round(8 / 15, 4), round(1 / 15, 4))}


def test_attacks_on_noise_and_on_generators_are_one_table(tmp_path):
    printing.write_csv(tmp_path / "audit.csv", pd.DataFrame([*AUDITS, missing(8, np.inf)]))
    read = pd.read_csv(tmp_path / "audit.csv")
    assert read["input_noise"].tolist()[:3] == [0.0, 0.5, 0.5]
    assert np.isnan(read["input_noise"].tolist()[3])


def test_a_study_without_attacked_noise_has_no_such_figure(main):
    assert noise_columns(main, pd.DataFrame(columns=list(AUDIT_KEYS)), study()) == []
    assert noise_columns(main, pd.DataFrame([missing(8, np.inf)]), study()) == []
