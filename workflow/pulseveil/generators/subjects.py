"""Synthetic subjects: synthetic windows in the numbers that one person contributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.contracts import AMUSEMENT, BASELINE, CONDITIONS, STRESS
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import Stream, child
from pulseveil.core.randomness import generator as rng
from pulseveil.generators import Generator

# The published subject: 36 windows, of which floor(70 %) = 25 are not stress and floor(30 %) = 10 are.
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
    """Number of windows per condition code in a published synthetic subject.

    `amusement_share` divides the windows that are not stress between amusement and baseline.

    Examples:
        >>> published_windows(2)
        (25, 10)
        >>> published_windows(3)
        (19, 10, 6)
    """
    if classes == 2:
        return REST_WINDOWS, STRESS_WINDOWS
    windows = [0] * len(CONDITIONS)
    windows[AMUSEMENT] = round(REST_WINDOWS * amusement_share)
    windows[STRESS] = STRESS_WINDOWS
    windows[BASELINE] = REST_WINDOWS - windows[AMUSEMENT]
    return tuple(windows)


def class_shares(classes: int, stress_share: float) -> NDArray[np.float64]:
    """Public shares (classes) of the condition codes: (not stress, stress) or (baseline, stress, amusement).

    They come from the plan and the protocol of WESAD. Shares counted in private data would be a query without
    noise.

    Examples:
        >>> class_shares(2, stress_share=0.25).tolist()
        [0.75, 0.25]
        >>> class_shares(3, stress_share=0.25).round(3).tolist()
        [0.565, 0.25, 0.185]
    """
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
    """Synthesize subjects SYN0001, SYN0002, ... with equal numbers of windows per condition.

    Args:
        subjects: number of subjects.
        windows_per_condition: number of windows of each code; default `published_windows`.

    Raises:
        InputError: the model made a window with a value that is not finite.

    Each subject has its own stream. So the first k subjects are the same to the last bit, whatever the total.

    Examples:
        >>> from pulseveil.core.randomness import root_stream
        >>> from pulseveil.generators.moments import Moments, MomentsSettings
        >>> mean, factors, residual = np.array([[0.0], [2.0]]), np.zeros((2, 1, 1)), np.zeros((2, 1))
        >>> arrays = {"mean": mean, "factors": factors, "residual": residual, "shape": np.array([1, 1])}
        >>> model = Moments.from_arrays(MomentsSettings(rank=1), arrays)
        >>> counts = {"windows_per_condition": (2, 1)}
        >>> people = synthetic_subjects(model, subjects=2, classes=2, stream=root_stream(1), **counts)
        >>> people.subject.tolist()
        ['SYN0001', 'SYN0001', 'SYN0001', 'SYN0002', 'SYN0002', 'SYN0002']
        >>> people.windows.ravel().tolist()
        [0.0, 0.0, 2.0, 0.0, 0.0, 2.0]
    """
    counts = published_windows(classes) if windows_per_condition is None else windows_per_condition
    codes = np.repeat(np.arange(len(counts), dtype=np.int8), counts)
    names = [f"SYN{number:04d}" for number in range(1, subjects + 1)]
    shape = (len(codes), model.noise_size)
    noise = np.stack([rng(child(stream, name)).standard_normal(shape, dtype=np.float32) for name in names])
    # What makes a person: one value for all windows of a subject.
    noise[:, :, : model.person_noise] = noise[:, :1, : model.person_noise]
    condition = np.tile(codes, subjects)
    windows = _in_blocks(model, condition, noise.reshape(-1, model.noise_size))
    return Subjects(windows, condition, np.repeat(np.array(names), len(codes)))


def _in_blocks(
    model: Generator, condition: NDArray[np.int8], noise: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Windows sampled in blocks of one size, the last block padded.

    A matrix product rounds differently for another number of rows, and a compiled network needs one
    compilation per number of rows.
    """
    n = len(condition)
    fill = -n % _BLOCK_ROWS
    condition = np.pad(condition, (0, fill))
    noise = np.pad(noise, ((0, fill), (0, 0)))
    blocks = [slice(start, start + _BLOCK_ROWS) for start in range(0, n, _BLOCK_ROWS)]
    windows = np.concatenate([model.sample(condition[block], noise[block]) for block in blocks])[:n]
    broken = np.flatnonzero(~np.isfinite(windows).all(axis=(1, 2)))
    if len(broken):
        codes = ", ".join(map(str, np.unique(condition[broken])))
        raise InputError(
            f"generator {type(model).__name__}: {len(broken)} of {n} windows have values that are not finite "
            f"(condition codes {codes}); train with a lower learning rate or other settings, or mend its "
            "`sample`"
        )
    return windows
