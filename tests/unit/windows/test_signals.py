from dataclasses import replace

import numpy as np
import pytest

from pulseveil.core.contracts import CHANNEL_SETS, FeatureSet
from pulseveil.core.errors import InputError
from pulseveil.windows.features import statistic_names, window_statistics
from pulseveil.windows.signals import channels_of, of_signals

CHANNELS = CHANNEL_SETS["physiological"]
EDA = ("eda_level", "eda_phasic")


def features(windows, channels):
    n = len(windows)
    return FeatureSet(
        features=np.abs(np.fft.rfft(windows, axis=1)).transpose(0, 2, 1).astype(np.float32),
        statistics=window_statistics(windows, 1.0),
        condition=np.zeros(n, np.int8),
        stress=np.zeros(n, bool),
        calibration=np.zeros(n, bool),
        subject=np.full(n, "S2"),
        fold=np.full(n, ""),
        start_s=60.0 * np.arange(n),
        frequency_hz=np.arange(len(channels))[:, np.newaxis] * np.ones((1, 5), np.float32),
        statistic_names=statistic_names(channels),
        scaling="calibration",
        protocol="sound",
    )


@pytest.mark.parametrize(
    ("signals", "kept"),
    [
        ("eda_phasic+eda_level", EDA),
        ("temperature", ("temperature",)),
        ("without_eda_level+eda_phasic", tuple(c for c in CHANNELS if c not in EDA)),
        ("all", CHANNELS),
    ],
)
def test_features_of_signals_are_those_of_windows_that_have_no_other_channel(signals, kept):
    windows = np.random.default_rng(0).normal(size=(4, 8, len(CHANNELS)))
    columns = [CHANNELS.index(channel) for channel in kept]
    truth = features(windows[:, :, columns], kept)
    found = of_signals(features(windows, CHANNELS), signals, CHANNELS)
    np.testing.assert_allclose(found.features, truth.features, rtol=1e-5)
    np.testing.assert_allclose(found.statistics, truth.statistics, rtol=1e-5)
    assert found.statistic_names == truth.statistic_names
    assert found.frequency_hz[:, 0].tolist() == columns
    assert channels_of(signals, CHANNELS) == kept


def test_signals_of_the_published_channels_do_not_meet_by_their_first_letters():
    channels = CHANNEL_SETS["published"]
    windows = np.random.default_rng(0).normal(size=(2, 8, len(channels)))
    given = replace(features(windows, channels), statistic_names=statistic_names(channels))
    names = of_signals(given, "ACC_x", channels).statistic_names
    assert names == statistic_names(("ACC_x",))


@pytest.mark.parametrize(
    ("signals", "told"),
    [
        ("eda", "no channel 'eda'; expected all, channels joined by +"),
        ("without_all", "no channel 'all'"),
        ("without_" + "+".join(CHANNELS), "no channel remains"),
    ],
)
def test_signals_that_no_window_has_are_refused(signals, told):
    with pytest.raises(InputError, match=told.replace("+", r"\+")):
        channels_of(signals, CHANNELS)
