"""What a training by records needs of a network: losses of rows that do not look at each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pulseveil.networks import draws, layers
from pulseveil.networks.per_example import Note, unnoted
from pulseveil.networks.training import Examples, Network, Weights, row_losses


class RowSeeds(NamedTuple):
    """What decides the training's own chance (dropout, latent values) of a batch: nothing here is secret.

    step: seed (2) int32 of the training step. number (rows) int32: the number of each row in the data set.
    There is no seed of the batch: if a row's chance depended on its position in the draw, then drawing a
    record would change the contributions of all records behind it, and amplification by sampling would not
    hold (Abadi et al. 2016 and every accountant since take the others' sum for fixed).
    """

    step: tf.Tensor
    number: tf.Tensor

    @property
    def rows(self) -> tf.Tensor:
        """A seed per row (rows, 2) int32, decided by the step and the row's number alone."""
        return draws.child_seed(self.step, self.number)


class Learner(ABC):
    """A network with its loss. Learners are hashable and name all that shapes their program."""

    @property
    @abstractmethod
    def compiles_step(self) -> bool:
        """Whether XLA compiles the whole step, or it stays a plain graph that compiles parts of its own."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[int, ...]:
        """Shape of a row's x."""

    @property
    @abstractmethod
    def targets(self) -> int:
        """Width of a row's target."""

    @abstractmethod
    def start(self, rng: np.random.Generator) -> Weights:
        """Initial weights."""

    @abstractmethod
    def row_losses(
        self, weights: Weights, batch: Examples, seeds: RowSeeds, note: Note = unnoted
    ) -> tf.Tensor:
        """Weighted loss of each row (rows); `note` hears of every product with a weight."""


@dataclass(frozen=True)
class Classifier(Learner):
    """A classifier with two outputs and their weighted binary cross-entropy."""

    network: Network

    @property
    def compiles_step(self) -> bool:
        """As the network says."""
        return self.network.compiles_step

    @property
    def inputs(self) -> tuple[int, ...]:
        """Signals and bins of a window's spectra."""
        return self.network.signals, self.network.bins

    @property
    def targets(self) -> int:
        """Not stress, stress."""
        return 2

    def start(self, rng: np.random.Generator) -> Weights:
        """Initial weights of the network."""
        return self.network.start(rng)

    def row_losses(
        self, weights: Weights, batch: Examples, seeds: RowSeeds, note: Note = unnoted
    ) -> tf.Tensor:
        """Weighted cross-entropy of each row (rows), under the row's own dropout."""
        drop = layers.dropping(self.network.dropout, seeds.rows)
        everyone = tf.ones_like(batch.weight)
        logits, _ = self.network.train_logits(weights, batch.x, everyone, drop, note)
        return row_losses(logits, batch)


def as_learner(network: Network | Learner) -> Learner:
    """The learner itself, or a classifier's network with the classifiers' loss."""
    return network if isinstance(network, Learner) else Classifier(network)


def row_numbers(records: tf.Tensor, rows: int) -> tf.Tensor:
    """Numbers (records * rows) of the rows of `records` (numbers, int32) with `rows` rows each."""
    numbers = records[:, tf.newaxis] * rows + tf.range(rows)
    return tf.reshape(numbers, (records.shape[0] * rows,))


def seeds_of(step: tf.Tensor, records: tf.Tensor, rows: int) -> RowSeeds:
    """The chance of some `records` (numbers, int32) with `rows` rows each, in the step of this seed."""
    return RowSeeds(step, row_numbers(records, rows))
