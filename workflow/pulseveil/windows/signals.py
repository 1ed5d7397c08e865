"""Signals that a detector reads: all, only some, or all but some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pulseveil.core.contracts import FeatureSet
from pulseveil.core.errors import InputError

ALL_SIGNALS = "all"
WITHOUT = "without_"


def channels_of(signals: str, channels: Sequence[str]) -> tuple[str, ...]:
    """The channels that `signals` names: `all`, some joined by `+`, or all others after `without_`.

    Examples:
        >>> channels = ("heart_rate", "eda_level", "activity")
        >>> channels_of("activity+heart_rate", channels), channels_of("without_eda_level", channels)
        (('heart_rate', 'activity'), ('heart_rate', 'activity'))

    Raises:
        InputError: a name is no channel, or no channel remains.
    """
    if signals == ALL_SIGNALS:
        return tuple(channels)
    named = signals.removeprefix(WITHOUT).split("+")
    unknown = [name for name in named if name not in channels]
    if unknown:
        raise InputError(
            f"signals: {signals!r}: no channel {unknown[0]!r}; expected {ALL_SIGNALS}, channels joined by +, "
            f"or such channels after {WITHOUT}; the channels are {', '.join(channels)}"
        )
    without = signals.startswith(WITHOUT)
    found = tuple(channel for channel in channels if (channel in named) != without)
    if not found:
        raise InputError(f"signals: {signals!r}: no channel remains; leave at least one")
    return found


def of_signals(features: FeatureSet, signals: str, channels: Sequence[str]) -> FeatureSet:
    """`features` of `channels` with the spectra and statistics of `signals` alone."""
    if signals == ALL_SIGNALS:
        return features
    kept = channels_of(signals, channels)
    spectra = [channels.index(channel) for channel in kept]
    columns = [
        i
        for i, name in enumerate(features.statistic_names)
        if name.startswith(tuple(f"{channel}_" for channel in kept))
    ]
    return replace(
        features,
        features=features.features[:, spectra],
        frequency_hz=features.frequency_hz[spectra],
        statistics=features.statistics[:, columns],
        statistic_names=tuple(np.array(features.statistic_names)[columns].tolist()),
    )
