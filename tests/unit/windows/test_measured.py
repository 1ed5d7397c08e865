"""Measured share: what sensors did not measure is counted by second, sensor and reason, and left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from pulseveil.cohorts.simulated import Simulated, SimulatedSettings
from pulseveil.core.contracts import Recording
from pulseveil.core.errors import InputError
from pulseveil.core.identity import PHYSIOLOGY
from pulseveil.runs.cohort import render, summarize
from pulseveil.windows.cutting import cut_person, cut_subject
from pulseveil.windows.measured import SENSORS, joined, measured
from pulseveil.windows.physiology import physiological_channels
from pulseveil.windows.recipe import Recipe

RECIPE = Recipe.with_defaults("sound", "detector")


@cache
def person() -> Recording:
    settings = SimulatedSettings(subjects=1, seed=3, baseline_s=420, stress_s=300, amusement_s=180)
    return next(Simulated(settings).recordings())


def with_values(channel: str, start: float, end: float, value: float) -> Recording:
    """The person with constant samples from `start` to `end` (s) of one channel."""
    signal = person().signals[channel]
    values = signal.values.copy()
    values[round(start * signal.rate_hz) : round(end * signal.rate_hz)] = value
    return replace(person(), signals={**person().signals, channel: replace(signal, values=values)})


def with_mask(channel: str, reason: str, start: float, end: float) -> Recording:
    signal = person().signals[channel]
    mask = np.zeros(len(signal.values), bool)
    mask[round(start * signal.rate_hz) : round(end * signal.rate_hz)] = True
    signals = {**person().signals, channel: replace(signal, unmeasured={reason: mask})}
    return replace(person(), signals=signals)


CASES: Mapping[str, tuple[str, Recording, str]] = {
    "eda off": ("EDA", with_values("EDA", 500.25, 620.5, 0.0), "no skin contact"),
    "eda negative": ("EDA", with_values("EDA", 500.25, 620.5, -1.0), "no skin contact"),
    "eda at its floor": ("EDA", with_values("EDA", 500.25, 620.5, 0.03), "no skin contact"),
    "temperature of air": ("TEMP", with_values("TEMP", 500.25, 620.5, 15.0), "no temperature of skin"),
    "temperature of no skin": ("TEMP", with_values("TEMP", 500.25, 620.5, 50.0), "no temperature of skin"),
    "mended": ("TEMP", with_mask("TEMP", "mended", 500.25, 620.5), "mended"),
    "one axis saturated": ("ACC", with_mask("ACC_z", "saturated", 500.25, 620.5), "saturated"),
}


def test_a_worn_device_measures_everything() -> None:
    found = measured(person())
    assert all((share == 1).mean() > 0.99 for share in found.shares.values())
    assert not cut_subject(person(), RECIPE).left_out


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_measured_is_counted_by_second(case: str) -> None:
    sensor, recording, reason = CASES[case]
    share = measured(recording).shares[sensor]
    expected = np.ones(len(share))
    expected[500:621] = [0.25, *[0.0] * 119, 0.5]
    assert np.array_equal(share[450:700], expected[450:700])
    assert set(measured(recording).lost[sensor]) >= {reason}
    for other in set(SENSORS) - {sensor}:
        assert np.array_equal(measured(recording).shares[other], measured(person()).shares[other])


def test_a_flat_pulse_is_none() -> None:
    found = measured(with_values("BVP", 500.25, 620.5, 3.0))
    # Of whole seconds: a second with a pulse at its end is not flat.
    assert np.flatnonzero(found.shares["BVP"] < 1).tolist() == list(range(501, 620))
    assert list(found.lost["BVP"]) == ["flat line"]


def test_a_flat_conductance_is_none() -> None:
    found = measured(with_values("EDA", 503.0, 532.0, 3.0))
    # Of whole blocks of ten seconds.
    assert np.flatnonzero(found.shares["EDA"] < 1).tolist() == list(range(510, 530))
    assert list(found.lost["EDA"]) == ["flat line"]
    # A worn sensor is constant for some seconds.
    assert (measured(with_values("EDA", 503.0, 511.0, 3.0)).shares["EDA"] == 1).all()


@pytest.mark.parametrize(
    ("channels", "told"), [(("TEMP",), "TEMP is 33"), (("ACC_x", "ACC_y", "ACC_z"), "ACC is 33, 33, 33")]
)
def test_a_sensor_that_never_changes_is_refused(channels: tuple[str, ...], told: str) -> None:
    signals = dict(person().signals)
    for channel in channels:
        signals[channel] = replace(signals[channel], values=np.full(len(signals[channel].values), 33.0))
    constant = replace(person(), signals=signals)
    with pytest.raises(InputError, match=f"S1: {told} in all .* the sensor did not work"):
        cut_subject(constant, RECIPE)
    cut_subject(constant, replace(RECIPE, measured=0.0))
    if len(channels) == 3:
        moving = replace(constant, signals={**signals, "ACC_x": person().signals["ACC_x"]})
        cut_subject(moving, RECIPE)


def test_calibration_without_contact_is_refused() -> None:
    rest = person().intervals[0]
    start = rest.start_s
    with pytest.raises(
        InputError, match=r"S1: EDA measured 40% of the 300 s of calibration.*no skin contact"
    ):
        cut_subject(with_values("EDA", start + 100, start + 280, 0.0), RECIPE)
    cut_subject(with_values("EDA", start + 100, start + 240, 0.0), RECIPE)
    public = replace(RECIPE, scaling="public")
    cut_subject(with_values("EDA", start + 100, start + 280, 0.0), public)


def plain_walk(recording: Recording, sensor: str, starts: NDArray[np.float64], least: float) -> list[float]:
    share = measured(recording).shares[sensor]
    return [s for s in starts.tolist() if sum(share[int(s) + k] for k in range(60)) / 60 >= least]


@pytest.mark.parametrize("least", [0.5, 0.75, 1.0])
@pytest.mark.parametrize("case", CASES)
def test_windows_below_the_least_share_are_left_out_and_counted(case: str, least: float) -> None:
    sensor, recording, reason = CASES[case]
    every = cut_subject(recording, replace(RECIPE, measured=0.0))
    found = cut_subject(recording, replace(RECIPE, measured=least))
    kept = found.windows.start_s.tolist()
    if least < 1:
        assert kept == plain_walk(recording, sensor, every.windows.start_s, least)
        assert found.left_out == {f"{sensor}, {reason}": len(every.windows) - len(kept)}
    assert set(kept) < set(every.windows.start_s.tolist())
    # The rule chooses windows and changes none of them.
    rows = np.isin(every.windows.start_s, kept)
    assert np.array_equal(found.windows.windows, every.windows.windows[rows])
    text = render(summarize([found]))
    assert f"{sensor}, {reason}: " in text
    assert text.splitlines()[0].split()[-6:] == ["BVP", "EDA", "ACC", "TEMP", "left", "out"]


@pytest.mark.parametrize("value", [0.0, -2.0, 0.03])
def test_a_person_without_any_measured_window_is_refused(value: float) -> None:
    never = with_values("EDA", 0, person().whole_seconds, value)
    with pytest.raises(
        InputError, match=r"S1: none of 15 windows .*EDA, no skin contact in 15.*leave the subject"
    ):
        cut_subject(never, RECIPE)


def test_shares_of_several_recordings_are_joined() -> None:
    off = CASES["eda off"][1]
    found = joined([measured(person()), measured(off)])
    whole = person().whole_seconds
    assert len(found.shares["EDA"]) == 2 * whole
    assert np.array_equal(found.shares["EDA"][whole:], measured(off).shares["EDA"])
    assert not found.lost["EDA"]["no skin contact"][:whole].any()
    later = {name: replace(s, start_unix_s=s.start_unix_s + 9000) for name, s in off.signals.items()}
    both = cut_person([person(), replace(off, signals=later)], RECIPE)
    alone = cut_subject(off, RECIPE)
    assert both.left_out == alone.left_out
    assert both.windows.start_s[15:].tolist() == (alone.windows.start_s + 9000).tolist()


def test_protocol_paper_keeps_all_windows_and_hashes_stay() -> None:
    assert Recipe.with_defaults("paper", "detector").measured == 0
    assert "measured" not in Recipe.with_defaults("paper", "detector").settings()
    assert RECIPE.settings()["measured"] == RECIPE.measured == 0.5


def test_the_table_shows_the_error_to_the_chest_and_the_variability() -> None:
    rate = physiological_channels(person()).channels["heart_rate"]
    labelled = [second for i in person().intervals for second in range(int(i.start_s), int(i.end_s))]
    # Off by up to 4 beats/min, and by 50 where no interval counts; unknown in one of four seconds.
    error = np.full(len(rate), 50.0)
    error[labelled] = np.linspace(0, 4, len(labelled))
    error[::4] = np.nan
    chest = rate - error
    alone, both = cut_subject(person(), RECIPE), replace(person(), chest_rate=chest)
    found = cut_subject(both, RECIPE)
    assert alone.chest_error is None
    assert found.chest_error == pytest.approx(np.nanmedian(error[labelled]))
    assert np.array_equal(found.rmssd_ms, alone.rmssd_ms, equal_nan=True)
    assert found.rmssd_ms.shape == (len(found.windows),)
    head, row = render(summarize([found])).splitlines()[:2]
    (summary,) = summarize([found])
    assert summary.rmssd_ms == pytest.approx(np.nanmedian(found.rmssd_ms))
    assert "RMSSD, ms" in head
    assert "error to ECG, beats/min" in head
    clear = 1 - physiological_channels(person()).pulse.unclear
    share = sum(clear[second] for second in labelled) / len(labelled)
    assert 0.9 < share < 1
    assert row.split()[8:11] == [f"{summary.rmssd_ms:.0f}", "2.0", f"{share:.1%}"]
    paper = cut_subject(both, Recipe.with_defaults("paper", "detector"))
    assert paper.chest_error is None
    assert "heart rate" not in paper.measured


def test_beats_of_a_second_recording_count_from_its_own_start() -> None:
    later = {n: replace(s, start_unix_s=s.start_unix_s + 9000) for n, s in person().signals.items()}
    both, alone = (
        cut_person([person(), replace(person(), signals=later)], RECIPE),
        cut_subject(person(), RECIPE),
    )
    assert np.array_equal(both.rmssd_ms, np.tile(alone.rmssd_ms, 2), equal_nan=True)
    assert np.isfinite(alone.rmssd_ms).mean() > 0.5


def test_only_physiological_windows_depend_on_how_the_heart_rate_is_computed() -> None:
    assert RECIPE.settings()["physiology"] == PHYSIOLOGY
    assert "physiology" not in Recipe.with_defaults("paper", "detector").settings()
    assert "physiology" not in Recipe.with_defaults("sound", "detector", channels="published").settings()
