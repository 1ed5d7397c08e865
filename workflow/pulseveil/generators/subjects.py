"""Synthetic subjects: windows drawn in the numbers that one person contributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.contracts import AMUSEMENT, BASELINE, CONDITIONS, STRESS
from pulseveil.core.randomness import Stream, child
from pulseveil.core.randomness import generator as rng
from pulseveil.generators import Generator

# The published subject: 36 windows of which 70 % (25) are not stress and 30 % (10) are.
REST_WINDOWS, STRESS_WINDOWS = 25, 10
# The study protocol of WESAD plans 20 minutes of baseline and 392 s of amusement (Schmidt et al. 2018).
AMUSEMENT_SHARE = 392 / (1200 + 392)
_BLOCK_ROWS = 256


@dataclass(frozen=True, eq=False)
class Subjects:
    """Windows (n, time, channels), their condition codes (n) and subject names (n), subject by subject."""

    windows: NDArray[np.float32]
    condition: NDArray[np.int8]
    subject: NDArray[np.str_]


def published_windows(classes: int, amusement_share: float = AMUSEMENT_SHARE) -> tuple[int, ...]:
    """Windows of each condition code in a published subject: 25 and 10; of three classes 19, 10 and 6.

    `amusement_share` divides the windows that are not stress between amusement and baseline.
    """
    if classes == 2:
        return REST_WINDOWS, STRESS_WINDOWS
    windows = [0] * len(CONDITIONS)
    windows[AMUSEMENT] = round(REST_WINDOWS * amusement_share)
    windows[STRESS] = STRESS_WINDOWS
    windows[BASELINE] = REST_WINDOWS - windows[AMUSEMENT]
    return tuple(windows)


def class_shares(classes: int, stress_share: float) -> NDArray[np.float64]:
    """Public shares (classes) of the condition codes, of which 1 is stress and 2, if there, amusement."""
    rest = 1 - stress_share
    if classes == 2:
        return np.array([rest, stress_share])
    return np.array([rest * (1 - AMUSEMENT_SHARE), stress_share, rest * AMUSEMENT_SHARE])


def synthetic_subjects(
    model: Generator,
    *,
    subjects: int,
    classes: int,
    stream: Stream,
    windows_per_condition: Sequence[int] | None = None,
) -> Subjects:
    """`subjects` synthetic subjects SYN0001, SYN0002, ... of equal numbers of windows of each condition.

    `windows_per_condition[c]` windows of each code c, in order; default `published_windows`. Each subject has
    a stream of its own, so the first k subjects are the same, to the last bit, whatever the total.
    """
    counts = published_windows(classes) if windows_per_condition is None else windows_per_condition
    codes = np.repeat(np.arange(len(counts), dtype=np.int8), counts)
    names = [f"SYN{number:04d}" for number in range(1, subjects + 1)]
    shape = (len(codes), model.noise_size)
    noise = [rng(child(stream, name)).standard_normal(shape, dtype=np.float32) for name in names]
    condition = np.tile(codes, subjects)
    windows = _in_blocks(model, condition, np.concatenate(noise))
    return Subjects(windows, condition, np.repeat(np.array(names), len(codes)))


def _in_blocks(
    model: Generator, condition: NDArray[np.int8], noise: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Sample in blocks of one size, the last one filled up.

    Products of matrices round differently for different numbers of rows, and a compiled network needs one
    compilation for each.
    """
    n = len(condition)
    fill = -n % _BLOCK_ROWS
    condition = np.pad(condition, (0, fill))
    noise = np.pad(noise, ((0, fill), (0, 0)))
    blocks = [slice(start, start + _BLOCK_ROWS) for start in range(0, n, _BLOCK_ROWS)]
    return np.concatenate([model.sample(condition[block], noise[block]) for block in blocks])[:n]
