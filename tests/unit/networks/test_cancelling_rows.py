"""Records whose rows' gradients nearly cancel: what remains is clipped, however large the rows are.

The norm of such a sum is a small difference of large numbers. Where it is computed too small, in float32, the
record adds more than the clip norm.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pulseveil.networks.training import Examples, Weights
from pulseveil.privacy import dpsgd
from tests.unit import drawn_sums
from tests.unit.privacy.test_noise_digits import INPUTS, OUTPUTS, Linear

# Clipped norms have a slack of a millionth; reading them off weights rounds by less than this.
MOST = 1 + 1e-5


def contributions(network, x, target, weight, clip_norm):
    """Norms (records), in clip norms, of what each record adds to a step that draws it alone."""
    learner = dpsgd.as_learner(network)
    run = dpsgd.program(network, x.shape[1], "sgd")
    first = learner.start(np.random.default_rng(1))
    data = Examples(*(tf.constant(value, tf.float32) for value in (x, target, weight)))
    scales = dpsgd.Scales(*(tf.constant(value) for value in (clip_norm, 0.0, 1.0, 1 / clip_norm)))
    norms = []
    for record in range(len(x)):
        chance = dpsgd.Chance(tf.constant([[record]]), tf.constant([[7, 8]]))
        after = run(dpsgd.start(first), data, chance, tf.constant([1, 2]), scales)
        moved = drawn_sums.flat(first.parameters) - drawn_sums.flat(after.parameters)
        norms.append(float(np.linalg.norm(moved)))
    return np.array(norms)


@pytest.mark.parametrize("size", [1e2, 1e3, 1e4, 1e5])
@pytest.mark.parametrize("difference", [1e-2, 1e-3, 1e-4])
def test_two_rows_that_nearly_cancel_add_at_most_the_clip_norm(size, difference):
    rng, records = np.random.default_rng(0), 100
    x = rng.normal(size=(records, 1, INPUTS))
    x *= size / np.linalg.norm(x, axis=2, keepdims=True)
    x = np.concatenate([x, x + difference * size * rng.normal(size=x.shape) / np.sqrt(INPUTS)], axis=1)
    target = rng.normal(size=(records, 1, OUTPUTS))
    target /= np.linalg.norm(target, axis=2, keepdims=True)
    target = np.concatenate([target, -target], axis=1)
    norms = contributions(Linear(), x, target, np.ones((records, 2)), 1.0)
    assert norms.max() <= MOST


def test_a_person_whose_windows_nearly_cancel_adds_at_most_the_clip_norm_to_the_cnn():
    """Two large windows with outputs of one half and unlike labels; the published widths, no dropout."""
    network, rng = drawn_sums.detector("cnn", 16, dropout=0.0), np.random.default_rng(0)
    windows = [_undecided(network, seed) for seed in range(3)]
    x = []
    for window in windows:
        for size in (3e2, 1e3, 3e3):
            for difference in (3e-3, 1e-3, 3e-4, 1e-4):
                noise = difference * rng.normal(size=window.shape)
                x.append([size * window, size * window * (1 + noise)])
    target = np.tile(np.eye(2), (len(x), 1, 1))
    norms = contributions(network, np.array(x), target, np.full((len(x), 2), 0.5), 0.2)
    assert norms.max() <= MOST


def _undecided(network, seed):
    """A window (signals, bins) of which the first weights' logits are zero: Newton's method."""
    start = network.start(np.random.default_rng(1))
    weights = Weights([tf.constant(value) for value in start.parameters], [])

    @tf.function(autograph=False)
    def logits(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            found = network.score_logits(weights, x)
        return found, tape.batch_jacobian(found, x)

    x = np.random.default_rng(seed).normal(size=(1, network.signals, network.bins))
    for _ in range(60):
        found, slopes = (np.asarray(v, np.float64) for v in logits(tf.constant(x, tf.float32)))
        x = x + np.linalg.lstsq(slopes.reshape(2, -1), -found[0], rcond=None)[0].reshape(x.shape)
    return x[0]
