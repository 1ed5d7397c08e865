from __future__ import annotations

import numpy as np
import pytest

from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import Signal
from pulseveil.windows import heart_rate
from pulseveil.windows.heart_rate import CLEAR, rmssd_ms, track_pulse, tracked_rate
from pulseveil.windows.physiology import pulse_wave

SECONDS = 120
TIME = np.arange(SECONDS * 64) / 64


def wave(beats: Floats) -> Floats:
    """A pulse wave (n,) of height 1 whose phase is whole at the times of the beats."""
    angle = 2 * np.pi * np.interp(TIME, beats, np.arange(len(beats)))
    return np.cos(angle) + 0.4 * np.cos(2 * angle - 1.2) + 0.1 * np.cos(3 * angle - 2.2)


def regular(rate: float) -> Floats:
    return np.arange(0, SECONDS + 2, 60 / rate)


def still() -> list[Signal]:
    return [Signal(np.zeros(SECONDS * 32), 32.0, 0.0) for _ in range(3)]


def moved(course: Floats) -> list[Signal]:
    """An arm that moves up and down by a course (n,) in g at 64 Hz."""
    x, y, z = still()
    return [x, y, Signal(pulse_wave(Signal(z.values + course[::2], 32.0, 0.0))[0], 32.0, 0.0)]


def tracked(bvp: Floats, acceleration: list[Signal]) -> tuple[Floats, Floats]:
    pulse, _ = pulse_wave(Signal(bvp, 64.0, 0.0))
    return tracked_rate(Signal(pulse, 64.0, 0.0), acceleration, SECONDS)


@pytest.mark.parametrize("rate", [42.0, 60.0, 90.0, 130.0, 175.0])
def test_a_regular_pulse_has_its_rate_and_neither_half_nor_twice(rate: float) -> None:
    found, uncertainty = tracked(wave(regular(rate)), still())
    np.testing.assert_allclose(found[5:-5], rate, atol=1.0)
    assert uncertainty[5:-5].max() < 2


def test_the_pace_of_the_arm_is_not_taken_for_the_heart() -> None:
    step = np.cos(2 * np.pi * 1.8 * TIME)
    bvp = wave(regular(72)) + 1.5 * np.roll(step, 5)
    found, _ = tracked(bvp, moved(0.3 * step))
    np.testing.assert_allclose(found[5:-5], 72, atol=2)
    fooled, _ = tracked(bvp, still())
    np.testing.assert_allclose(fooled[5:-5], 108, atol=2)


def test_noise_has_no_clear_rate() -> None:
    """At most 6 % of seconds are clear; 10 % here, three SDs of the mean of forty times two minutes."""
    rng = np.random.default_rng(1)
    clear = [tracked(rng.normal(size=SECONDS * 64), still())[1] <= CLEAR for _ in range(40)]
    assert np.mean(clear) < 0.1


def test_slow_movement_without_a_pulse_pulls_the_rate_down_less() -> None:
    """Noise whose power falls with 1/f^2: mean rate above 60, of a range from 40 to 180."""
    rng = np.random.default_rng(7)
    rates = [tracked(np.cumsum(rng.normal(size=SECONDS * 64)), still())[0].mean() for _ in range(10)]
    assert np.mean(rates) > 60


def test_a_short_burst_is_crossed_and_less_sure() -> None:
    bvp = wave(regular(75))
    bvp[60 * 64 : 66 * 64] += np.random.default_rng(2).normal(0, 20, 6 * 64)
    found, uncertainty = tracked(bvp, still())
    np.testing.assert_allclose(found[5:-5], 75, atol=3)
    assert uncertainty[60:66].min() > 2 * uncertainty[30:50].max()


@pytest.mark.parametrize("second", [0, 7, 60, SECONDS - 1])
def test_a_rate_is_that_of_all_paths_through_the_seconds_around(second: int) -> None:
    """Bayes' rule in plain loops: spectra by their definition, the walk rate by rate."""
    rng = np.random.default_rng(3)
    bvp = wave(np.cumsum(rng.normal(0.8, 0.05, 200)) - 2) + rng.normal(0, 1.0, SECONDS * 64)
    shaken = 0.1 * rng.normal(0, 1, SECONDS * 64)
    pulse = Signal(pulse_wave(Signal(bvp, 64.0, 0.0))[0], 64.0, 0.0)
    acceleration = moved(shaken)
    rates = np.arange(22, 97) * 60 / 32
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(128) / 128)

    def sinusoids(one: Signal, at: int) -> list[float]:
        step = round(one.rate_hz / 16)
        slow = [np.mean(one.values[i : i + step]) for i in range(0, len(one.values), step)]
        around = range(16 * at - 56, 16 * at + 72)
        stretch = np.array([slow[i] if 0 <= i < len(slow) else 0.0 for i in around])
        waves = [np.exp(-2j * np.pi * k / 32 * np.arange(128) / 16) for k in range(193)]
        return [2 * abs(np.sum(taper * stretch * w)) ** 2 / np.sum(taper) ** 2 for w in waves]

    def likelihood(at: int) -> Floats:
        found = [k * variance for k, variance in enumerate(sinusoids(pulse, at))]
        # What a sinusoid of variance 1 adds up to over the 512 frequencies of a padded stretch.
        total = sum(found) / (512 * np.sum(taper**2) / np.sum(taper) ** 2)
        axes = [sinusoids(axis, at) for axis in acceleration]
        shares = [f / total / (1 + sum(a[k] for a in axes) / 0.02**2) for k, f in enumerate(found)]
        explained = [shares[k] + min(shares[2 * k], shares[k] / 2) for k in range(22, 97)]
        return (1 - np.minimum(explained, 0.98)) ** -2.5

    def walk(towards: range) -> Floats:
        chances = np.ones(len(rates))
        for at in towards:
            here = chances * (likelihood(at) if 0 <= at < SECONDS else 1.0)
            chances = np.zeros(len(rates))
            for i, one in enumerate(rates):
                near = np.abs(rates - one) <= 7.6
                chances += np.where(near, here[i] * np.exp(-0.5 * ((rates - one) / 2) ** 2), 0)
            chances /= chances.sum()
        return chances

    expected = likelihood(second) * walk(range(second - 15, second)) * walk(range(second + 15, second, -1))
    expected /= expected.sum()
    top = int(expected.argmax())
    near = slice(max(0, top - 3), top + 4)
    rate = np.sum(expected[near] * rates[near]) / np.sum(expected[near])
    found, uncertainty = tracked_rate(pulse, acceleration, SECONDS)
    assert found[second] == pytest.approx(rate, rel=1e-6)
    spread = np.sqrt(np.sum(expected * (rates - rate) ** 2))
    assert uncertainty[second] == pytest.approx(spread, rel=1e-4)


def test_the_uncertainty_holds_what_it_states() -> None:
    """Errors beyond twice the stated SD: 5 % of normal ones, at most 8 % here, over 20 noisy pulses."""
    rng = np.random.default_rng(4)
    errors, stated = [], []
    for _ in range(20):
        beats = np.cumsum(rng.normal(60 / rng.uniform(55, 110), 0.02, 300)) - 2
        found, uncertainty = tracked(wave(beats) + rng.uniform(1, 4) * rng.normal(size=SECONDS * 64), still())
        middles = np.arange(SECONDS) + 0.5
        true = [60 * np.mean((beats > m - 4) & (beats <= m + 4)) * len(beats) / 8 for m in middles]
        errors.append(np.abs(found - true)[5:-5])
        stated.append(uncertainty[5:-5])
    # Counting beats over 8 s is itself sure to one beat: 7.5 beats/min.
    beyond = np.concatenate(errors) > 2 * np.concatenate(stated) + 7.5
    assert np.mean(beyond) < 0.08


def test_beats_and_their_variability_are_those_of_the_pulse() -> None:
    rng = np.random.default_rng(5)
    beats = np.cumsum(rng.normal(0.8, 0.04, 160)) - 2
    pulse, envelope = pulse_wave(Signal(wave(beats) + 0.02 * rng.normal(size=len(TIME)), 64.0, 0.0))
    found = track_pulse(Signal(pulse, 64.0, 0.0), envelope, still(), SECONDS)
    inner = found.beats[(found.beats > 5) & (found.beats < SECONDS - 5)]
    delays = inner - beats[np.abs(inner[:, None] - beats).argmin(axis=1)]
    assert len(inner) == np.sum((beats > inner[0] - 0.4) & (beats < inner[-1] + 0.4))
    assert delays.std() < 0.015
    inside = beats[(beats > 30) & (beats < 90)]
    true = 1e3 * np.sqrt(np.mean(np.diff(inside, 2) ** 2))
    (ours,) = rmssd_ms(found.beats, found.clean, np.array([30.0]), 60.0)
    assert ours == pytest.approx(true, rel=0.2)


def test_rmssd_agrees_with_a_plain_loop_and_skips_what_is_not_clean() -> None:
    rng = np.random.default_rng(6)
    beats = np.cumsum(rng.normal(0.8, 0.1, 300))
    clean = rng.random(299) < 0.8
    starts = np.array([0.0, 31.7, 180.0, 239.0])
    found = rmssd_ms(beats, clean, starts, 60.0)
    for start, ours in zip(starts, found, strict=True):
        squares = [
            (1e3 * ((beats[i + 1] - beats[i]) - (beats[i] - beats[i - 1]))) ** 2
            for i in range(1, len(beats) - 1)
            if start <= beats[i] < start + 60 and clean[i - 1] and clean[i]
        ]
        expected = np.sqrt(sum(squares) / len(squares)) if len(squares) >= 20 else np.nan
        assert ours == pytest.approx(expected, nan_ok=True)
    assert np.isnan(found).tolist() == [False, False, False, True]


def test_slow_sensors_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """BVP at 25 Hz and acceleration at 10 Hz, in blocks of any length, give the same rates."""
    fast, _ = tracked(wave(regular(72)), still())
    time = np.arange(SECONDS * 25) / 25
    pulse, _ = pulse_wave(Signal(np.interp(time, TIME, wave(regular(72))), 25.0, 0.0))
    axes = [Signal(np.zeros(SECONDS * 10), 10.0, 0.0)] * 3
    slow, _ = tracked_rate(Signal(pulse, 25.0, 0.0), axes, SECONDS)
    np.testing.assert_allclose(slow[5:-5], fast[5:-5], atol=0.5)
    monkeypatch.setattr(heart_rate, "_BLOCK_ROWS", 7)
    assert np.array_equal(tracked_rate(Signal(pulse, 25.0, 0.0), axes, SECONDS)[0], slow)
