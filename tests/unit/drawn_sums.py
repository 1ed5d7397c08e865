"""Clipped sums of a given draw, read off the compiled programs of all private networks.

A step without noise moves the weights by the sum that noise would protect: by plain descent of rate 1 / C
and divisor 1 where `dpsgd` trains, and in Adam's first averages where `dpgan` does. All sums are flat and in
units of the clip norm C.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.core import registry
from pulseveil.generators.autoencoder.training import Autoencoder
from pulseveil.generators.cgan import networks as gan
from pulseveil.generators.cgan.steps import ConditionalAdversaries, Objective
from pulseveil.generators.dgan import networks, training
from pulseveil.generators.dgan.steps import DGANAdversaries
from pulseveil.generators.timegan.private import Embedding, SequenceAdversaries, Sizes
from pulseveil.networks.adversaries import Adversaries, Real
from pulseveil.networks.learner import Learner, as_learner
from pulseveil.networks.training import Examples, Network
from pulseveil.privacy import dpgan, dpsgd
from pulseveil.privacy.records import ABSENT, NOBODY

Array = NDArray[np.float64]
SumOf = Callable[[Sequence[int]], Array]

CLIP_NORM = 0.05
SEED = (5, 6)
# Records that add nothing, which a draw may hold: of weight 0 (or without a window), and not finite.
EMPTY, NOT_FINITE = 0, 1
_FIRST = 2


@dataclass(frozen=True)
class Draws:
    """Sums of draws from `records` records, of which the first two add nothing."""

    sum_of: SumOf
    records: int
    capacity: int

    @property
    def others(self) -> list[int]:
        """The records that add something."""
        return list(range(_FIRST, self.records))


@dataclass(frozen=True)
class Shifts:
    """Norms, in clip norms, by which the others' sum moves when nothing of the others is changed."""

    empty: float
    not_finite: float
    permuted: float
    place: float
    alone: float

    @property
    def largest(self) -> float:
        """The largest of all."""
        return max(asdict(self).values())


def shifts(draws: Draws, seed: int = 0) -> Shifts:
    """How far the sum of the others moves by records that add nothing, before or amid them, and by the order.

    alone: how far it is from the sum of draws that hold one of the others each.
    """
    others = draws.others
    sum_of_others = draws.sum_of(others)
    assert np.linalg.norm(sum_of_others) > 0.1, "the others add nothing: there is nothing to shift"
    permuted = np.random.default_rng(seed).permutation(others).tolist()
    middle = len(others) // 2

    def shift(order: Sequence[int]) -> float:
        return float(np.linalg.norm(draws.sum_of(order) - sum_of_others))

    return Shifts(
        empty=shift([EMPTY, *others]),
        not_finite=shift([NOT_FINITE, *others]),
        permuted=shift(permuted),
        place=shift([*others[:middle], EMPTY, NOT_FINITE, *others[middle:]]),
        alone=float(np.linalg.norm(sum(draws.sum_of([record]) for record in others) - sum_of_others)),
    )


def padded(order: Sequence[int], capacity: int) -> NDArray[np.int32]:
    """A step's record numbers (capacity), free places last."""
    row = np.full(capacity, ABSENT, np.int32)
    row[: len(order)] = order
    return row


def of_learner(
    network: Network | Learner, rows: int, others: int, *, capacity: int | None = None, step: int = 3
) -> Draws:
    """The draws of a network that `dpsgd` trains, of records of `rows` rows each, in one of its steps."""
    learner, records = as_learner(network), others + _FIRST
    examples = learner_examples(learner, records, rows)
    run = dpsgd.program(network, rows, "sgd")
    first = learner.start(np.random.default_rng(1))
    start = dpsgd.start(first)
    start = start._replace(moments=start.moments._replace(step=tf.constant(step)))
    scales = dpsgd.Scales(*(tf.constant(value) for value in (CLIP_NORM, 0.0, 1.0, 1 / CLIP_NORM)))
    places = records if capacity is None else capacity

    def sum_of(order: Sequence[int]) -> Array:
        chance = dpsgd.Chance(tf.constant(padded(order, places)[np.newaxis]), tf.constant([[7, 8]]))
        after = run(start, examples, chance, tf.constant(SEED), scales)
        return flat(first.parameters) - flat(after.parameters)

    return Draws(sum_of, records, places)


def learner_examples(learner: Learner, records: int, rows: int) -> Examples:
    """Random rows of random classes; the first two records add nothing."""
    rng = np.random.default_rng(2)
    x = rng.uniform(size=(records, rows, *learner.inputs)).astype(np.float32)
    target = np.eye(learner.targets, dtype=np.float32)[rng.integers(learner.targets, size=(records, rows))]
    weight = np.ones((records, rows), np.float32)
    weight[EMPTY], x[NOT_FINITE, 0] = 0, np.nan
    return Examples(*map(tf.constant, (x, target, weight)))


def of_adversaries(
    adversaries: Adversaries, window: tuple[int, ...], windows_each: int, others: int, *, fakes: int = 8
) -> Draws:
    """The draws of a discriminator that `dpgan` trains, of records of `windows_each` windows, in one step.

    window: shape of a window. A record without a window has NOBODY in its place.
    """
    rng, records = np.random.default_rng(3), others + _FIRST
    windows = rng.uniform(size=(records * windows_each, *window)).astype(np.float32)
    rows = np.arange(len(windows), dtype=np.int32).reshape(records, windows_each)
    windows[rows[NOT_FINITE, 0]] = np.nan
    rows[EMPTY] = NOBODY
    data = Real(*map(tf.constant, (windows, rng.integers(2, size=len(windows)).astype(np.int32))))
    start = dpgan.State(adversaries.start(np.random.default_rng(1)), tf.constant(0))
    scales = dpgan.Scales(*(tf.constant(value) for value in (CLIP_NORM, 0.0, 1.0)))
    codes = tf.constant(rng.integers(2, size=(1, 2, fakes)).astype(np.int32))
    latent = tf.constant(rng.normal(size=(1, 2, fakes, *adversaries.noise_shape)).astype(np.float32))
    interpolation = tf.constant(rng.random((1, fakes)).astype(np.float32))
    # So many steps before the generator's turn: it stays as it is.
    run = dpgan.program(adversaries, 1000)

    def averages(order: Sequence[int]) -> Array:
        drawn = np.full((1, records, windows_each), NOBODY, np.int32)
        drawn[0, : len(order)] = rows[list(order)]
        batches = dpgan.Batches(tf.constant(drawn), tf.constant([[7, 8]]), codes, latent, interpolation)
        after = run(start, data, batches, scales, tf.constant(0), tf.constant(1))
        return flat(after.players.discriminator_adam.first)

    of_nobody = averages([])
    share = 1 if adversaries.pairs else 0.5
    unit = share * (1 - _beta1(adversaries)) * CLIP_NORM
    return Draws(lambda order: (averages(order) - of_nobody) / unit, records, records)


def _beta1(adversaries: Adversaries) -> float:
    """Of the discriminator's Adam: TimeGAN has Keras' default."""
    objective: Any = getattr(adversaries, "objective", None)
    return 0.9 if objective is None else float(objective.beta1)


def flat(values: Sequence[Any]) -> Array:
    """All values, one after the other."""
    return np.concatenate([np.ravel(value).astype(np.float64) for value in values])


SMALL_DETECTORS: dict[str, dict[str, Any]] = {
    "cnn": {"filters": 4, "dense_units": (6, 5)},
    "cnn_lstm": {"filters": 4, "lstm_units": (6, 5), "dense_units": (6, 5)},
    "transformer": {"blocks": 1, "heads": 2, "head_size": 4, "dense_units": 6},
}
PUBLISHED_DETECTORS: dict[str, dict[str, Any]] = {name: {} for name in SMALL_DETECTORS}


def detector(name: str, bins: int = 8, **settings: Any) -> Network:
    """A detector's private network, for windows of six signals."""
    kind = registry.load("detectors", name)
    network: Network = registry.model("detectors", name).private_network(
        kind.Settings.model_validate(settings), 6, bins
    )
    return network


def autoencoder(values: int = 6, hidden: int = 5, latent: int = 3) -> Autoencoder:
    """An autoencoder of two conditions."""
    return Autoencoder(values, 2, hidden, latent, 1.0)


def embedding(time: int = 6, channels: int = 2, hidden: int = 3) -> Embedding:
    """TimeGAN's first part."""
    return Embedding(Sizes(time, channels, 2, hidden, 2))


def conditional(discriminator: str, time: int = 6, channels: int = 2, divisor: int = 8) -> Adversaries:
    """The conditional GAN with one of its discriminators; its windows are (time, channels)."""
    objective = Objective(discriminator, 1e-3, 0.5, "published", 8.0, "linear", 0.3)
    return ConditionalAdversaries(objective, gan.Shape(2, time, channels), divisor, 0.0)


def flat_adversaries(steps: int = 2, values: int = 6, units: int = 5, discriminator: int = 6) -> Adversaries:
    """DGAN, whose windows are flat (steps * values)."""
    objective = training.Objective(1e-3, 0.5, "each_window", 10.0)
    return DGANAdversaries(objective, networks.Shape(steps, values, 2, 3, units, discriminator, 2))


def sequences(time: int = 6, hidden: int = 3) -> Adversaries:
    """TimeGAN's second part, whose windows are hidden sequences (time, hidden)."""
    sizes = Sizes(time, 2, 2, hidden, 2)
    supervisor = tuple(sizes.start(np.random.default_rng(4), "supervisor"))
    return SequenceAdversaries(sizes, 1e-3, 1.0, supervisor)
