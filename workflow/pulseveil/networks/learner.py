"""Interface of networks for per-record trainings: losses of rows that do not depend on each other."""

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
    """Seeds of dropout and latent values of a batch; none of them is secret.

    step: seed (2) int32 of the training step. number: the number (rows) int32 of each row in the data set.
    """

    # No seed of the batch: if a row's dropout depended on its position in the draw, then drawing a record
    # would change the contributions of all records behind it. Amplification by sampling would not hold:
    # accountants assume that the sum of the other records is fixed (Abadi et al. 2016, arXiv:1607.00133).
    step: tf.Tensor
    number: tf.Tensor

    @property
    def rows(self) -> tf.Tensor:
        """One seed per row (rows, 2) int32, a function of the step and the row's number alone."""
        return draws.child_seed(self.step, self.number)


class Learner(ABC):
    """Network with its loss; hashable, with fields that name all that shapes the compiled program."""

    @property
    @abstractmethod
    def compiles_step(self) -> bool:
        """Whether XLA compiles the whole step; otherwise a plain graph, parts of which may be compiled."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[int, ...]:
        """Shape of the input x of one row."""

    @property
    @abstractmethod
    def targets(self) -> int:
        """Number of target values per row."""

    @abstractmethod
    def start(self, rng: np.random.Generator) -> Weights:
        """Initial weights."""

    @abstractmethod
    def row_losses(
        self, weights: Weights, batch: Examples, seeds: RowSeeds, note: Note = unnoted
    ) -> tf.Tensor:
        """Weighted loss of each row (rows); every use of a parameter is noted by `note`."""


@dataclass(frozen=True)
class Classifier(Learner):
    """Classifier with two outputs and weighted binary cross-entropy."""

    network: Network

    @property
    def compiles_step(self) -> bool:
        """Whether XLA compiles the whole step, as the network declares."""
        return self.network.compiles_step

    @property
    def inputs(self) -> tuple[int, ...]:
        """Signals and bins of a window's spectra."""
        return self.network.signals, self.network.bins

    @property
    def targets(self) -> int:
        """Two targets: not stress, stress."""
        return 2

    def start(self, rng: np.random.Generator) -> Weights:
        """Initial weights of the network."""
        return self.network.start(rng)

    def row_losses(
        self, weights: Weights, batch: Examples, seeds: RowSeeds, note: Note = unnoted
    ) -> tf.Tensor:
        """Weighted cross-entropy of each row (rows), with dropout by the row's own seed."""
        drop = layers.dropping(self.network.dropout, seeds.rows)
        # Rows of padding have no influence on others here, and get weight 0 in the clipped sum.
        everyone = tf.ones_like(batch.weight)
        logits, _ = self.network.train_logits(weights, batch.x, everyone, drop, note)
        return row_losses(logits, batch)


def as_learner(network: Network | Learner) -> Learner:
    """`network` itself if it is a learner, otherwise a `Classifier` of it."""
    return network if isinstance(network, Learner) else Classifier(network)


def row_numbers(records: tf.Tensor, rows: int) -> tf.Tensor:
    """Numbers (n * rows) int32 of the rows of records (n) int32, which have `rows` rows each.

    Examples:
        >>> row_numbers(tf.constant([5, 0]), rows=2).numpy().tolist()
        [10, 11, 0, 1]
    """
    numbers = records[:, tf.newaxis] * rows + tf.range(rows)
    return tf.reshape(numbers, (records.shape[0] * rows,))


def seeds_of(step: tf.Tensor, records: tf.Tensor, rows: int) -> RowSeeds:
    """Seeds of the rows of records (n) int32, which have `rows` rows each, in the step of seed (2) int32."""
    return RowSeeds(step, row_numbers(records, rows))
