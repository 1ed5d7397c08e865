"""Two-sample tests by classifiers (Lopez-Paz and Oquab 2017), discriminative and predictive scores.

The scores follow Yoon et al. 2019, with small models instead of their GRUs, which would take longer to train
than many generators: an ensemble of trees discriminates, and a ridge regression on the last seconds predicts.
The numbers are therefore not comparable with published ones, only with the floor beside them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.randomness import Stream, child, generator, integer_seed
from pulseveil.quality.samples import Pair

# The functions below import scikit-learn themselves: the summary imports this package only for titles.

Windows = NDArray[np.float32]


class Decisions(NamedTuple):
    """Decisions about n windows: correct (n), from 0 (wrong) to 1, and the subject (n) of each window."""

    correct: NDArray[np.float64]
    subject: NDArray[np.str_]


def two_sample_score(real: Windows, synthetic: Windows, stream: Stream, neighbours: int = 1) -> float:
    """Leave-one-out accuracy of k nearest neighbours between real and synthetic windows: .5 is ideal.

    real (n, ...), synthetic (m, ...); Euclidean distance of the flattened windows. Both sides are reduced at
    random to the same number. 1: the sides are separated without error. Near 0: synthetic windows repeat real
    ones. A tie among the neighbours counts half. The published study selects its checkpoints with 2
    `neighbours`.

    Examples:
        >>> from pulseveil.core.randomness import root_stream
        >>> real = np.arange(20, dtype=np.float32)[:, np.newaxis]
        >>> two_sample_score(real, real + 100, root_stream(0))
        1.0
    """
    of_real, of_synthetic = _equal(real, synthetic, stream)
    return float(_votes(real[of_real], synthetic[of_synthetic], neighbours).mean())


def nearest_neighbour(pair: Pair, stream: Stream) -> Decisions:
    """The decisions of `two_sample_score` with one neighbour, per window.

    Windows of one person are similar, and overlapping windows even more. Their nearest neighbours are on
    their own side, which raises value and floor above .5. If the sides differ, values rise with n, because
    more windows have nearer neighbours.
    """
    chosen = _equal(pair.real.windows, pair.other.windows, stream)
    real, other = (sample.take(rows) for sample, rows in zip(pair, chosen, strict=True))
    return Decisions(
        _votes(real.windows, other.windows, 1), np.concatenate([_named(real.subject, "real"), other.subject])
    )


def logistic(pair: Pair, stream: Stream) -> Decisions | None:
    """Decisions of a logistic regression about people that it was not fitted to; accuracy .5 is ideal.

    It detects differences of means that nearest neighbours miss in many dimensions. None if a side has fewer
    than two people.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return unseen_people(
        pair, make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)), stream
    )


def unseen_people(pair: Pair, model: Any, stream: Stream) -> Decisions | None:
    """Decisions of a classifier by 2-fold cross-validation, stratified, without a person in both parts.

    Values rise with n, because a classifier errs less with more windows to fit. None if a side has fewer than
    two people.
    """
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    if any(len(set(sample.subject.tolist())) < 2 for sample in pair):
        return None
    rows = np.concatenate([sample.windows.reshape(len(sample.windows), -1) for sample in pair])
    is_real = np.repeat([True, False], [len(sample.windows) for sample in pair])
    # Groups by person: otherwise a classifier could recognise a person's windows instead of their side.
    subject = np.concatenate([_named(pair.real.subject, "real"), pair.other.subject])
    parts = StratifiedGroupKFold(n_splits=2, shuffle=True, random_state=integer_seed(child(stream, "parts")))
    predicted = cross_val_predict(model, rows, is_real, groups=subject, cv=parts)
    return Decisions((predicted == is_real).astype(np.float64), subject)


def _equal(real: Windows, synthetic: Windows, stream: Stream) -> list[NDArray[np.intp]]:
    """Random indices of equally many rows of both sides."""
    # With unequal sides, chance alone would exceed .5: most neighbours belong to the larger side.
    n = min(len(real), len(synthetic))
    rng = generator(child(stream, "rows"))
    return [np.sort(rng.permutation(len(rows))[:n]) for rows in (real, synthetic)]


def _votes(real: Windows, other: Windows, neighbours: int) -> NDArray[np.float64]:
    """Per window (n + m): 1 if most of its neighbours are on its own side, .5 for a tie, else 0."""
    from sklearn.neighbors import NearestNeighbors

    rows = np.concatenate([real.reshape(len(real), -1), other.reshape(len(other), -1)])
    is_real = np.repeat([True, False], [len(real), len(other)])
    # Search trees are slower in hundreds of dimensions.
    found = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(rows)
    share_real = is_real[found.kneighbors(return_distance=False)].mean(axis=1)
    share_own = np.where(is_real, share_real, 1 - share_real)
    return np.asarray((np.sign(share_own - 0.5) + 1) / 2)


def _named(subject: NDArray[np.str_], side: str) -> NDArray[np.str_]:
    """NDArray[np.str_] with the side in front, so that no name occurs on both sides."""
    return np.char.add(f"{side} ", subject)


_TREES = 100
_LAGS = 5
_PENALTY = 1.0


def discriminator(pair: Pair, stream: Stream) -> Decisions | None:
    """Decisions of extremely randomised trees; the discriminative score is |accuracy - .5|, 0 is ideal.

    None if a side has fewer than two people.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    seed = integer_seed(child(stream, "trees"))
    # Trees also detect differences of spread, which the logistic regression does not see.
    trees = ExtraTreesClassifier(_TREES, max_features="sqrt", min_samples_leaf=2, random_state=seed)
    return unseen_people(pair, trees, stream)


def prediction_errors(train: NDArray[np.float32], tested: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean absolute error (n) of predicting the next sample, per tested window (n, time, channels).

    A ridge regression predicts all channels from their last five samples; it is fitted to the windows `train`
    (m, time, channels). 0 is ideal; the floor is the error of a model of real windows on other people.
    Hardly depends on the number of windows.

    Examples:
        >>> ramps = np.arange(80, dtype=np.float32).reshape(2, 40, 1)
        >>> bool((prediction_errors(ramps, ramps) < 0.01).all())
        True
    """
    from sklearn.linear_model import Ridge

    inputs, targets = _steps(train)
    model = Ridge(alpha=_PENALTY).fit(inputs, targets)
    inputs, targets = _steps(tested)
    errors = np.abs(model.predict(inputs).reshape(targets.shape) - targets)
    return np.asarray(errors.reshape(len(tested), -1).mean(axis=1))


def _steps(windows: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Last samples (n * steps, lags * channels) as inputs, next samples (n * steps, channels) as targets."""
    time, channels = windows.shape[1:]
    seen = np.lib.stride_tricks.sliding_window_view(windows.astype(np.float64), _LAGS, axis=1)
    inputs = seen[:, : time - _LAGS].reshape(-1, channels * _LAGS)
    return inputs, windows[:, _LAGS:].reshape(-1, channels).astype(np.float64)
