"""What a private training needs of a generator and a discriminator: their networks and their losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulseveil.networks import adam
from pulseveil.networks.layers import Parameters
from pulseveil.networks.per_example import Note


class Players(NamedTuple):
    """Both networks' parameters and Adam states."""

    generator: list[tf.Tensor]
    discriminator: list[tf.Tensor]
    generator_adam: adam.AdamState
    discriminator_adam: adam.AdamState


class Trained(NamedTuple):
    """Both networks' parameters after a training."""

    generator: list[NDArray[np.float32]]
    discriminator: list[NDArray[np.float32]]


def start_players(generator: Sequence[tf.Tensor], discriminator: Sequence[tf.Tensor]) -> Players:
    """Players before the first step, by their first parameters."""
    first = [tf.constant(value) for value in generator], [tf.constant(value) for value in discriminator]
    return Players(*first, *(adam.start(parameters) for parameters in first))


class Real(NamedTuple):
    """Real windows (m, ...) and their condition codes (m)."""

    windows: tf.Tensor
    condition: tf.Tensor


class Synthetic(NamedTuple):
    """Synthetic windows (m, ...), the condition codes (m) asked for, and weights (m) on [0, 1).

    interpolation: the real window's weight in the mean of a real and a synthetic window at which a gradient
    penalty is taken (Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1).
    """

    windows: tf.Tensor
    condition: tf.Tensor
    interpolation: tf.Tensor


class Adversaries(ABC):
    """A generator and a discriminator with their losses; hashable, and names all that shapes their program.

    The discriminator's loss of a row depends on no other row: each loss is one record's, or part of one.
    """

    @property
    def pairs(self) -> bool:
        """Whether `real_losses` hold the synthetic windows' losses too, clipped with the record."""
        return False

    @property
    @abstractmethod
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the normal numbers from which one window is synthesized."""

    @abstractmethod
    def start(self, rng: np.random.Generator) -> Players:
        """The players before the first step."""

    @abstractmethod
    def synthesize(self, generator: Parameters, noise: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Windows (m, ...) of the generator in training, from normal numbers (m, *noise_shape)."""

    @abstractmethod
    def real_losses(
        self, discriminator: Parameters, real: Real, synthetic: Synthetic, note: Note
    ) -> tf.Tensor:
        """The discriminator's loss of each real window (m), beside a synthetic one that is not private."""

    def synthetic_losses(self, discriminator: Parameters, synthetic: Synthetic, note: Note) -> tf.Tensor:
        """The discriminator's loss of each synthetic window (m); never called where `pairs`."""
        raise NotImplementedError

    @abstractmethod
    def update_discriminator(self, players: Players, gradients: Sequence[tf.Tensor]) -> Players:
        """The players after a step of the discriminator along `gradients`."""

    @abstractmethod
    def update_generator(self, players: Players, condition: tf.Tensor, noise: tf.Tensor) -> Players:
        """The players after a step of the generator, which sees nothing but the discriminator."""
