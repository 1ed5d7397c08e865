"""Canaries of a release that is one noised sum: its mu is a closed formula, by which audits can be judged."""

import numpy as np


def orthonormal_rows(count, dimension, rng):
    """Unit vectors (count, dimension) at right angles, so that canaries leave each other's scores alone."""
    rows, _ = np.linalg.qr(rng.normal(size=(dimension, count)))
    return np.ascontiguousarray(rows.T)


def audited_sum(release, contributions, clip_norm, directions):
    """What `canaries.audit` trains: `release` of contributions (records, d), and of the canaries that are in.

    A canary contributes its direction at full clip norm. The attacker knows all real records: a score is the
    inner product of the direction with what the release holds beyond them, in units of the clip norm.
    """
    known = contributions.sum(axis=0)

    def train(included):
        noised = release(np.concatenate([contributions, clip_norm * directions[included]]))
        return directions @ (noised - known) / clip_norm

    return train
