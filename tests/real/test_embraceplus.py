"""The real EmbracePlus file: windows, heart rate against its own beats, and its lack of skin contact."""

from __future__ import annotations

import shutil
from pathlib import Path

import fastavro
import numpy as np
import pytest

from pulseveil.cohorts.embraceplus import EmbracePlus, EmbracePlusSettings
from pulseveil.core.contracts import Recording
from pulseveil.core.errors import InputError
from pulseveil.windows.cutting import cut_subject
from pulseveil.windows.physiology import physiological_channels
from pulseveil.windows.recipe import Recipe

pytestmark = pytest.mark.real

NAME = "1-1-000001_1764153713.avro"
LABELS = """subject,condition,start_unix,end_unix,stress
000001,rest,1764153720,1764154600,0
000001,task,1764154610,1764155510,1
"""


@pytest.fixture(scope="module")
def recording(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = tmp_path_factory.mktemp("plus")
    inner = folder / "000001" / "2025-11-26" / "000001-3YK3K152XH" / "raw_data" / "v6"
    inner.mkdir(parents=True)
    shutil.copy(recordings / "embraceplus" / NAME, inner)
    (folder / "labels.csv").write_text(LABELS)
    (found,) = EmbracePlus(EmbracePlusSettings(data=folder, labels=folder / "labels.csv")).recordings()
    return found


def test_the_signals_are_those_of_the_file(recording: Recording, recordings: Path) -> None:
    with (recordings / "embraceplus" / NAME).open("rb") as file:
        raw = next(iter(fastavro.reader(file)))["rawData"]
    assert recording.whole_seconds == 1808
    gravity = np.linalg.norm([recording.signals[f"ACC_{axis}"].values for axis in "xyz"], axis=0)
    assert np.median(gravity) == pytest.approx(64, abs=3)
    second = recording.start_unix_s - raw["temperature"]["timestampStart"] / 1e6
    expected = np.interp(second, np.arange(1811), raw["temperature"]["values"])
    assert recording.signals["TEMP"].values[0] == pytest.approx(expected, abs=1e-3)


def test_heart_rate_agrees_with_the_devices_own_beats(recording: Recording, recordings: Path) -> None:
    with (recordings / "embraceplus" / NAME).open("rb") as file:
        peaks = next(iter(fastavro.reader(file)))["rawData"]["systolicPeaks"]["peaksTimeNanos"]
    beats = (np.array(peaks, np.int64) - int(recording.start_unix_s) * 10**9) / 1e9
    ours = physiological_channels(recording).channels["heart_rate"]
    minutes = len(ours) // 60
    counted = np.histogram(beats, 60 * np.arange(minutes + 1))[0]
    found = ours[: 60 * minutes].reshape(minutes, 60).mean(axis=1)
    assert np.median(np.abs(found - counted)) < 4


def test_no_window_has_skin_contact(recording: Recording) -> None:
    with pytest.raises(InputError, match=r"none of 29 windows .* no skin contact in 29"):
        cut_subject(recording, Recipe.with_defaults("sound", "detector"))
    every = cut_subject(recording, Recipe.with_defaults("sound", "detector", measured=0.0))
    assert len(every.windows) == 29
    assert every.measured["EDA"] == 0
    assert min(every.measured[name] for name in ("BVP", "ACC", "TEMP")) > 0.99
