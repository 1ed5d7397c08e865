from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pulseveil.core.contracts import (
    AMUSEMENT,
    BASELINE,
    CHANNEL_SETS,
    PHYSIOLOGICAL_CHANNELS,
    STRESS,
    Interval,
)
from pulseveil.core.errors import InputError
from pulseveil.windows.scaling import CHANNEL_SCALES, Calibration, MinMax, PublicRange
from pulseveil.windows.timeline import Timeline, make_timeline

VALUES = npst.arrays(np.float64, (40, 6), elements=st.floats(-1e3, 1e3, width=32))


def timeline(values: np.ndarray, *spans: tuple[int, int, int]) -> Timeline:
    intervals = [Interval(code, start, end, "") for code, start, end in spans]
    return make_timeline("S1", np.asarray(values, float), intervals)


def physiology(seconds: int) -> np.ndarray:
    noise = np.random.default_rng(3)
    low = [CHANNEL_SCALES[name].low for name in PHYSIOLOGICAL_CHANNELS]
    high = [CHANNEL_SCALES[name].high for name in PHYSIOLOGICAL_CHANNELS]
    return noise.uniform(low, high, (seconds, 6))


@given(VALUES)
def test_min_max_spans_zero_to_one_over_the_labelled_seconds(values: np.ndarray) -> None:
    scaled = MinMax().scale(timeline(values, (BASELINE, 3, 20), (STRESS, 30, 38)), CHANNEL_SETS["published"])
    kept = np.r_[3:20, 30:38]
    for i in range(6):
        column = scaled.values[kept, i]
        if np.ptp(values[kept, i]) > 0:
            assert column.min() == 0
            assert column.max() == pytest.approx(1)
        else:
            assert (column == 0).all()
            assert f"{CHANNEL_SETS['published'][i]}: constant, scaled to 0" in scaled.notes
    assert not scaled.calibration.any()


@given(VALUES, st.floats(0.1, 50), st.floats(-100, 100))
def test_min_max_forgets_unit_and_offset(values: np.ndarray, factor: float, offset: float) -> None:
    values[5] += 100 * np.arange(1, 7)
    spans = ((BASELINE, 0, 40),)
    before = MinMax().scale(timeline(values, *spans), CHANNEL_SETS["published"]).values
    after = MinMax().scale(timeline(values * factor + offset, *spans), CHANNEL_SETS["published"]).values
    np.testing.assert_allclose(before, after, atol=1e-6)


def test_min_max_needs_a_label() -> None:
    with pytest.raises(InputError, match="no labelled second"):
        MinMax().scale(timeline(np.ones((40, 6))), CHANNEL_SETS["published"])


def test_calibration_is_the_documented_formula() -> None:
    values = physiology(900)
    scaled = Calibration(300).scale(
        timeline(values, (STRESS, 0, 100), (AMUSEMENT, 150, 800)), PHYSIOLOGICAL_CHANNELS
    )
    units = [10, 0.5, 1, 0.3, 1, 1]
    logarithmic = [False, True, True, False, True, False]
    for i in range(6):
        g = np.log(values[:, i]) if logarithmic[i] else values[:, i]
        np.testing.assert_allclose(scaled.values[:, i], (g - g[150:450].mean()) / units[i], atol=1e-12)
    assert np.array_equal(np.flatnonzero(scaled.calibration), np.arange(150, 450))
    assert scaled.notes == ()


@given(st.integers(0, 5), st.floats(0.2, 5))
def test_calibrated_logarithmic_channels_forget_the_unit(channel: int, factor: float) -> None:
    values = physiology(200)
    spans = (BASELINE, 0, 120)
    before = Calibration(100).scale(timeline(values, spans), PHYSIOLOGICAL_CHANNELS).values[:, channel]
    values[:, channel] *= factor
    after = Calibration(100).scale(timeline(values, spans), PHYSIOLOGICAL_CHANNELS).values[:, channel]
    if PHYSIOLOGICAL_CHANNELS[channel] in ("pulse_amplitude", "eda_level"):
        np.testing.assert_allclose(before, after, atol=1e-9)
    elif PHYSIOLOGICAL_CHANNELS[channel] != "activity":
        np.testing.assert_allclose(before * factor, after, atol=1e-9)


def test_calibration_looks_at_no_later_second() -> None:
    values = physiology(400)
    spans = ((BASELINE, 0, 200), (STRESS, 200, 400))
    before = Calibration(100).scale(timeline(values, *spans), PHYSIOLOGICAL_CHANNELS).values
    values[250:] *= 1.5
    after = Calibration(100).scale(timeline(values, *spans), PHYSIOLOGICAL_CHANNELS).values
    assert np.array_equal(before[:250], after[:250])


def test_a_short_first_rest_is_used_whole_and_told() -> None:
    spans = ((BASELINE, 0, 80), (BASELINE, 80, 900))
    scaled = Calibration(300).scale(timeline(physiology(900), *spans), PHYSIOLOGICAL_CHANNELS)
    assert scaled.calibration.sum() == 80
    assert scaled.notes == ("calibrated on 80 s instead of 300 s, all of the first non-stress interval",)


@pytest.mark.parametrize(
    ("spans", "told"),
    [
        (((BASELINE, 0, 59), (BASELINE, 100, 900)), "needs at least 60 s .* found 59 s"),
        (((STRESS, 0, 500),), "needs a non-stress interval, found none"),
    ],
)
def test_too_little_rest_is_refused(spans: tuple[tuple[int, int, int], ...], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Calibration(300).scale(timeline(physiology(900), *spans), PHYSIOLOGICAL_CHANNELS)


def test_zeros_have_a_finite_logarithm() -> None:
    scaled = Calibration(60).scale(timeline(np.zeros((100, 6)), (BASELINE, 0, 90)), PHYSIOLOGICAL_CHANNELS)
    assert np.isfinite(scaled.values).all()


@pytest.mark.parametrize("channels", list(CHANNEL_SETS.values()))
def test_public_ranges_map_to_zero_and_one_and_clip(channels: tuple[str, ...]) -> None:
    scales = [CHANNEL_SCALES[name] for name in channels]
    values = np.array([[s.low for s in scales], [s.high for s in scales], [1e6] * 6, [-1e6] * 6])
    scaled = PublicRange().scale(timeline(values), channels)
    np.testing.assert_allclose(scaled.values, [[0] * 6, [1] * 6, [1] * 6, [0] * 6])


@given(VALUES)
def test_public_scaling_treats_each_second_alone(values: np.ndarray) -> None:
    whole = PublicRange().scale(timeline(values), PHYSIOLOGICAL_CHANNELS).values
    half = PublicRange().scale(timeline(values[::2]), PHYSIOLOGICAL_CHANNELS).values
    assert np.array_equal(whole[::2], half)
    assert whole.min() >= 0
    assert whole.max() <= 1
