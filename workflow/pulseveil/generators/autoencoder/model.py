"""Models of `autoencoder`: how they are trained, and how they make windows; imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.errors import InputError
from pulseveil.generators import GeneratorModel, Training
from pulseveil.generators.autoencoder import Autoencoder, AutoencoderSettings
from pulseveil.generators.autoencoder.training import Autoencoder as Network
from pulseveil.generators.autoencoder.training import decoded, train, train_privately
from pulseveil.generators.private_moments import WindowValues
from pulseveil.privacy.ledger import Entry


class AutoencoderModel(GeneratorModel):
    """A trained decoder of the values of windows (`private_moments.WindowValues`).

    A window of a condition is made from normal latent values, the decoder's mean and deviation of each value,
    and a rest whose spectrum is public. Nothing else of the data is kept.
    """

    def __init__(
        self,
        settings: AutoencoderSettings,
        parameters: list[NDArray[np.float32]],
        shape: tuple[int, int],
        ledger: tuple[Entry, ...] = (),
    ) -> None:
        self._settings, self._parameters, self._ledger = settings, parameters, ledger
        self._form = _form(settings, shape)

    @classmethod
    def fit(cls, settings: AutoencoderSettings, training: Training) -> Self:
        """Train on windows (n, time, channels); a resumed training ends in the same bits as an unbroken one.

        Raises InputError where a condition has no windows or windows are too short (a private training does
        not look for the former), and where there are more people than the public constants say.
        """
        shape = (training.windows.shape[1], training.windows.shape[2])
        if shape[0] <= settings.coefficients:
            raise InputError(
                f"autoencoder: windows of {shape[0]} samples have no {settings.coefficients} cosines and a "
                "rest; use fewer coefficients or longer windows"
            )
        form = _form(settings, shape)
        network, values = _network(settings, form, training.classes), form.of(training.windows)
        if training.budget.is_private:
            (mechanism,) = Autoencoder.mechanisms(settings, training.budget)
            parameters, entry = train_privately(network, values, training, settings.private, mechanism)
            return cls(settings, parameters, shape, (entry,))
        missing = sorted(set(range(training.classes)) - set(training.condition.tolist()))
        if missing:
            raise InputError(
                f"autoencoder: condition {missing[0]} has no windows; "
                "train on more subjects or set another number of classes"
            )
        parameters = train(
            network,
            values,
            training,
            steps=settings.steps,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
        )
        return cls(settings, parameters, shape)

    @property
    def ledger(self) -> tuple[Entry, ...]:
        """The entry of a private training; empty for others, and for models read from arrays."""
        return self._ledger

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that one window is made from."""
        return self._settings.latent + self._form.size + self._form.noise_size

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), made from noise (n, noise_size)."""
        latent, own, rest = np.split(
            noise, [self._settings.latent, self._settings.latent + self._form.size], axis=1
        )
        mean, deviation = decoded(self._parameters, latent, condition.astype(np.int32))
        return self._form.windows(mean + deviation * own, rest)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The network's parameters by number, and the windows' shape."""
        named = {f"parameter_{i}": value for i, value in enumerate(self._parameters)}
        return {**named, "shape": np.array([self._form.time, self._form.channels])}

    @classmethod
    def from_arrays(cls, settings: AutoencoderSettings, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The generator whose `arrays()` these are."""
        time, channels = (int(size) for size in arrays["shape"])
        parameters = [arrays[f"parameter_{i}"] for i in range(len(arrays) - 1)]
        return cls(settings, parameters, (time, channels))


def _form(settings: AutoencoderSettings, shape: tuple[int, int]) -> WindowValues:
    return WindowValues(*shape, settings.coefficients, settings.centre, settings.unit)


def _network(settings: AutoencoderSettings, form: WindowValues, classes: int) -> Network:
    return Network(form.size, classes, settings.hidden, settings.latent, settings.kl_weight)
