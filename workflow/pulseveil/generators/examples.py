"""Training windows of a generator: shuffled passes, scaling, label signals, mode collapse.

The published DGAN learns the label as one more signal, 0 or 1 in each second, with a threshold at 0.5. With
more than two conditions there is one label signal per code except 0.
"""

from __future__ import annotations

import logging
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.randomness import Stream, child, generator

logger = logging.getLogger(__name__)

ROWS = 512  # synthetic windows per condition in the check for mode collapse
_PAIRS = 2000
_LEAST_RELATIVE_DIVERSITY = 0.1


def typical_diversity(windows: NDArray[np.float32], condition: NDArray[np.integer], stream: Stream) -> float:
    """Diversity of windows (n, time, channels), in the unit of the cGAN's term (`cgan.steps.diversity`).

    Mean absolute difference of random pairs of windows of one `condition` (n), of 2,000 pairs drawn, divided
    by the mean absolute difference of standard normal numbers.
    """
    rng = generator(child(stream, "diversity"))
    first, second = rng.integers(len(windows), size=(2, _PAIRS))
    same = condition[first] == condition[second]
    difference = np.abs(windows[first[same]] - windows[second[same]])
    # The difference of two standard normal numbers is normal with variance 2: its mean absolute value.
    return float(difference.mean() / (2 / np.sqrt(np.pi)))


def warn_of_collapse(
    name: str, synthetic: NDArray[np.float32], real: NDArray[np.float32], stream: Stream
) -> None:
    """Warn of mode collapse: synthetic windows less than a tenth as diverse as the training windows.

    name: begins the message. synthetic, real: windows (n, time, channels) of one condition.
    """
    diversity, of_real = (
        typical_diversity(rows, np.zeros(len(rows), np.int8), stream) for rows in (synthetic, real)
    )
    if diversity < _LEAST_RELATIVE_DIVERSITY * of_real:
        logger.warning(
            "%s: mode collapse: synthetic windows are %.2f times as diverse as the training windows",
            name,
            diversity / of_real,
        )


def shuffled_rows(n: int, first: int, count: int, stream: Stream) -> NDArray[np.intp]:
    """Entries `first` to `first + count - 1` of an endless sequence of random orders of 0..n-1.

    Examples:
        >>> from pulseveil.core.randomness import root_stream
        >>> shuffled_rows(3, 0, 6, root_stream(0)).reshape(2, 3).tolist()
        [[0, 1, 2], [1, 0, 2]]
    """
    # One stream per pass: a resumed training finds its position without drawing the passes before it.
    passes = range(first // n, (first + count - 1) // n + 1)
    orders = [generator(child(stream, "order", number)).permutation(n) for number in passes]
    start = first - passes[0] * n
    return np.concatenate(orders)[start : start + count]


class Scale(NamedTuple):
    """Least value and range of the windows per channel, each (channels) float32.

    Examples:
        >>> windows = np.array([[[1.0, 5.0], [3.0, 5.0]]], np.float32)
        >>> scale = Scale.of(windows)
        >>> scale.to_unit(windows).tolist()
        [[[0.0, 0.0], [1.0, 0.0]]]
        >>> scale.undo(scale.to_unit(windows)).tolist()
        [[[1.0, 5.0], [3.0, 5.0]]]
    """

    least: NDArray[np.float32]
    span: NDArray[np.float32]

    @classmethod
    def of(cls, windows: NDArray[np.float32]) -> Self:
        """The scale of windows (n, time, channels)."""
        least, largest = windows.min(axis=(0, 1)), windows.max(axis=(0, 1))
        # A constant channel has no range: 1 instead of 0, by which no window could be divided.
        return cls(least, np.where(largest > least, largest - least, np.float32(1)))

    def to_unit(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows scaled to [0, 1]; values outside the range of the scale stay outside."""
        return (windows - self.least) / self.span

    def undo(self, unit: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows in the units of the data, from windows scaled by `to_unit`."""
        return unit * self.span + self.least


def label_signals(condition: NDArray[np.int8], classes: int, time: int) -> NDArray[np.float32]:
    """Label signals (n, time, classes - 1) of the codes `condition` (n): 1 in the signal of the code, else 0.

    Examples:
        >>> label_signals(np.array([0, 1, 2], np.int8), classes=3, time=1).tolist()
        [[[0.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]]
    """
    signals = condition[:, np.newaxis] == np.arange(1, classes)
    return np.repeat(signals[:, np.newaxis].astype(np.float32), time, axis=1)


def label_values(signals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Score per code (..., classes) of synthetic label signals (..., time, classes - 1); the largest decides.

    With two classes the scores are 1 - s and s, so the threshold of the signal s is 0.5.

    Examples:
        >>> label_values(np.array([[[0.25], [0.75]]], np.float32)).tolist()
        [[0.75, 0.25]]
    """
    # A synthetic label may change within a window. Only the first second counts: the published detectors read
    # no other.
    first = signals[..., 0, :]
    return np.concatenate([1 - first.max(axis=-1, keepdims=True), first], axis=-1)


def first_fitting(
    values: NDArray[np.float32], condition: NDArray[np.int8]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Rejection sampling: the first candidate of each row whose label is the condition.

    Args:
        values: (n, candidates, classes) scores of `label_values`.
        condition: (n) codes asked for.

    Returns:
        The index of the candidate (n), and whether a candidate has the condition (n). If none has it, the
        index is that of the candidate with the largest score for the condition.

    Examples:
        >>> scores = np.array([[[0.9, 0.1], [0.3, 0.7]], [[0.8, 0.2], [0.6, 0.4]]])
        >>> index, fits = first_fitting(scores, np.array([1, 1], np.int8))
        >>> index.tolist(), fits.tolist()
        ([1, 1], [True, False])
    """
    fits = values.argmax(axis=2) == condition[:, np.newaxis]
    scores = np.take_along_axis(values, condition[:, np.newaxis, np.newaxis].astype(np.intp), axis=2)
    any_fits = fits.any(axis=1)
    # The first and not the best: candidates chosen by their score would be the clearest cases, not a sample.
    return np.where(any_fits, fits.argmax(axis=1), scores[:, :, 0].argmax(axis=1)), any_fits
