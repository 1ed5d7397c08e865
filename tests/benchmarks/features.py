"""Milliseconds of feature extraction for 530 windows: `python tests/benchmarks/features.py`."""

from __future__ import annotations

import time
from itertools import product

import numpy as np

from pulseveil.core.contracts import PUBLISHED_CHANNELS, WindowSet
from pulseveil.core.settings import Pairing, Preprocessing
from pulseveil.windows.features import extract_features

WINDOWS = 530
REPEATS = 7
PROTOCOLS: tuple[Preprocessing, ...] = ("paper", "sound")
PAIRINGS: tuple[Pairing, ...] = ("published", "intended")


def windows(count: int) -> WindowSet:
    return WindowSet(
        windows=np.random.default_rng(0).random((count, 60, 6), dtype=np.float32),
        condition=np.zeros(count, np.int8),
        stress=np.zeros(count, bool),
        calibration=np.zeros(count, bool),
        subject=np.full(count, "S2"),
        start_s=60.0 * np.arange(count),
        channels=PUBLISHED_CHANNELS,
        rate_hz=1.0,
        window_s=60.0,
        stride_s=60.0,
        scaling="min-max",
        protocol="paper",
    )


def best_milliseconds(given: WindowSet, protocol: Preprocessing, pairing: Pairing) -> float:
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        extract_features(given, protocol=protocol, pairing=pairing)
        seconds.append(time.perf_counter() - started)
    return 1e3 * min(seconds)


if __name__ == "__main__":
    given = windows(WINDOWS)
    for protocol, pairing in product(PROTOCOLS, PAIRINGS):
        print(f"{protocol:5} {pairing:9} {best_milliseconds(given, protocol, pairing):6.1f} ms")
