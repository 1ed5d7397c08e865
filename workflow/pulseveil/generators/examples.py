"""Windows as examples for a generator: passes over them, scaling, label signals, diversity.

The published DGAN learns the label as one more signal of 0 and 1 in each second and thresholds it at .5. With
more than two conditions there is one such signal for each code but 0.
"""

from __future__ import annotations

import logging
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.randomness import Stream, child, generator

logger = logging.getLogger(__name__)

ROWS = 512  # windows that a model makes to be looked at
_PAIRS = 2000
_LEAST = 0.1


def typical_diversity(windows: NDArray[np.float32], condition: NDArray[np.integer], stream: Stream) -> float:
    """The cGAN's diversity term (`training.diversity`) that windows (n, time, channels) would have.

    Mean absolute difference of 2,000 random pairs of one `condition` (n), over that of standard normal noise.
    """
    rng = generator(child(stream, "diversity"))
    first, second = rng.integers(len(windows), size=(2, _PAIRS))
    same = condition[first] == condition[second]
    difference = np.abs(windows[first[same]] - windows[second[same]])
    return float(difference.mean() / (2 / np.sqrt(np.pi)))


def warn_of_collapse(
    name: str, made: NDArray[np.float32], learnt_from: NDArray[np.float32], stream: Stream
) -> None:
    """Warn where windows (n, time, channels) made by the model `name` are all nearly the same one.

    made, learnt_from: of one condition.
    """
    of_made, of_windows = (
        typical_diversity(rows, np.zeros(len(rows), np.int8), stream) for rows in (made, learnt_from)
    )
    if of_made < _LEAST * of_windows:
        logger.warning(
            "%s: mode collapse: its windows are %.2f times as diverse as those it learnt from",
            name,
            of_made / of_windows,
        )


def shuffled_rows(n: int, first: int, count: int, stream: Stream) -> NDArray[np.intp]:
    """Entries first..first+count-1 of an endless sequence of random orders of 0..n-1."""
    passes = range(first // n, (first + count - 1) // n + 1)
    orders = [generator(child(stream, "order", number)).permutation(n) for number in passes]
    start = first - passes[0] * n
    return np.concatenate(orders)[start : start + count]


class Scale(NamedTuple):
    """Least value and range of each channel (channels) of the windows that a model learns from."""

    least: NDArray[np.float32]
    span: NDArray[np.float32]

    @classmethod
    def of(cls, windows: NDArray[np.float32]) -> Self:
        """The scale of windows (n, time, channels)."""
        least, largest = windows.min(axis=(0, 1)), windows.max(axis=(0, 1))
        return cls(least, np.where(largest > least, largest - least, np.float32(1)))

    def to_unit(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows in [0, 1]."""
        return (windows - self.least) / self.span

    def undo(self, unit: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows whose `to_unit` these are."""
        return unit * self.span + self.least


def label_signals(condition: NDArray[np.int8], classes: int, time: int) -> NDArray[np.float32]:
    """Signals (n, time, classes - 1) of the codes `condition` (n): 1 in that of a window's code, else 0."""
    signals = condition[:, np.newaxis] == np.arange(1, classes)
    return np.repeat(signals[:, np.newaxis].astype(np.float32), time, axis=1)


def label_values(signals: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much made label signals (..., time, classes - 1) speak for each code (..., classes): the most wins.

    By the first second, which is all that the published detectors read. With two classes these are 1 - s and
    s: the threshold is .5.
    """
    first = signals[..., 0, :]
    return np.concatenate([1 - first.max(axis=-1, keepdims=True), first], axis=-1)


def first_fitting(
    values: NDArray[np.float32], condition: NDArray[np.int8]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Of each row's candidates, the first whose code is the asked one, and whether there is any.

    values (n, candidates, classes) of `label_values`, condition (n). Where none has the code, the candidate
    that speaks most for it.
    """
    fits = values.argmax(axis=2) == condition[:, np.newaxis]
    for_asked = np.take_along_axis(values, condition[:, np.newaxis, np.newaxis].astype(np.intp), axis=2)
    any_fits = fits.any(axis=1)
    return np.where(any_fits, fits.argmax(axis=1), for_asked[:, :, 0].argmax(axis=1)), any_fits
