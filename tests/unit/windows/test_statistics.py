import math
import statistics as standard

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseveil.core.contracts import PHYSIOLOGICAL_CHANNELS
from pulseveil.core.errors import InputError
from pulseveil.windows.features import (
    SD_FLOOR,
    STATISTICS,
    select_columns,
    statistic_names,
    window_statistics,
)

NAMES = statistic_names(PHYSIOLOGICAL_CHANNELS)


def named(windows, rate_hz=1.0, row=0):
    return dict(zip(NAMES, window_statistics(windows, rate_hz)[row].tolist(), strict=True))


def test_values_equal_those_of_the_standard_library():
    windows = np.random.default_rng(0).normal(size=(3, 60, 6))
    for row in range(3):
        found = named(windows, row=row)
        for c, channel in enumerate(PHYSIOLOGICAL_CHANNELS):
            signal = windows[row, :, c].tolist()
            assert found[f"{channel}_mean"] == pytest.approx(standard.fmean(signal), rel=1e-5)
            assert found[f"{channel}_log_sd"] == pytest.approx(math.log(standard.pstdev(signal)), rel=1e-5)
            slope = standard.linear_regression([t / 60 for t in range(60)], signal).slope
            assert found[f"{channel}_slope"] == pytest.approx(slope, rel=1e-4)
            assert found[f"{channel}_minimum"] == pytest.approx(min(signal), rel=1e-6)
            assert found[f"{channel}_maximum"] == pytest.approx(max(signal), rel=1e-6)


@pytest.mark.parametrize("rate_hz", [1.0, 4.0])
def test_a_ramp_rises_by_its_slope_a_minute(rate_hz):
    seconds = np.arange(int(60 * rate_hz)) / rate_hz
    windows = np.zeros((1, len(seconds), 6))
    windows[0, :, 0] = 5 + 3 * seconds / 60
    assert named(windows, rate_hz)["heart_rate_slope"] == pytest.approx(3, rel=1e-5)


def test_a_still_sensor_gives_the_floor():
    found = named(np.full((1, 60, 6), 0.25))
    assert found["activity_log_sd"] == pytest.approx(math.log(SD_FLOOR))
    assert found["activity_slope"] == pytest.approx(0, abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.floats(-5, 5), st.floats(0.5, 20), st.integers(0, 99))
def test_shift_and_scale_act_as_the_definitions_say(shift, scale, seed):
    windows = np.random.default_rng(seed).normal(size=(1, 60, 6))
    before, after = named(windows), named(shift + scale * windows)
    assert after["eda_level_mean"] == pytest.approx(shift + scale * before["eda_level_mean"], abs=1e-4)
    assert after["eda_level_log_sd"] == pytest.approx(math.log(scale) + before["eda_level_log_sd"], abs=1e-4)
    assert after["eda_level_slope"] == pytest.approx(scale * before["eda_level_slope"], abs=1e-3)
    assert after["eda_level_maximum"] == pytest.approx(shift + scale * before["eda_level_maximum"], abs=1e-4)


def test_every_column_has_a_name_of_its_own():
    assert len(NAMES) == len(set(NAMES)) == 6 * len(STATISTICS)


def test_columns_are_chosen_by_statistic_or_by_name():
    means = [NAMES[i] for i in select_columns(NAMES, ["mean"])]
    assert means == [f"{channel}_mean" for channel in PHYSIOLOGICAL_CHANNELS]
    both = [NAMES[i] for i in select_columns(NAMES, ["heart_rate_slope", "heart_rate_mean"])]
    assert both == ["heart_rate_mean", "heart_rate_slope"]


def test_an_unknown_column_is_named_with_the_ones_that_exist():
    with pytest.raises(InputError, match=r"no column 'BVP_mean'.*heart_rate_mean"):
        select_columns(NAMES, ["mean", "BVP_mean"])
