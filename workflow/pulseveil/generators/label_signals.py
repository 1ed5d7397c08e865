"""Condition codes as signals that a model makes together with the window, and how a code is asked for then.

The published DGAN learns the label as one more signal of 0 and 1 in each second and thresholds it at .5. With
more than two conditions there is one such signal for each code but 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
