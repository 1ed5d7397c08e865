"""Discriminative and predictive scores after Yoon et al. 2019, with small models in place of their GRUs.

Their networks would take longer to train than many a generator: an ensemble of trees decides in place of the
first, a ridge regression on the last seconds predicts in place of the second. Numbers are not comparable with
theirs; the floor beside each is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulseveil.quality.samples import Pair
from pulseveil.quality.two_sample import Decisions, unseen_people
from pulseveil.randomness import Stream, child, integer_seed

_TREES = 100
_LAGS = 5
_PENALTY = 1.0


def discriminator(pair: Pair, stream: Stream) -> Decisions | None:
    """Decisions of extremely randomised trees between both sides; the score is |accuracy - .5|, 0 is ideal.

    None with fewer than two people on a side.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    seed = integer_seed(child(stream, "trees"))
    trees = ExtraTreesClassifier(_TREES, max_features="sqrt", min_samples_leaf=2, random_state=seed)
    return unseen_people(pair, trees, stream)


def prediction_errors(train: NDArray[np.float32], tested: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean absolute error (n) of the next sample of all channels, in each tested window (n, time, channels).

    A ridge regression on the last five samples of all channels, fitted to windows `train`. 0 is ideal, what
    real windows reach on other people's is the floor. Nearly free of n.
    """
    from sklearn.linear_model import Ridge

    inputs, targets = _steps(train)
    model = Ridge(alpha=_PENALTY).fit(inputs, targets)
    inputs, targets = _steps(tested)
    errors = np.abs(model.predict(inputs).reshape(targets.shape) - targets)
    return np.asarray(errors.reshape(len(tested), -1).mean(axis=1))


def _steps(windows: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The last samples (n * steps, lags * channels) before each sample (n * steps, channels)."""
    time, channels = windows.shape[1:]
    seen = np.lib.stride_tricks.sliding_window_view(windows.astype(np.float64), _LAGS, axis=1)
    inputs = seen[:, : time - _LAGS].reshape(-1, channels * _LAGS)
    return inputs, windows[:, _LAGS:].reshape(-1, channels).astype(np.float64)
