"""How far apart windows lie, and a warning where a model makes nearly the same one again and again."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from pulseveil.randomness import Stream, child, generator

logger = logging.getLogger(__name__)

ROWS = 512  # windows that a model makes to be looked at
_PAIRS = 2000
_LEAST = 0.1


def typical_diversity(windows: NDArray[np.float32], condition: NDArray[np.integer], stream: Stream) -> float:
    """The cGAN's diversity term (`gan_training.diversity`) that windows (n, time, channels) would have.

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
