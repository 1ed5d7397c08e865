from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseveil.cohorts.wesad import Wesad, WesadSettings, read_subject
from pulseveil.core.contracts import AMUSEMENT, BASELINE, STRESS
from pulseveil.core.errors import InputError
from tests.official_layout import CHEST_COLUMNS, LABEL_HZ, write_pickle

CODES = [0, 1, 1, 1, 5, 2, 2, 4, 3, 3, 2]
RATES = {"BVP": (64, 1), "EDA": (4, 1), "ACC": (32, 3), "TEMP": (4, 1)}


def content() -> dict[str, Any]:
    """A subject of 11 s in the official layout."""
    noise = np.random.default_rng(1)
    wrist = {
        name: noise.normal(30, 1, (rate * len(CODES), columns)) for name, (rate, columns) in RATES.items()
    }
    chest = {name: np.zeros((9, columns)) for name, columns in CHEST_COLUMNS.items()}
    label = np.repeat(np.array(CODES, np.int32), LABEL_HZ)
    return {"subject": "S4", "signal": {"chest": chest, "wrist": wrist}, "label": label}


def test_labels_become_intervals_of_known_conditions(tmp_path: Path) -> None:
    found = read_subject(write_pickle(content(), "S4", tmp_path)).intervals
    expected = [(BASELINE, 1, 4), (STRESS, 5, 7), (AMUSEMENT, 8, 10), (STRESS, 10, 11)]
    assert [(i.condition, i.start_s, i.end_s) for i in found] == expected


def test_a_second_has_the_label_of_its_start(tmp_path: Path) -> None:
    subject = content()
    subject["label"][LABEL_HZ + 1 : 2 * LABEL_HZ] = 0
    subject["label"][4 * LABEL_HZ] = 1
    found = read_subject(write_pickle(subject, "S4", tmp_path)).intervals
    assert (found[0].start_s, found[0].end_s) == (1, 5)


def test_signals_keep_values_columns_and_rates(tmp_path: Path) -> None:
    subject = content()
    signals = read_subject(write_pickle(subject, "S4", tmp_path)).signals
    assert np.array_equal(signals["ACC_y"].values, subject["signal"]["wrist"]["ACC"][:, 1])
    assert {name: signal.rate_hz for name, signal in signals.items()} == {
        "BVP": 64, "EDA": 4, "ACC_x": 32, "ACC_y": 32, "ACC_z": 32, "TEMP": 4,
    }  # fmt: skip


def test_a_started_second_at_the_end_is_cut_and_told(tmp_path: Path) -> None:
    subject = content()
    subject["label"] = np.append(subject["label"], np.zeros(300, np.int32))
    wrist = subject["signal"]["wrist"]
    wrist["BVP"] = np.vstack([wrist["BVP"], np.ones((20, 1))])
    recording = read_subject(write_pickle(subject, "S4", tmp_path))
    assert len(recording.signals["BVP"].values) == 64 * len(CODES)
    assert any("BVP: last 20 samples cut" in repair for repair in recording.repairs)


def _without_bvp(subject: dict[str, Any]) -> None:
    del subject["signal"]["wrist"]["BVP"]


def _half_rate(subject: dict[str, Any]) -> None:
    subject["signal"]["wrist"]["EDA"] = subject["signal"]["wrist"]["EDA"][::2]


def _nan(subject: dict[str, Any]) -> None:
    subject["signal"]["wrist"]["ACC"][7, 1] = np.nan


def _one_axis(subject: dict[str, Any]) -> None:
    subject["signal"]["wrist"]["ACC"] = subject["signal"]["wrist"]["ACC"][:, :1]


def _text(subject: dict[str, Any]) -> None:
    subject["signal"]["wrist"]["TEMP"] = [["cold"]]


def _other_subject(subject: dict[str, Any]) -> None:
    subject["subject"] = "S5"


def _no_wrist(subject: dict[str, Any]) -> None:
    subject["signal"] = {}


def _float_labels(subject: dict[str, Any]) -> None:
    subject["label"] = subject["label"].astype(float)


def _unlabelled(subject: dict[str, Any]) -> None:
    subject["label"][:] = 0


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_without_bvp, "no entry 'BVP'"),
        (_half_rate, "EDA has 22 samples, expected 44"),
        (_nan, "ACC row 7 is not a finite number"),
        (_one_axis, r"ACC must be numbers in 3 column\(s\)"),
        (_text, "TEMP must be numbers"),
        (_other_subject, "holds subject 'S5'"),
        (_no_wrist, "no entry 'wrist'"),
        (_float_labels, "'label' must be one row of integers"),
        (_unlabelled, "no second is labelled"),
    ],
)
def test_damaged_content_is_refused(
    tmp_path: Path, damage: Callable[[dict[str, Any]], None], told: str
) -> None:
    subject = content()
    damage(subject)
    path = write_pickle(subject, "S4", tmp_path)
    with pytest.raises(InputError, match=told) as caught:
        read_subject(path)
    assert str(path) in str(caught.value)


def test_a_pickle_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no entry 'subject'"):
        read_subject(write_pickle([1, 2], "S4", tmp_path))


def test_the_outline_needs_no_recordings(tmp_path: Path) -> None:
    outline = Wesad(WesadSettings(data=tmp_path / "not there")).outline()
    assert list(outline) == [f"S{number}" for number in (*range(2, 12), *range(13, 18))]
    assert outline["S2"] == ("baseline", "stress", "amusement")
    assert outline["S4"] == ("baseline", "amusement", "stress")


def test_the_outline_follows_the_folders_or_the_list(tmp_path: Path) -> None:
    for subject in ("S10", "S4"):
        write_pickle(content() | {"subject": subject}, subject, tmp_path)
    assert list(Wesad(WesadSettings(data=tmp_path)).outline()) == ["S4", "S10"]
    chosen = Wesad(WesadSettings(data=tmp_path, subjects=("S17", "S3")))
    assert list(chosen.outline()) == ["S3", "S17"]
    assert chosen.sources()[0] == tmp_path / "S3" / "S3.pkl"


def test_recordings_come_in_the_order_of_the_outline(tmp_path: Path) -> None:
    for subject in ("S10", "S4"):
        write_pickle(content() | {"subject": subject}, subject, tmp_path)
    cohort = Wesad(WesadSettings(data=tmp_path))
    assert [recording.subject for recording in cohort.recordings()] == list(cohort.outline())


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no WESAD subject here"):
        Wesad(WesadSettings(data=tmp_path)).outline()


def test_recordings_of_a_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        next(Wesad(WesadSettings(data=tmp_path / "gone")).recordings())


def test_an_unknown_subject_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'S12' is not in WESAD"):
        Wesad(WesadSettings(data=tmp_path, subjects=("S12",))).outline()
