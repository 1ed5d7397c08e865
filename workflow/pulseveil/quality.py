"""How like real windows synthetic ones are: two-sample tests by classifiers (Lopez-Paz and Oquab 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseveil.contracts import subject_order
from pulseveil.randomness import Stream, child, generator, integer_seed

Windows = NDArray[np.float32]


def two_sample_score(real: Windows, synthetic: Windows, stream: Stream, neighbours: int = 1) -> float:
    """Leave-one-out accuracy with which nearest neighbours tell real from synthetic windows: .5 is ideal.

    real (n, ...), synthetic (m, ...); equally many of both are used, drawn at random from the larger set;
    Euclidean distance of the flattened windows. 1 means that they are told apart without error, values near
    0 that synthetic windows repeat real ones. A draw among the neighbours counts half. `neighbours` 2 is the
    number that the published study selects its checkpoints by.
    """
    # Kept out of the module's imports: plans need this module's names, not scikit-learn.
    from sklearn.neighbors import NearestNeighbors

    rows, is_real = _pooled(real, synthetic, stream)
    found = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(rows)
    share_real = is_real[found.kneighbors(return_distance=False)].mean(axis=1)
    share_own = np.where(is_real, share_real, 1 - share_real)
    return float((np.sign(share_own - 0.5) + 1).mean() / 2)


def logistic_two_sample(real: Windows, synthetic: Windows, stream: Stream) -> float:
    """Accuracy with which a logistic regression tells unseen real from synthetic windows: .5 is ideal.

    Sees differences of means that neighbours overlook in many dimensions. Half of the rows are fitted to.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, is_real = _pooled(real, synthetic, stream)
    seed = integer_seed(child(stream, "split"))
    fitted, tested, labels, truth = train_test_split(
        rows, is_real, test_size=0.5, stratify=is_real, random_state=seed
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    return float(model.fit(fitted, labels).score(tested, truth))


def real_floor(real: Windows, subject: NDArray[np.str_], stream: Stream, neighbours: int = 1) -> float:
    """`two_sample_score` of one random half of the subjects against the other: the best that can be expected.

    Windows of one person are alike, so this lies well above .5: no generator needs to be nearer to its
    training subjects than other people are.
    """
    names = sorted(set(subject.tolist()), key=subject_order)
    half = generator(child(stream, "halves")).permutation(names)[: len(names) // 2]
    is_first = np.isin(subject, half)
    return two_sample_score(real[is_first], real[~is_first], stream, neighbours)


def _pooled(real: Windows, synthetic: Windows, stream: Stream) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Equally many flattened rows of both, and which are real."""
    n = min(len(real), len(synthetic))
    rng = generator(child(stream, "rows"))
    halves = [rows[np.sort(rng.permutation(len(rows))[:n])].reshape(n, -1) for rows in (real, synthetic)]
    return np.concatenate(halves), np.repeat([True, False], n)
