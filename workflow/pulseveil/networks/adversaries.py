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


def side_by_side(starts: Sequence[Players]) -> Players:
    """Players before the first step of several models as one; that of a single model as it is."""
    if len(starts) == 1:
        return starts[0]
    networks = ([start.generator for start in starts], [start.discriminator for start in starts])
    generator, discriminator = ([tf.stack(values) for values in zip(*all_, strict=True)] for all_ in networks)
    return start_players(generator, discriminator)


class Real(NamedTuple):
    """Real windows (m, ...) and their condition codes (m)."""

    windows: tf.Tensor
    condition: tf.Tensor


class Made(NamedTuple):
    """Made windows (m, ...), the codes (m) that they were made for, and a number (m) on [0, 1) for each.

    The number says where between a made and a real window a gradient penalty looks.
    """

    windows: tf.Tensor
    condition: tf.Tensor
    place: tf.Tensor


class Adversaries(ABC):
    """A generator and a discriminator with their losses; hashable, and names all that shapes their program.

    Rows never look at each other in the discriminator's losses: each is one record's, or part of one.
    """

    @property
    def pairs(self) -> bool:
        """Whether `real_losses` hold the loss of the made window too: clipped and dropped with the record."""
        return False

    @property
    @abstractmethod
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the normal numbers from which one window is made."""

    @abstractmethod
    def start(self, rng: np.random.Generator) -> Players:
        """The players before the first step."""

    @abstractmethod
    def make(self, generator: Parameters, made_from: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Windows (m, ...) of the generator in training, from normal numbers (m, *noise_shape)."""

    @abstractmethod
    def real_losses(self, discriminator: Parameters, real: Real, made: Made, note: Note) -> tf.Tensor:
        """The discriminator's loss of each real window (m), beside a made one of which nothing is private."""

    def made_losses(self, discriminator: Parameters, made: Made, note: Note) -> tf.Tensor:
        """The discriminator's loss of each made window (m); never asked for where `pairs`."""
        raise NotImplementedError

    @abstractmethod
    def update_discriminator(self, players: Players, gradients: Sequence[tf.Tensor]) -> Players:
        """The players after a step of the discriminator along `gradients`."""

    @abstractmethod
    def update_generator(self, players: Players, condition: tf.Tensor, made_from: tf.Tensor) -> Players:
        """The players after a step of the generator, which sees nothing but the discriminator."""
