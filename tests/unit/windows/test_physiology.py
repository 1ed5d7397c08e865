from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pulseveil.core.contracts import PHYSIOLOGICAL_CHANNELS, Recording, Signal
from pulseveil.core.errors import InputError
from pulseveil.windows.physiology import physiological_channels, pulse_wave

SECONDS = 300
Array = NDArray[np.float64]


def time(rate_hz: float, seconds: float = SECONDS) -> Array:
    return np.arange(round(seconds * rate_hz)) / rate_hz


def pulse(beats_per_minute: float | Array = 75.0, amplitude: float = 40.0) -> Array:
    """A sine whose crests are the beats."""
    rate = np.broadcast_to(beats_per_minute, time(64).shape)
    return amplitude * np.sin(2 * np.pi * np.cumsum(rate / 60) / 64)


def recording(**changed: Array) -> Recording:
    """A calm subject: 75 beats/min, 2 uS, arm at rest, 33 C; `changed` replaces channels."""
    values = {
        "BVP": pulse(),
        "EDA": np.full(SECONDS * 4, 2.0),
        "ACC_x": np.zeros(SECONDS * 32),
        "ACC_y": np.zeros(SECONDS * 32),
        "ACC_z": np.full(SECONDS * 32, 64.0),
        "TEMP": np.full(SECONDS * 4, 33.0),
    } | changed
    rates = {"BVP": 64.0, "EDA": 4.0, "TEMP": 4.0}
    return Recording("S1", {n: Signal(v, rates.get(n, 32.0), 0.0) for n, v in values.items()}, ())


def test_channels_of_a_calm_subject() -> None:
    found = physiological_channels(recording())
    assert tuple(found.channels) == PHYSIOLOGICAL_CHANNELS
    inner = slice(5, -5)
    expected = (75.0, 40.0, 2.0, 0.0, 1 / 64 / np.sqrt(12), 33.0)
    for name, value in zip(PHYSIOLOGICAL_CHANNELS, expected, strict=True):
        channel = found.channels[name]
        assert channel.shape == (SECONDS,)
        np.testing.assert_allclose(channel[inner], value, rtol=0.01, atol=1e-9, err_msg=name)
    assert found.pulse.unclear.sum() <= 2
    assert found.contact_loss_seconds == 0


def test_heart_rate_follows_a_rising_rate_in_noise() -> None:
    rate = np.linspace(55, 150, SECONDS * 64)
    noise = np.random.default_rng(1).normal(0, 8, SECONDS * 64)
    found = physiological_channels(recording(BVP=pulse(rate) + noise)).channels["heart_rate"]
    truth = rate.reshape(SECONDS, 64).mean(axis=1)
    error = np.abs(found - truth)[3:-3]
    assert np.median(error) < 1.5
    assert error.max() < 8


def test_heart_rate_ignores_the_unit_of_bvp() -> None:
    one = physiological_channels(recording()).channels
    other = physiological_channels(recording(BVP=pulse() * 7)).channels
    np.testing.assert_allclose(one["heart_rate"], other["heart_rate"])
    np.testing.assert_allclose(7 * one["pulse_amplitude"], other["pulse_amplitude"])


def test_a_movement_artefact_is_bridged_and_counted() -> None:
    bvp = pulse()
    inside = slice(100 * 64, 130 * 64)
    bvp[inside] += np.random.default_rng(2).normal(0, 600, 30 * 64)
    found = physiological_channels(recording(BVP=bvp))
    np.testing.assert_allclose(np.delete(found.channels["heart_rate"], np.s_[96:134]), 75, atol=1.5)
    unclear = np.flatnonzero(found.pulse.unclear)
    assert 10 <= len(unclear) <= 36
    assert 100 <= unclear[0] <= unclear[-1] < 130


@pytest.mark.parametrize("bvp", [np.zeros(SECONDS * 64), np.sin(2 * np.pi * 0.05 * time(64))])
def test_bvp_without_a_pulse_is_refused(bvp: Array) -> None:
    with pytest.raises(InputError, match="S1: expected heart beats"):
        physiological_channels(recording(BVP=np.round(bvp * 0.001, 2)))


@pytest.mark.parametrize(("frequency_hz", "gain"), [(0.002, 0.0), (0.1, 1.0)])
def test_phasic_conductance_keeps_the_fast_and_drops_the_slow(frequency_hz: float, gain: float) -> None:
    eda = 2 + 0.5 * np.sin(2 * np.pi * frequency_hz * time(4))
    found = physiological_channels(recording(EDA=eda)).channels
    level, phasic = found["eda_level"][30:-30], found["eda_phasic"][30:-30]
    np.testing.assert_allclose(phasic, gain * (level - 2), atol=0.02)


def test_lost_contact_is_filled_and_counted() -> None:
    eda = 2 + 0.001 * np.arange(SECONDS * 4)
    broken = eda.copy()
    broken[400:420] = 0.0
    broken[-8:] = 0.0
    found = physiological_channels(recording(EDA=broken))
    np.testing.assert_allclose(found.channels["eda_level"], eda.reshape(-1, 4).mean(axis=1), atol=0.01)
    assert found.contact_loss_seconds == 5 + 2


def test_no_contact_at_all_stays_finite_and_positive() -> None:
    found = physiological_channels(recording(EDA=np.zeros(SECONDS * 4)))
    assert found.contact_loss_seconds == SECONDS
    assert np.all(found.channels["eda_level"] > 0)
    np.testing.assert_allclose(found.channels["eda_phasic"], 0, atol=1e-9)


def test_a_long_loss_of_contact_is_not_bridged() -> None:
    eda = np.full(SECONDS * 4, 2.0)
    eda[400:600] = 0.0
    level = physiological_channels(recording(EDA=eda)).channels["eda_level"]
    np.testing.assert_allclose(level[97:103], 2.0, rtol=1e-12)
    np.testing.assert_allclose(level[104:146], 0.05, rtol=1e-12)


def test_far_from_any_beat_the_heart_rate_is_that_of_adults_at_rest() -> None:
    bvp = pulse(90.0)
    bvp[100 * 64 : 160 * 64] = 0
    found = physiological_channels(recording(BVP=bvp))
    np.testing.assert_allclose(found.channels["heart_rate"][114:146], 72, rtol=1e-12)
    np.testing.assert_allclose(np.delete(found.channels["heart_rate"], np.s_[94:166]), 90, atol=1.5)


@pytest.mark.parametrize("beats_per_minute", [45.0, 75.0, 170.0])
def test_pulse_and_envelope_are_those_of_a_sine(beats_per_minute: float) -> None:
    signal, envelope = pulse_wave(Signal(pulse(beats_per_minute) + 100, 64.0, 0.0))
    inner = slice(10 * 64, -10 * 64)
    gain = envelope[inner].mean()
    assert 0.55 * 40 < gain < 1.01 * 40
    np.testing.assert_allclose(envelope[inner], gain, rtol=0.02)
    np.testing.assert_allclose(signal[inner], gain / 40 * pulse(beats_per_minute)[inner], atol=0.02 * gain)


def test_activity_is_the_sd_of_the_magnitude_in_g() -> None:
    shaken = 64.0 + 16 * np.sin(2 * np.pi * 2 * time(32))
    found = physiological_channels(recording(ACC_z=shaken)).channels["activity"]
    np.testing.assert_allclose(found, 16 / 64 / np.sqrt(2), rtol=0.001)


def test_a_second_describes_its_own_samples() -> None:
    temperature = np.repeat(30 + 0.01 * np.arange(SECONDS), 4)
    found = physiological_channels(recording(TEMP=temperature)).channels["temperature"]
    np.testing.assert_allclose(found, 30 + 0.01 * np.arange(SECONDS))


def test_the_shortest_signal_sets_the_length() -> None:
    found = physiological_channels(recording(TEMP=np.full(250 * 4 + 3, 33.0), EDA=np.full(1100, 2.0)))
    assert {len(channel) for channel in found.channels.values()} == {250}
