"""Heart rate from simulated ECG with known beats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pulseveil.cohorts.electrocardiogram import rate_of_ecg
from pulseveil.cohorts.wesad import read_subject
from pulseveil.core.arrays import Floats
from tests.official_layout import LABEL_HZ, write_pickle
from tests.unit.cohorts.test_wesad import CODES, content

SECONDS = 120
TIME = np.arange(SECONDS * LABEL_HZ) / LABEL_HZ


def known_beats(rate: float, seed: int = 1) -> Floats:
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(60 / rate, 1.2 / rate, round(SECONDS * rate / 60) + 9)) - 2


def ecg(beats: Floats, time: Floats, noise: float = 0.05) -> Floats:
    """Waves P, Q, R, S and T around each beat, breathing and noise, in mV."""
    waves = (
        (-0.16, 0.1, 0.02),
        (-0.03, -0.1, 0.008),
        (0.0, 1.0, 0.01),
        (0.03, -0.2, 0.01),
        (0.25, 0.3, 0.05),
    )
    found = 0.3 * np.sin(2 * np.pi * 0.25 * time)
    for beat in beats:
        for shift, height, width in waves:
            near = slice(*np.searchsorted(time, [beat + shift - 5 * width, beat + shift + 5 * width]))
            found[near] += height * np.exp(-0.5 * ((time[near] - beat - shift) / width) ** 2)
    return found + np.random.default_rng(2).normal(0, noise, len(time))


def plain_rate(beats: Floats, seconds: int) -> Floats:
    found = []
    for second in range(seconds):
        before = max(b for b in beats if b <= second + 0.5)
        after = min(b for b in beats if b > second + 0.5)
        found.append(60 / (after - before))
    return np.array(found)


@pytest.mark.parametrize("sign", [1, -1], ids=["upright", "reversed electrodes"])
@pytest.mark.parametrize("rate", [50.0, 75.0, 110.0, 160.0])
def test_the_rate_is_that_of_the_known_beats(rate: float, sign: int) -> None:
    beats = known_beats(rate)
    found = rate_of_ecg(sign * ecg(beats, TIME), LABEL_HZ, SECONDS)
    error = np.abs(found - plain_rate(beats, SECONDS))[3:-3]
    assert np.isfinite(error).all()
    assert np.quantile(error, 0.95) < 0.015 * rate
    # A beat in the middle of a second ends one interval and begins the next, which differ by some per cent.
    assert error.max() < 0.1 * rate


def test_a_missed_beat_and_a_loose_electrode_are_unknown() -> None:
    # The gap of a missed beat is 1.2 s long: as long as an interval of a slow heart.
    beats = known_beats(100)
    signal = ecg(np.delete(beats, 40), TIME)
    signal[80 * LABEL_HZ : 90 * LABEL_HZ] = 0
    found = rate_of_ecg(signal, LABEL_HZ, SECONDS)
    assert np.isnan(found[int(beats[40])])
    assert np.isnan(found[82:88]).all()
    known = np.isfinite(found)
    assert known.sum() > 95
    np.testing.assert_allclose(found[known], plain_rate(beats, SECONDS)[known], atol=8)


def test_a_silent_ecg_has_no_rate() -> None:
    assert np.isnan(rate_of_ecg(np.zeros(SECONDS * LABEL_HZ), LABEL_HZ, SECONDS)).all()


def test_the_reader_takes_the_rate_of_the_chest_and_reads_files_without_one(tmp_path: Path) -> None:
    subject = content()
    time = np.arange(len(CODES) * LABEL_HZ) / LABEL_HZ
    beats = np.arange(-0.4, len(CODES) + 1, 0.75)
    subject["signal"]["chest"]["ECG"] = ecg(beats, time)[:, None]
    found = read_subject(write_pickle(subject, "S4", tmp_path)).chest_rate
    assert found is not None
    np.testing.assert_allclose(found[1:-1], 80, atol=1)
    for chest in ({}, {"ECG": time[:9, None]}, {"ECG": ["cold"]}, {"ECG": np.full((len(time), 1), np.nan)}):
        subject["signal"]["chest"] = chest
        assert read_subject(write_pickle(subject, "S4", tmp_path)).chest_rate is None
    del subject["signal"]["chest"]
    assert read_subject(write_pickle(subject, "S4", tmp_path)).chest_rate is None
