"""A second family beside GANs: a small conditional variational autoencoder, with or without privacy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.core.errors import InputError
from pulseveil.generators import Generator, GeneratorSettings, Training
from pulseveil.generators.private_moments import COSINES, WindowValues
from pulseveil.generators.private_settings import PrivateAutoencoder, autoencoder_mechanism, expected_rows
from pulseveil.privacy.budget import Budget, Mechanism, Unit, at_rate
from pulseveil.privacy.programs import DPSGD

if TYPE_CHECKING:
    from pulseveil.generators.autoencoder.model import Autoencoder as Network
    from pulseveil.privacy.ledger import Entry

# CPU seconds of a training without its steps, and windows a CPU second, on one thread of an x86-64 server.
# All trainings of a process share the one or two compilations, of some seconds each.
_FIXED_SECONDS, _WINDOWS_PER_SECOND = 0.5, 1e5


class AutoencoderSettings(GeneratorSettings):
    """Settings of `autoencoder`."""

    coefficients: int = Field(
        1, gt=0, lt=COSINES, description="slow cosines learnt of each channel; 1: the mean"
    )
    hidden: int = Field(8, gt=0, description="units of the hidden layers of encoder and decoder")
    latent: int = Field(2, gt=0, description="latent values of a window")
    kl_weight: float = Field(1.0, gt=0, description="weight of the latent values' divergence")
    steps: int = Field(1000, gt=0, description="training steps")
    batch_size: int = Field(128, gt=0, description="expected windows of a step")
    learning_rate: float = Field(1e-2, gt=0, description="Adam's rate")
    centre: float = Field(0.0, description="value of the windows at rest: 0 for calibration, 0.5 for others")
    unit: float = Field(1.0, gt=0, description="change that matters: 1 for calibration, 0.25 for others")
    private: PrivateAutoencoder = Field(
        PrivateAutoencoder(),
        description="private: how it is trained; `steps`, `batch_size` and rate count there",
    )


class Autoencoder(Generator):
    """A trained decoder of the values of windows (`window_values`).

    A window of a condition is made from normal latent values, the decoder's mean and deviation of each value,
    and a rest whose spectrum is public. Nothing else of the data is kept.
    """

    Settings: ClassVar[type[GeneratorSettings]] = AutoencoderSettings
    title: ClassVar[str] = "Autoencoder"
    colour: ClassVar[str] = "#E69F00"
    version: ClassVar[int] = 1
    uses_tensorflow: ClassVar[bool] = True
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    programs: ClassVar[tuple[int, ...]] = (DPSGD,)

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
        # Plans import this module for its settings: what imports TensorFlow, for seconds, is imported here.
        from pulseveil.generators.autoencoder.model import train, train_privately

        form = _form(settings, shape)
        network, values = _network(settings, form, training.classes), form.of(training.windows)
        if training.budget.is_private:
            (mechanism,) = cls.mechanisms(settings, training.budget)
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

    @staticmethod
    def mechanisms(settings: AutoencoderSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """The mechanism of a private training; raises InputError where the backend cannot run it."""
        if budget.backend == "tensorflow_privacy":
            raise InputError("autoencoder: tensorflow-privacy has no such training; use dp_backend fast")
        return (autoencoder_mechanism(settings.private, budget),)

    @classmethod
    def audited_settings(
        cls, settings: AutoencoderSettings, claimed: Budget, audited: Budget
    ) -> AutoencoderSettings:
        """The settings whose draws within `audited` have the q of those within `claimed`."""
        return at_rate(settings, cls.mechanisms(settings, claimed), audited)

    @property
    def ledger(self) -> tuple[Entry, ...]:
        """The entry of a private training; empty for others, and for models read from arrays."""
        return self._ledger

    @staticmethod
    def expected_seconds(settings: AutoencoderSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows."""
        seen = float(settings.steps * min(settings.batch_size, rows))
        if private is not None:
            seen = expected_rows(settings.private, rows, private)
        return _FIXED_SECONDS + seen / _WINDOWS_PER_SECOND

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that one window is made from."""
        return self._settings.latent + self._form.size + self._form.noise_size

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), made from noise (n, noise_size)."""
        from pulseveil.generators.autoencoder.model import decoded

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
    from pulseveil.generators.autoencoder.model import Autoencoder as Network

    return Network(form.size, classes, settings.hidden, settings.latent, settings.kl_weight)
