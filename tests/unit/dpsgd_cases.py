"""A small private training, and checks of what it releases that share no code with the engine.

Each check is a plain loop, a closed formula or a statistic whose error rate is stated. `test_dpsgd` runs them
on the engine, `test_dpsgd_mutations` on engines that were broken on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy import stats

from pulseveil.core import randomness
from pulseveil.core.randomness import Stream
from pulseveil.networks import initial, layers
from pulseveil.networks.layers import Drop
from pulseveil.networks.per_example import Note, unnoted
from pulseveil.networks.training import Examples, Network, Tensors, Weights, row_losses
from pulseveil.privacy import dpsgd, ledger
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.dpsgd import Recipe
from pulseveil.privacy.noise import Noise

Array = NDArray[np.float32]

STREAM = randomness.root_stream(4)
NOISE = Noise(bytes(range(32)), secret=False)
# The key is fixed, so a statistic passes always or never; of other keys about one in a million would fail it.
_RARE = 1e-6
_RARE_DEVIATIONS = 4.9


@dataclass(frozen=True)
class Dense:
    """One hidden layer: the fastest network to compile that has more than one layer to clip together."""

    signals: int
    bins: int
    units: int
    dropout: float = 0.0
    compiles_step: bool = False

    def start(self, rng: np.random.Generator) -> Weights:
        """Initial weights; no statistics."""
        inputs = self.signals * self.bins
        return Weights([*initial.dense(rng, inputs, self.units), *initial.dense(rng, self.units, 2)], [])

    def train_logits(
        self, weights: Weights, x: tf.Tensor, present: tf.Tensor, drop: Drop, note: Note = unnoted
    ) -> tuple[tf.Tensor, Tensors]:
        """Logits (n, 2); no statistics."""
        hidden, out = weights.parameters[:2], weights.parameters[2:]
        inner = tf.nn.relu(layers.dense(tf.reshape(x, (x.shape[0], -1)), hidden, note))
        return layers.dense(drop(inner, 0), out, note), []

    def score_logits(self, weights: Weights, x: tf.Tensor) -> tf.Tensor:
        """Logits (n, 2) of the trained network."""
        return self.train_logits(weights, x, tf.ones(x.shape[0]), layers.keeping)[0]


# Some 5,000 parameters: a third of the variance of their noise is 16 standard errors of it.
DENSE = Dense(6, 16, 48)


def mechanism(n: int = 30, q: float = 1.0, capacity: int | None = None, **changes: Any) -> Mechanism:
    """One step of windows, with hardly any noise."""
    values = {"unit": "window", "steps": 1, "clip_norm": 0.2, "noise_multiplier": 1e-7, **changes}
    return Mechanism("case", n=n, q=q, capacity=capacity or n, **values)


def examples(n: int = 30, k: int = 1, network: Network = DENSE) -> Examples:
    """n records of k windows, whose stress moves all bins."""
    rng = np.random.default_rng(0)
    stress = rng.random((n, k)) < 0.4
    x = rng.normal(size=(n, k, network.signals, network.bins)) + stress[..., np.newaxis, np.newaxis]
    target = np.eye(2)[stress.astype(int)]
    return Examples(*(value.astype(np.float32) for value in (x, target, np.where(stress, 2.0, 1.0))))


def recipe(run: Mechanism, network: Network = DENSE) -> Recipe:
    """Plain descent that moves the parameters by the noised sum itself: the divisor is undone by the rate."""
    return Recipe(network, run, learning_rate=run.expected_batch, optimizer="sgd")


def start_parameters(network: Network = DENSE, stream: Stream = STREAM) -> Tensors:
    """What `released` starts from."""
    return network.start(randomness.generator(randomness.child(stream, "initial"))).parameters


def flat(values: Sequence[Any]) -> Array:
    """All values, one after the other."""
    return np.concatenate([np.ravel(value) for value in values])


def released(
    run: Mechanism, data: Examples, network: Network = DENSE, noise: Noise = NOISE, stream: Stream = STREAM
) -> list[Array]:
    """What the steps of `run` move each parameter by: after one step, the noised sum."""
    weights, _ = dpsgd.fit(recipe(run, network), data, noise, stream)
    before = start_parameters(network, stream)
    return [np.asarray(a) - np.asarray(b) for a, b in zip(before, weights.parameters, strict=True)]


def plain_gradients(data: Examples, network: Network = DENSE) -> list[Array]:
    """A gradient a record, flat, each by automatic differentiation of its own loss alone."""
    parameters = [tf.constant(value) for value in start_parameters(network)]
    gradient = _gradient(network)
    return [
        flat(gradient(parameters, Examples(*(tf.constant(value[record]) for value in data))))
        for record in range(len(data.x))
    ]


@lru_cache(maxsize=8)
def _gradient(network: Network) -> Callable[[Tensors, Examples], Tensors]:
    def gradient(parameters: Tensors, rows: Examples) -> Tensors:
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            present = tf.ones_like(rows.weight)
            logits, _ = network.train_logits(Weights(parameters, []), rows.x, present, layers.keeping)
            loss = tf.reduce_sum(row_losses(logits, rows))
        gradients: Tensors = tape.gradient(loss, parameters)
        return gradients

    # In a graph: eagerly, a network compiles its fused chains again for each record.
    return tf.function(gradient, autograph=False)  # type: ignore[no-any-return]


def median_norm(gradients: Sequence[Array]) -> float:
    """A clip norm under which half of these records are clipped."""
    return float(np.median([np.linalg.norm(g) for g in gradients]))


def plain_clipped_sum(gradients: Sequence[Array], clip: float) -> Array:
    """Sum of the gradients, each clipped to norm `clip`."""
    total: Array = np.sum([g * min(1.0, clip / float(np.linalg.norm(g))) for g in gradients], axis=0)
    return total


def check_sum_of_clipped_records(k: int = 1, network: Network = DENSE, n: int = 30) -> None:
    """A full batch releases the sum of its clipped records, whatever passes it is cut into."""
    data = examples(n, k, network)
    gradients = plain_gradients(data, network)
    run = mechanism(n, clip_norm=median_norm(gradients))
    expected = plain_clipped_sum(gradients, run.clip_norm)
    require_close(flat(released(run, data, network)), expected, "the sum of clipped records")


def check_divisor() -> None:
    """A Poisson draw releases the clipped sum of its records over the expected batch, not over its own size.

    The expected batch is 10.5 records, so that no draw is as large.
    """
    # The draw hangs on the clip norm, so that is a constant: about the median of the records' norms.
    run, data = mechanism(q=0.35, clip_norm=5.0), examples()
    gradients = plain_gradients(data)
    first_weights = Weights(start_parameters(), [])
    order = dpsgd.draw(recipe(run), NOISE, dpsgd.fingerprint(recipe(run), data, first_weights)).order
    (drawn,) = (step[step >= 0] for step in order)
    expected = plain_clipped_sum([gradients[record] for record in drawn], run.clip_norm)
    require_close(flat(released(run, data)), expected, "the drawn records over the expected batch")


def check_sensitivity(k: int = 1, record: int = 0, scale: float = 100.0, clip: float = 0.2) -> None:
    """A record whose windows are all alike, `scale` times an ordinary one, moves the sum by at most `clip`.

    Its windows are alike because gradients that point the same way add up to the longest sum.
    """
    run, data = mechanism(clip_norm=clip), examples(k=k)
    x, target, weight = (value.copy() for value in data)
    x[record], target[record] = x[record, :1] * np.float32(scale), target[record, :1]
    absent = weight.copy()
    absent[record] = 0
    with_it, without_it = (flat(released(run, Examples(x, target, w))) for w in (weight, absent))
    moved = float(np.linalg.norm(with_it - without_it))
    assert moved <= clip * (1 + 1e-3), f"one record moves the sum by {moved / clip:.4f} clip norms"


def check_noise(steps: int = 3, q: float = 1.0) -> None:
    """Steps in which no record has a gradient release independent normals of the accounted deviation.

    The sum over the steps has variance steps * deviation^2, in each tensor: less where a step lacks noise,
    more where two steps share it.
    """
    run = mechanism(q=q, steps=steps, noise_multiplier=2.0, clip_norm=0.1)
    data = examples()
    parts = released(run, data._replace(weight=np.zeros_like(data.weight)))
    normals = [np.ravel(part) / (math.sqrt(steps) * 2.0 * 0.1) for part in parts]
    for values in normals:
        below = stats.chi2.cdf(np.sum(np.square(values, dtype=np.float64)), values.size)
        found = f"noise has {np.std(values):.3f} times the accounted deviation"
        assert _RARE / 2 < below < 1 - _RARE / 2, found
    # One half: a seed's first normals are those of its shorter results, up to their middle.
    half = normals[2].size // 2
    common = float(np.sum(normals[0][:half] * normals[2][:half])) / math.sqrt(half)
    assert abs(common) < _RARE_DEVIATIONS, "two tensors share their noise"


def check_draws() -> None:
    """Each record is in each step with probability q, independently of other records and of other steps."""
    n, q, steps = 40, 0.3, 3000
    order = dpsgd.draw(recipe(mechanism(n, q, steps=steps)), NOISE, "draws").order
    present = np.zeros((steps, n))
    for row, numbers in zip(present, order, strict=True):
        row[numbers[numbers >= 0]] = 1
    variance = q * (1 - q)
    common = np.mean((present[1:] - q) * (present[:-1] - q)) / variance
    assert abs(common) < _RARE_DEVIATIONS / math.sqrt(present[1:].size), "draws of steps hang together"
    assert abs(present.mean() - q) < _RARE_DEVIATIONS * math.sqrt(variance / present.size), "not drawn with q"
    spread = np.sum(np.square(present.sum(axis=0) - steps * q)) / (steps * variance)
    assert stats.chi2.sf(spread, n) > _RARE, "some records are drawn more often than others"
    # Two records that exclude each other, as in batches of one size, take from the variance of the size.
    kurtosis = (1 - 6 * variance) / (n * variance)
    error = math.sqrt((2 + kurtosis) / steps)
    ratio = np.mean(np.square(present.sum(axis=1) - n * q)) / (n * variance)
    assert abs(ratio - 1) < _RARE_DEVIATIONS * error, f"sizes of draws vary by {ratio:.3f} of a binomial's"


def check_cut() -> None:
    """A draw above the capacity is cut to it, and no record is cut more often than others."""
    n, capacity = 40, 20
    order = dpsgd.draw(recipe(mechanism(n, q=0.9, steps=2000, capacity=capacity)), NOISE, "draws").order
    assert (order >= 0).sum(axis=1).max() == capacity, "more records than the capacity"
    counts = np.bincount(order[order >= 0], minlength=n)
    assert stats.chisquare(counts).pvalue > _RARE, "some records are cut more often than others"


def check_fresh_noise() -> None:
    """Under one key, a training with anything else changed meets other draws and other noise.

    Then the difference of what the two release is noise of both; under the same normals it would be the exact
    difference of their gradients.
    """
    run, data = mechanism(clip_norm=0.01, noise_multiplier=5.0), examples()
    x, target, weight = (value.copy() for value in data)
    x[0] += np.float32(1e-3)
    target[0] = 1 - target[0]
    weight[0] *= 2
    changes: dict[str, tuple[Mechanism, Examples, Stream]] = {
        "x": (run, data._replace(x=x), STREAM),
        "target": (run, data._replace(target=target), STREAM),
        "weight": (run, data._replace(weight=weight), STREAM),
        "clip norm": (replace(run, clip_norm=0.011), data, STREAM),
        "multiplier": (replace(run, noise_multiplier=4.0), data, STREAM),
        "first weights": (run, data, randomness.root_stream(5)),
    }
    first, order = flat(released(run, data)), _masks(run, data, STREAM)
    for changed, (other, rows, stream) in changes.items():
        difference = flat(released(other, rows, stream=stream)) - first
        variance = sum((m.noise_multiplier * m.clip_norm) ** 2 for m in (run, other))
        below = stats.chi2.cdf(np.sum(np.square(difference, dtype=np.float64)) / variance, difference.size)
        assert _RARE / 2 < below < 1 - _RARE / 2, f"{changed}: changed, but the noise is the old one"
        assert not np.array_equal(order, _masks(other, rows, stream)), (
            f"{changed}: changed, but the old draws"
        )


def _masks(run: Mechanism, data: Examples, stream: Stream) -> NDArray[np.int32]:
    partial = recipe(replace(run, q=0.5))
    first_weights = Weights(start_parameters(stream=stream), [])
    order: NDArray[np.int32] = dpsgd.draw(
        partial, NOISE, dpsgd.fingerprint(partial, data, first_weights)
    ).order
    return order


def check_ledger() -> None:
    """The ledger takes the steps that the program counted as noised."""
    run = mechanism(steps=3, noise_multiplier=20.0)
    _, noised = dpsgd.fit(recipe(run), examples(), NOISE, STREAM)
    entry = ledger.close(run, steps_noised=noised, delta=1e-5, noise=NOISE, public_quantities=(), program=1)
    assert entry.steps_noised == 3


def require_close(found: Array, expected: Array, name: str) -> None:
    """The released vectors agree but for rounding: in their norm, since single values may cancel."""
    error = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    assert error < 1e-3, f"a step does not release {name}: relative error {error:.2g}"
