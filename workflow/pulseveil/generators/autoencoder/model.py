"""Training and sampling of `autoencoder` models. Imports TensorFlow."""

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

    A synthetic window has values that the decoder's mean and deviation give for normal latent values, and a
    rest with a public spectrum. The model keeps nothing else of the data.
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

        Raises:
            InputError: the windows are too short for `coefficients`; a condition has no windows (checked only
                without a budget); or a private training has more people than its public constants.
        """
        shape = (training.windows.shape[1], training.windows.shape[2])
        if shape[0] <= settings.coefficients:
            raise InputError(
                f"autoencoder: windows of {shape[0]} samples are too short for {settings.coefficients} "
                "cosine coefficients and a rest; use fewer coefficients or longer windows"
            )
        form = _form(settings, shape)
        network, values = _network(settings, form, training.classes), form.of(training.windows)
        if training.budget.is_private:
            (mechanism,) = Autoencoder.mechanisms(settings, training.budget)
            parameters, entry = train_privately(network, values, training, settings.private, mechanism)
            return cls(settings, parameters, shape, (entry,))
        # Only without a budget: whether a condition is missing is a fact about private data.
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
        """The ledger entry of a private training; empty without a budget and for models read from arrays."""
        return self._ledger

    @property
    def noise_size(self) -> int:
        """Number of standard normal numbers from which one window is synthesized."""
        return self._settings.latent + self._form.size + self._form.noise_size

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), from noise (n, noise_size)."""
        latent, own, rest = np.split(
            noise, [self._settings.latent, self._settings.latent + self._form.size], axis=1
        )
        mean, deviation = decoded(self._parameters, latent, condition.astype(np.int32))
        # A sample of the decoder's distribution, not its mean: windows of means alone would vary too little.
        return self._form.windows(mean + deviation * own, rest)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The network's parameters by number, and the shape (time, channels) of a window."""
        named = {f"parameter_{i}": value for i, value in enumerate(self._parameters)}
        return {**named, "shape": np.array([self._form.time, self._form.channels])}

    @classmethod
    def from_arrays(cls, settings: AutoencoderSettings, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The generator with the state `arrays`, as `arrays()` returned it."""
        time, channels = (int(size) for size in arrays["shape"])
        parameters = [arrays[f"parameter_{i}"] for i in range(len(arrays) - 1)]
        return cls(settings, parameters, (time, channels))


def _form(settings: AutoencoderSettings, shape: tuple[int, int]) -> WindowValues:
    return WindowValues(*shape, settings.coefficients, settings.centre, settings.unit)


def _network(settings: AutoencoderSettings, form: WindowValues, classes: int) -> Network:
    return Network(form.size, classes, settings.hidden, settings.latent, settings.kl_weight)
