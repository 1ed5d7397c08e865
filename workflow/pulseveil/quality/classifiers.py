"""Two-sample tests by classifiers (Lopez-Paz and Oquab 2017), discriminative and predictive scores.

The scores follow Yoon et al. 2019, with small models in place of their GRUs. Their networks would take longer
to train than many a generator: an ensemble of trees decides in place of the first, a ridge regression on the
last seconds predicts in place of the second. Numbers are not comparable with theirs; the floor beside each
is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.randomness import Stream, child, generator, integer_seed
from pulseveil.quality.samples import Pair

# Kept out of the module's imports: plans need this package's names, not scikit-learn.

Windows = NDArray[np.float32]
Subjects = NDArray[np.str_]


class Decisions(NamedTuple):
    """How right each decision was (n), 0 to 1, and whose window it was about (n)."""

    correct: NDArray[np.float64]
    subject: Subjects


def two_sample_score(real: Windows, synthetic: Windows, stream: Stream, neighbours: int = 1) -> float:
    """Leave-one-out accuracy with which nearest neighbours tell real from synthetic windows: .5 is ideal.

    real (n, ...), synthetic (m, ...); equally many of both are used, drawn at random from the larger set;
    Euclidean distance of the flattened windows. 1 means that they are told apart without error, values near
    0 that synthetic windows repeat real ones. A draw among the neighbours counts half. `neighbours` 2 is the
    number that the published study selects its checkpoints by.
    """
    of_real, of_synthetic = _equal(real, synthetic, stream)
    return float(_votes(real[of_real], synthetic[of_synthetic], neighbours).mean())


def nearest_neighbour(pair: Pair, stream: Stream) -> Decisions:
    """The decisions of `two_sample_score` with one neighbour, window by window.

    Windows of one person are alike, and overlapping ones more so: their neighbours are their own kind, which
    lifts value and floor above .5. More windows come nearer to each other: values rise with n where the sides
    differ.
    """
    chosen = _equal(pair.real.windows, pair.other.windows, stream)
    real, other = (sample.take(rows) for sample, rows in zip(pair, chosen, strict=True))
    return Decisions(
        _votes(real.windows, other.windows, 1), np.concatenate([_named(real.subject, "real"), other.subject])
    )


def logistic(pair: Pair, stream: Stream) -> Decisions | None:
    """Decisions of a logistic regression about windows of people that it was not fitted to; .5 is ideal.

    Sees differences of means that neighbours overlook in many dimensions. None with fewer than two people on
    a side.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return unseen_people(
        pair, make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)), stream
    )


def unseen_people(pair: Pair, model: Any, stream: Stream) -> Decisions | None:
    """Decisions of a classifier, by cross-validation in two parts that share no person.

    Fewer windows to fit to make it err more: values rise with n.
    """
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    if any(len(set(sample.subject.tolist())) < 2 for sample in pair):
        return None
    rows = np.concatenate([sample.windows.reshape(len(sample.windows), -1) for sample in pair])
    is_real = np.repeat([True, False], [len(sample.windows) for sample in pair])
    subject = np.concatenate([_named(pair.real.subject, "real"), pair.other.subject])
    parts = StratifiedGroupKFold(n_splits=2, shuffle=True, random_state=integer_seed(child(stream, "parts")))
    said = cross_val_predict(model, rows, is_real, groups=subject, cv=parts)
    return Decisions((said == is_real).astype(np.float64), subject)


def _equal(real: Windows, synthetic: Windows, stream: Stream) -> list[NDArray[np.intp]]:
    """Equally many rows of both, at random."""
    n = min(len(real), len(synthetic))
    rng = generator(child(stream, "rows"))
    return [np.sort(rng.permutation(len(rows))[:n]) for rows in (real, synthetic)]


def _votes(real: Windows, other: Windows, neighbours: int) -> NDArray[np.float64]:
    """1 where most neighbours of a window are of its own side, .5 for a draw (n + m)."""
    from sklearn.neighbors import NearestNeighbors

    rows = np.concatenate([real.reshape(len(real), -1), other.reshape(len(other), -1)])
    is_real = np.repeat([True, False], [len(real), len(other)])
    found = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(rows)
    share_real = is_real[found.kneighbors(return_distance=False)].mean(axis=1)
    share_own = np.where(is_real, share_real, 1 - share_real)
    return np.asarray((np.sign(share_own - 0.5) + 1) / 2)


def _named(subject: Subjects, side: str) -> Subjects:
    """Names that the other side does not have."""
    return np.char.add(f"{side} ", subject)


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
