"""Windows against slow plain loops, and what must hold for any recording."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseveil.core.contracts import BASELINE, PUBLISHED_CHANNELS, STRESS, Interval, Recording, Signal
from pulseveil.core.errors import InputError
from pulseveil.core.identity import COHORT
from pulseveil.windows.cutting import cut_subject, cut_windows, majority, window_rows
from pulseveil.windows.recipe import Recipe
from pulseveil.windows.starts import published_starts
from pulseveil.windows.timeline import UNLABELLED, Timeline, anti_aliased, fourier, make_timeline

RATES = {"BVP": 64, "EDA": 4, "ACC_x": 32, "ACC_y": 32, "ACC_z": 32, "TEMP": 4}


def recording(seconds: float, *spans: tuple[int, float, float], subject: str = "S1") -> Recording:
    noise = np.random.default_rng(5)
    signals = {
        name: Signal(noise.normal(30, 2, int(seconds * RATES[name])), RATES[name], 0.0)
        for name in PUBLISHED_CHANNELS
    }
    return Recording(subject, signals, tuple(Interval(code, start, end, "") for code, start, end in spans))


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Up to 6 intervals of any condition, with and without gaps; some run past the end of the recording."""
    intervals, second = [], 0
    for _ in range(draw(st.integers(0, 6))):
        start = second + draw(st.integers(0, 15))
        second = start + draw(st.integers(1, 70))
        intervals.append(Interval(draw(st.integers(0, 2)), start, second, ""))
    seconds = max(1, second + draw(st.integers(-10, 10)))
    return make_timeline("S1", np.arange(seconds * 6.0).reshape(seconds, 6), intervals)


RECIPES = st.builds(
    Recipe,
    protocol=st.sampled_from(["paper", "sound"]),
    audience=st.sampled_from(["generator", "detector"]),
    channels=st.just("published"),
    scaling=st.just("public"),
    window_s=st.integers(1, 20),
    stride_s=st.integers(1, 20),
)


def slow_sound_rows(timeline: Timeline, window_s: int, stride_s: int) -> list[list[int]]:
    """Walk through the seconds; a window is good when all its seconds have one interval's index."""
    rows, anchor = [], 0
    for second in range(len(timeline.interval)):
        if second == 0 or timeline.interval[second] != timeline.interval[second - 1]:
            anchor = second
        window = list(range(second, second + window_s))
        if (second - anchor) % stride_s or window[-1] >= len(timeline.interval):
            continue
        indices = {int(timeline.interval[k]) for k in window}
        if len(indices) == 1 and UNLABELLED not in indices:
            rows.append(window)
    return rows


def slow_paper_rows(timeline: Timeline, recipe: Recipe) -> list[list[int]]:
    kept = [k for k, index in enumerate(timeline.interval) if index != UNLABELLED]
    rows, start = [], 0
    while start <= len(kept) - recipe.window_s:
        if recipe.audience == "generator" or start < len(kept) - recipe.window_s:
            rows.append(kept[start : start + recipe.window_s])
        start += recipe.stride_s
    return rows if recipe.audience == "generator" else rows[:-1]


@given(timelines(), RECIPES)
def test_windows_are_those_of_a_plain_walk(timeline: Timeline, recipe: Recipe) -> None:
    if recipe.protocol == "paper":
        expected = slow_paper_rows(timeline, recipe)
    else:
        expected = slow_sound_rows(timeline, recipe.window_s, recipe.stride_s)
    assert window_rows(timeline, recipe).tolist() == expected


@given(timelines(), st.integers(1, 20))
def test_sound_windows_without_overlap_use_every_whole_window(timeline: Timeline, window_s: int) -> None:
    recipe = Recipe("sound", "detector", "published", "public", window_s, window_s)
    rows = window_rows(timeline, recipe)
    used = [int((timeline.interval == i).sum()) // window_s for i in set(timeline.interval) - {UNLABELLED}]
    assert len(rows) == sum(used)
    assert len(np.unique(rows)) == rows.size


@given(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=1, max_size=20))
def test_majority_breaks_ties_downwards(codes: list[list[int]]) -> None:
    def vote(row: list[int]) -> int:
        return min(row, key=lambda code: (-Counter(row)[code], code))

    assert majority(np.array(codes, np.int8), 3).tolist() == [vote(row) for row in codes]


@pytest.mark.parametrize(
    ("kept", "generator", "detector"),
    [(2121, 69, 34), (2277, 74, 36), (60, 1, 0), (59, 0, 0), (120, 3, 0), (121, 3, 1)],
)
def test_published_counts(kept: int, generator: int, detector: int) -> None:
    assert len(published_starts(kept, 60, 30, "generator")) == generator
    assert len(published_starts(kept, 60, 60, "detector")) == detector


def test_published_detectors_vote_on_stress_alone() -> None:
    # 24 s of baseline, 18 of stress, 18 of amusement: baseline is most frequent, and so is not-stress; with
    # 24 of stress and 18 of each other, stress wins among three and loses against the rest.
    spans = ((0, 0, 24), (1, 24, 42), (2, 42, 60), (0, 60, 78), (1, 78, 102), (2, 102, 120))
    long = recording(400, *spans, (0, 200, 390))
    recipe = {"channels": "published", "scaling": "public"}
    detectors = cut_subject(long, Recipe.with_defaults("paper", "detector", **recipe)).windows
    generators = cut_subject(long, Recipe.with_defaults("paper", "generator", **recipe)).windows
    assert (detectors.condition[1], detectors.stress[1]) == (STRESS, False)
    assert np.array_equal(generators.stress, generators.condition == STRESS)


def test_start_is_the_recordings_own_second() -> None:
    windows = cut_subject(
        recording(400, (0, 100, 190), (1, 250, 380)),
        Recipe.with_defaults("paper", "generator", scaling="public"),
    ).windows
    assert windows.start_s.tolist() == [100, 130, 160, 250, 280, 310]
    assert windows.condition.tolist() == [0, 0, 0, 1, 1, 1]


def test_windows_that_touch_the_calibration_are_marked() -> None:
    windows = cut_subject(
        recording(600, (1, 0, 100), (0, 100, 300), (2, 300, 500)),
        Recipe("sound", "generator", "published", "calibration", 60, 30, 90),
    ).windows
    touching = (windows.start_s < 190) & (windows.start_s + 60 > 100)
    assert np.array_equal(windows.calibration, touching)
    assert windows.calibration.sum() == 3


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["paper", "sound"]), st.sampled_from(["min-max", "calibration", "public"]))
def test_shapes_and_types_are_those_of_the_contract(protocol: str, scaling: str) -> None:
    subjects = [recording(300, (BASELINE, 5, 150), (STRESS, 160, 290), subject=name) for name in ("S1", "S2")]
    found = cut_windows(
        subjects,
        protocol=protocol,  # type: ignore[arg-type]
        channels="published",
        scaling=scaling,  # type: ignore[arg-type]
        window_s=60.0,
        stride_s=30,
        audience="generator",
    )
    assert found.windows.shape == (len(found), 60, 6)
    assert (found.windows.dtype, found.condition.dtype, found.stress.dtype) == (np.float32, np.int8, np.bool_)
    assert list(dict.fromkeys(found.subject)) == ["S1", "S2"]
    assert np.isfinite(found.windows).all()
    assert (found.rate_hz, found.window_s, found.stride_s) == (1, 60, 30)


def test_no_window_reaches_past_the_recording() -> None:
    windows = cut_subject(
        recording(110.9, (0, 0, 125)),
        Recipe.with_defaults("sound", "detector", channels="published", scaling="public"),
    )
    assert (windows.seconds, windows.windows.start_s.tolist()) == (110, [0])


def test_an_interval_shorter_than_a_window_is_noted() -> None:
    found = cut_subject(
        recording(200, (0, 0, 100), (1, 120, 150)),
        Recipe("sound", "detector", "published", "public"),
    )
    assert found.notes == ("interval at 120 s holds 30 s, less than one window of 60 s",)


def test_a_second_belongs_to_the_interval_that_its_start_lies_in() -> None:
    found = make_timeline("S1", np.zeros((10, 1)), [Interval(1, 2.5, 5.01, ""), Interval(0, 5.01, 20, "")])
    assert found.condition.tolist() == [-1, -1, -1, 1, 1, 1, 0, 0, 0, 0]
    assert found.interval.tolist() == [-1, -1, -1, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("resample", [fourier, anti_aliased])
@pytest.mark.parametrize(("hz", "left"), [(0.05, 1.0), (1.3, 0.0), (9.2, 0.0)])
def test_resampling_keeps_slow_waves_and_removes_those_that_would_alias(
    resample: type, hz: float, left: float
) -> None:
    seconds = 400
    signals = {
        name: Signal(np.sin(2 * np.pi * hz * np.arange(seconds * rate) / rate), rate, 0.0)
        for name, rate in (
            ("BVP", 64),
            ("EDA", 64),
            ("ACC_x", 32),
            ("ACC_y", 32),
            ("ACC_z", 32),
            ("TEMP", 64),
        )
    }
    values = resample(Recording("S1", signals, ())).values
    expected = left * np.sin(2 * np.pi * hz * np.arange(seconds))
    np.testing.assert_allclose(values[40:-40], np.tile(expected[40:-40, None], 6), atol=0.01)


def test_whole_seconds_are_those_of_the_shortest_signal() -> None:
    mixed = recording(100.7)
    signals = {**mixed.signals, "TEMP": Signal(np.ones(4 * 98 + 3), 4, 0.0)}
    assert Recording("S1", signals, ()).whole_seconds == 98


def test_defaults_follow_the_protocol() -> None:
    assert Recipe.with_defaults("paper", "generator") == Recipe(
        "paper", "generator", "published", "min-max", 60, 30
    )
    sound = Recipe.with_defaults("sound", "detector", stride_s=None, calibration_s=120.0)
    assert sound == Recipe("sound", "detector", "physiological", "calibration", 60, 60, 120, 0.5)


@pytest.mark.parametrize("wrong", [{"window_s": 0}, {"stride_s": 0.5}, {"calibration_s": -1}])
def test_lengths_are_whole_seconds(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected whole seconds above 0"):
        Recipe.with_defaults("sound", "detector", **wrong)


def test_no_recordings_are_no_cohort() -> None:
    with pytest.raises(InputError, match="no recordings"):
        cut_windows(
            [],
            protocol="sound",
            channels="published",
            scaling="public",
            window_s=60,
            stride_s=60,
            audience="detector",
        )


@pytest.mark.parametrize(
    ("protocol", "scaling", "sums"),
    [
        ("paper", "min-max", [19.1011, 21.8575, 22.6326, 20.9818, 21.4412, 20.3443]),
        ("sound", "calibration", [0.0140, 0.0992, -0.1875, 0.2543, -0.0788, -5.5658]),
        ("sound", "public", [17.4914, 31.6001, 20.4398, 20.4625, 20.4381, 16.5073]),
    ],
)
def test_golden_values(protocol: str, scaling: str, sums: list[float]) -> None:
    """Where these change, `identity.COHORT` must rise: finished windows are of no use any more."""
    found = cut_subject(
        recording(500, (0, 5, 190.5), (1, 200, 345), (2, 350, 495)),
        Recipe.with_defaults(protocol, "generator", channels="published", scaling=scaling),  # type: ignore[arg-type]
    )
    assert COHORT == 2
    np.testing.assert_allclose(found.windows.windows[:, ::20].sum(axis=(0, 1)), sums, atol=2e-4)
