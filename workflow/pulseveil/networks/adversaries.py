"""Interface of generator and discriminator for a private training: networks, losses and updates.

Source of adversarial training: Goodfellow et al. 2014, arXiv:1406.2661.
"""

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
    """Parameters and Adam states of generator and discriminator."""

    generator: list[tf.Tensor]
    discriminator: list[tf.Tensor]
    generator_adam: adam.AdamState
    discriminator_adam: adam.AdamState


class Trained(NamedTuple):
    """Parameters of generator and discriminator after a training."""

    generator: list[NDArray[np.float32]]
    discriminator: list[NDArray[np.float32]]


def start_players(generator: Sequence[tf.Tensor], discriminator: Sequence[tf.Tensor]) -> Players:
    """Players before the first step, with these first parameters."""
    first = [tf.constant(value) for value in generator], [tf.constant(value) for value in discriminator]
    return Players(*first, *(adam.start(parameters) for parameters in first))


class Real(NamedTuple):
    """Real windows (m, ...) float32 and their condition codes (m) int32."""

    windows: tf.Tensor
    condition: tf.Tensor


class Synthetic(NamedTuple):
    """Synthetic windows (m, ...), the condition codes (m) of their synthesis, and weights (m) on [0, 1).

    interpolation: weight of the real window in the mean of a real and a synthetic window, at which a gradient
    penalty is computed (Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1).
    """

    windows: tf.Tensor
    condition: tf.Tensor
    interpolation: tf.Tensor


class Adversaries(ABC):
    """Generator and discriminator with their losses, for private trainings.

    Implementations are hashable, and their fields name all that shapes the compiled program. The
    discriminator's loss of a row must not depend on another row: otherwise no record's gradient is bounded.
    """

    @property
    def pairs(self) -> bool:
        """Whether `real_losses` contain the losses of synthetic windows, each clipped with its record."""
        return False

    @property
    @abstractmethod
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the standard normal numbers of one synthetic window."""

    @abstractmethod
    def start(self, rng: np.random.Generator) -> Players:
        """Players before the first step."""

    @abstractmethod
    def synthesize(self, generator: Parameters, noise: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Synthetic windows (m, ...) from noise (m, *noise_shape) and condition codes (m)."""

    @abstractmethod
    def real_losses(
        self, discriminator: Parameters, real: Real, synthetic: Synthetic, note: Note
    ) -> tf.Tensor:
        """Loss of the discriminator for each real window (m), beside one synthetic window per real one.

        Only the real windows are private: synthetic windows are functions of what was released.
        """

    def synthetic_losses(self, discriminator: Parameters, synthetic: Synthetic, note: Note) -> tf.Tensor:
        """Loss of the discriminator for each synthetic window (m); not called if `pairs`."""
        # Not abstract: adversaries that pair windows have no such loss.
        raise NotImplementedError

    @abstractmethod
    def update_discriminator(self, players: Players, gradients: Sequence[tf.Tensor]) -> Players:
        """Players after a step of the discriminator along `gradients`."""

    @abstractmethod
    def update_generator(self, players: Players, condition: tf.Tensor, noise: tf.Tensor) -> Players:
        """Players after a step of the generator, which depends on the discriminator and on no real window."""
