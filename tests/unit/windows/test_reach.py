"""Any 60 s of a recording change no more windows than the statement counts, and nothing out of reach."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from pulseveil.cohorts.gaps import bridge
from pulseveil.cohorts.simulated import Simulated, SimulatedSettings
from pulseveil.core.contracts import CHANNEL_SETS, Recording, Signal
from pulseveil.windows import heart_rate, physiology
from pulseveil.windows.cutting import cut_subject
from pulseveil.windows.reach import PIECE_S, piece_windows, reach_of, reach_s
from pulseveil.windows.recipe import Recipe
from pulseveil.windows.scaling import scalings
from pulseveil.windows.timeline import RESAMPLERS, make_timeline

Array = NDArray[np.float64]
Minute = Callable[[str, int, int, np.random.Generator], Array]

RECIPES = [
    (protocol, channels, scaling)
    for protocol in ("paper", "sound")
    for channels in CHANNEL_SETS
    for scaling in ("min-max", "calibration", "public")
]
FINITE = [recipe for recipe in RECIPES if math.isfinite(reach_s(*recipe))]
NO_BOUND = ("whole recording", "no bound", "no bound")
SENSORS = ("BVP", "EDA", "ACC_x", "ACC_y", "ACC_z", "TEMP")


@cache
def people() -> tuple[Recording, Recording]:
    settings = SimulatedSettings(subjects=2, seed=11, baseline_s=420, stress_s=300, amusement_s=300)
    first, second = Simulated(settings).recordings()
    return first, second


@cache
def broken() -> Recording:
    """A person whose sensors fail for minutes: no pulse, no contact, movement, a silent thermometer."""
    given = people()[0]
    rng = np.random.default_rng(3)

    def broken_signal(name: str, one: Signal) -> Signal:
        values, rate = one.values.copy(), round(one.rate_hz)
        if name == "BVP":
            values[380 * rate : 480 * rate] = 0
            values[700 * rate : 760 * rate] += rng.normal(0, 900, 60 * rate)
            values[850 * rate : 1000 * rate : 2] = 500
        if name == "EDA":
            values[350 * rate : 470 * rate] = 0.01
            values[800 * rate : 900 * rate : 3] = 0.02
        return replace(one, values=values)

    return replace(given, signals={name: broken_signal(name, one) for name, one in given.signals.items()})


# The content of a minute of a sensor: (sensor, its first sample, number of samples, chance) -> samples.
def saturated(name: str, first: int, count: int, rng: np.random.Generator) -> Array:
    return np.full(count, {"BVP": 3000.0, "EDA": 40.0, "TEMP": 60.0}.get(name, 127.0))


def noise(name: str, first: int, count: int, rng: np.random.Generator) -> Array:
    scale = {"BVP": 1000.0, "EDA": 20.0, "TEMP": 15.0}.get(name, 120.0)
    return np.abs(rng.normal(0, scale, count)) if name in ("EDA", "TEMP") else rng.normal(0, scale, count)


def silence(name: str, first: int, count: int, rng: np.random.Generator) -> Array:
    return np.zeros(count)


def absurd(name: str, first: int, count: int, rng: np.random.Generator) -> Array:
    """Numbers whose rounding would be seen everywhere if a step summed up a whole recording."""
    return 1e12 * rng.normal(size=count)


def strong_pulse(name: str, first: int, count: int, rng: np.random.Generator) -> Array:
    """Three times as fast and ten times as strong as a heart at rest, and a warm sweating wrist."""
    pulse = 500 * np.sin(2 * np.pi * 2.9 * np.arange(count) / 64)
    return pulse if name == "BVP" else np.full(count, {"EDA": 15.0, "TEMP": 36.0}.get(name, 20.0))


def of_another_person(name: str, first: int, count: int, rng: np.random.Generator) -> Array:
    return people()[1].signals[name].values[first : first + count]


MINUTES: Mapping[str, Minute] = {
    m.__name__: m for m in (saturated, noise, silence, absurd, strong_pulse, of_another_person)
}


def with_minute(given: Recording, start: float, minute: Minute, seed: int = 0) -> Recording:
    """The recording with `PIECE_S` seconds from `start` (s, any fraction) of all sensors exchanged."""
    rng = np.random.default_rng(seed)

    def exchanged(name: str, one: Signal) -> Signal:
        first, end = (math.ceil(second * one.rate_hz) for second in (start, start + PIECE_S))
        values = one.values.copy()
        values[first:end] = minute(name, first, end - first, rng)
        return replace(one, values=values)

    return replace(given, signals={name: exchanged(name, given.signals[name]) for name in SENSORS})


def starts(count: int, seed: int) -> Array:
    """Starts of minutes that lie in the shorter person: random to a hundredth of a second, first and last."""
    last = min(person.whole_seconds for person in people()) - PIECE_S
    drawn = np.random.default_rng(seed).integers(0, 100 * last, count) / 100
    return np.concatenate([[0.0, last], drawn])


def distance_s(changed: NDArray[np.bool_], start: float) -> float:
    """How far (s) changed rows (T) lie from the minute that begins at `start`; 0 where none is outside."""
    rows = np.flatnonzero(changed)
    return max([0.0, *(start - (rows + 1)), *(rows - (start + PIECE_S))])


def changed_rows(given: Recording, other: Recording, recipe: tuple[str, str, str]) -> NDArray[np.bool_]:
    """Which values (T, 6) at 1 Hz differ, to the last bit."""
    resample = RESAMPLERS[recipe[:2]].resample
    return np.asarray(resample(given)[0] != resample(other)[0])


WHOLE_AND_BROKEN = pytest.mark.parametrize("person", [lambda: people()[0], broken], ids=["whole", "broken"])


@pytest.mark.parametrize("minute", MINUTES)
@WHOLE_AND_BROKEN
@pytest.mark.parametrize("kind", [("sound", "published"), ("sound", "physiological")], ids=" ".join)
def test_nothing_changes_out_of_reach_of_a_channel(
    kind: tuple[str, str], person: Callable[[], Recording], minute: str
) -> None:
    resampler = RESAMPLERS[kind]
    before = resampler.resample(person())[0]
    for seed, start in enumerate(starts(3, seed=len(minute))):
        after = resampler.resample(with_minute(person(), start, MINUTES[minute], seed))[0]
        for i, name in enumerate(CHANNEL_SETS[kind[1]]):
            # To the last bit.
            changed = before[:, i] != after[:, i]
            assert distance_s(changed, start) <= resampler.reach_s[name], (name, start)


def old_tonic(eda_level: Array) -> Array:
    sections = signal.butter(2, 0.02, fs=1.0, output="sos")
    return np.asarray(signal.sosfiltfilt(sections, eda_level, padlen=200))


def old_pulse(bvp: Signal) -> tuple[Array, Array]:
    sections = signal.butter(3, (0.7, 3.5), btype="bandpass", fs=bvp.rate_hz, output="sos")
    pulse = np.asarray(signal.sosfiltfilt(sections, bvp.values))
    return pulse, np.abs(signal.hilbert(pulse))


def scaled_spectra(
    one: Signal, seconds: int, spectra: Callable[[Signal, int], Array] = heart_rate._spectra
) -> Array:
    return spectra(replace(one, values=one.values / one.values.std()), seconds)


@pytest.mark.parametrize(
    ("module", "name", "mutant"),
    [
        (physiology, "tonic_level", old_tonic),
        (physiology, "pulse_wave", old_pulse),
        (physiology, "CONTACT_SPAN_S", 1000),
        (physiology, "CLEAR_SPAN_S", 1000),
        (heart_rate, "MEMORY_S", 60),
        (heart_rate, "_spectra", scaled_spectra),
    ],
)
def test_a_step_without_end_is_found(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, mutant: Any
) -> None:
    monkeypatch.setattr(module, name, mutant)

    def look() -> None:
        for minute in MINUTES:
            test_nothing_changes_out_of_reach_of_a_channel(("sound", "physiological"), broken, minute)

    with pytest.raises(AssertionError):
        look()


def constants(given: Recording, recipe: Recipe) -> Array:
    """What a scaling takes from a person's rows, by its definition."""
    rows = RESAMPLERS[recipe.protocol, recipe.channels].resample(given)[0]
    timeline = make_timeline("S1", rows, given.intervals)
    if recipe.scaling == "min-max":
        labelled = rows[timeline.labelled]
        return np.stack([labelled.min(axis=0), labelled.max(axis=0)])
    return rows[scalings()[recipe.scaling].scale(timeline, CHANNEL_SETS[recipe.channels]).calibration]


def windows(given: Recording, recipe: Recipe) -> NDArray[np.float32]:
    return cut_subject(given, recipe).windows.windows


def changed_windows(before: NDArray[np.float32], after: NDArray[np.float32]) -> int:
    return int((before != after).any(axis=(1, 2)).sum())


def extremes(name: str, first: int, count: int, rng: np.random.Generator) -> Array:
    """More of everything than a minute holds: fast and slow pulses, sweat and none, heat and frost."""
    seconds = count * np.arange(count) / count
    rate = np.where(np.arange(count) % (count // 2) < count / 4, 2.95, 0.68)
    if name == "BVP":
        return 5000 * np.sin(2 * np.pi * np.cumsum(rate) / 64) * (seconds > count / 8)
    return rng.choice([-150.0, 0.0, 150.0], 8).repeat(math.ceil(count / 8))[:count]


@cache
def with_extremes() -> Recording:
    """A person whose first labelled minutes span whatever a minute can hold: minimum and maximum stay."""
    start = people()[0].intervals[0].start_s + 5
    return with_minute(with_minute(people()[0], start, extremes, 1), start + PIECE_S, extremes, 2)


@pytest.mark.parametrize("stride_s", [30, 60])
@pytest.mark.parametrize("recipe", FINITE, ids=" ".join)
def test_no_minute_changes_more_windows_than_counted(recipe: tuple[str, str, str], stride_s: int) -> None:
    protocol, channels, scaling = recipe
    how = Recipe(protocol, "generator", channels, scaling, stride_s=stride_s)  # type: ignore[arg-type]
    given = with_extremes() if scaling == "min-max" else people()[0]
    counted = piece_windows(how.window_s, stride_s, reach_s(*recipe))
    known, before, found = constants(given, how), windows(given, how), []
    minutes = [minute for minute in MINUTES.values() if minute is not absurd]
    for seed, start in enumerate(starts(13, seed=stride_s)):
        other = with_minute(given, start, minutes[seed % len(minutes)], seed)
        # The statement takes the constants of a person as fixed, and says so.
        if np.array_equal(constants(other, how), known):
            found.append(changed_windows(before, windows(other, how)))
    assert len(found) >= 5
    assert counted - 1 <= max(found) <= counted


def test_leaving_out_what_is_not_measured_changes_no_more_windows_than_counted() -> None:
    """A minute without contact can take windows away; a window that is there once only counts as changed."""
    how = Recipe("sound", "detector", "physiological", "public", measured=0.9)
    counted = piece_windows(how.window_s, how.stride_s, reach_s("sound", "physiological", "public"))

    def kept(given: Recording) -> dict[float, bytes]:
        cut = cut_subject(given, how).windows
        return {start: one.tobytes() for start, one in zip(cut.start_s.tolist(), cut.windows, strict=True)}

    before, found, lost = kept(people()[0]), [], []
    for seed, start in enumerate(starts(8, seed=5)):
        after = kept(with_minute(people()[0], start, silence, seed))
        found.append(sum(before.get(key) != after.get(key) for key in before.keys() | after.keys()))
        lost.append(len(before) - len(after))
    assert max(found) <= counted
    assert 1 <= max(lost) <= 2


@pytest.mark.parametrize("start", [991.0, 998.0])
def test_the_minute_that_changed_nine_windows(start: float) -> None:
    """EDA 40 uS with zero-phase Butterworth filters: 9 windows, where 2 were counted."""
    (given,) = Simulated(SimulatedSettings(subjects=1, seed=1)).recordings()
    how = Recipe.with_defaults("sound", "detector", measured=0.0)
    values = given.signals["EDA"].values.copy()
    values[math.ceil(4 * start) : math.ceil(4 * (start + PIECE_S))] = 40
    signals = {**given.signals, "EDA": replace(given.signals["EDA"], values=values)}
    other = replace(given, signals=signals)
    assert 2 <= changed_windows(windows(given, how), windows(other, how)) <= 3


@pytest.mark.parametrize("scaling", ["min-max", "calibration"])
def test_a_minute_that_moves_the_constants_changes_every_window(scaling: str) -> None:
    """What the statement says of scaling by person."""
    how = Recipe("sound", "detector", "physiological", scaling)  # type: ignore[arg-type]
    other = with_minute(people()[0], people()[0].intervals[0].start_s + 60, saturated)
    before = windows(people()[0], how)
    assert changed_windows(before, windows(other, how)) == len(before)


def test_a_minute_of_a_fourier_resampled_recording_changes_every_window() -> None:
    how = Recipe("paper", "detector", "published", "public")
    before = windows(people()[0], how)
    assert changed_windows(before, windows(with_minute(people()[0], 500, noise), how)) == len(before)
    assert reach_s("paper", "published", "public") == math.inf


def test_the_table_of_the_documentation_is_that_of_the_code() -> None:
    text = (Path(__file__).parents[3] / "config" / "README.md").read_text().replace("`", "")
    told = re.findall(r"^\| (?:sound|paper) \|.*$", text, re.MULTILINE)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told]
    found = {tuple(row[:2]): tuple(row[2:]) for row in rows}
    expected = {}
    for (protocol, channels), resampler in RESAMPLERS.items():
        reach = max(resampler.reach_s.values())
        counted = tuple(piece_windows(60, stride_s, reach) for stride_s in (30, 60))
        row = (f"{reach:g} s", *map(str, counted)) if math.isfinite(reach) else NO_BOUND
        expected[protocol, channels] = row
    assert found == expected


@pytest.mark.parametrize("window_s", [30, 60])
@pytest.mark.parametrize("stride_s", [7, 30, 60, 90])
@pytest.mark.parametrize("reach", [0, 2.5, 12, 30])
def test_piece_windows_by_counting(window_s: int, stride_s: int, reach: float) -> None:
    """Windows of neighbouring intervals, each of whole windows, against minutes that begin everywhere."""
    starts_s = np.concatenate([np.arange(s, s + 600 - window_s + 1, stride_s) for s in (0, 600, 1200)])
    # An interval ends with its last window, so that the next one begins a window later.
    gaps = [0, *(600 - window_s - starts_s[starts_s < 600].max() for _ in range(2))]
    starts_s = starts_s - np.repeat(np.cumsum(gaps), len(starts_s) // 3)
    seen = max(
        int(np.sum((starts_s < start + PIECE_S + reach) & (starts_s + window_s > start - reach)))
        for start in np.arange(300, 1200, 0.25)
    )
    counted = piece_windows(window_s, stride_s, reach)
    assert seen <= counted
    assert stride_s > window_s or seen == counted
    assert piece_windows(window_s, stride_s, math.inf) == math.inf


def test_bridge_agrees_with_a_plain_loop() -> None:
    rng = np.random.default_rng(4)
    known = np.sort(rng.uniform(0, 200, 30))
    values, places = rng.normal(size=30), np.sort(rng.uniform(-20, 220, 300))
    expected = []
    for place in places:
        close = [(k, v) for k, v in zip(known, values, strict=True) if abs(k - place) <= 3]
        before = [pair for pair in close if pair[0] < place][-1:]
        after = [pair for pair in close if pair[0] >= place][:1]
        match before + after:
            case [(a, x), (b, y)]:
                expected.append(x + (y - x) * (place - a) / (b - a))
            case [(_, x)]:
                expected.append(x)
            case _:
                expected.append(-9.0)
    np.testing.assert_allclose(bridge(places, known, values, 3, -9.0), expected)
    assert bridge(places, np.zeros(0), np.zeros(0), 3, -9.0).tolist() == [-9.0] * 300


def test_the_reach_of_windows_is_that_of_their_recipe() -> None:
    cut = cut_subject(people()[0], Recipe.with_defaults("sound", "detector")).windows
    assert reach_of(cut) == reach_s("sound", "physiological", "calibration") == 30
    assert reach_of(replace(cut, channels=("one",))) == math.inf
