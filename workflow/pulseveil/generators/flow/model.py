"""Training and sampling of `flow` models. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.errors import InputError
from pulseveil.generators import GeneratorModel, Training
from pulseveil.generators.flow import FlowSettings
from pulseveil.generators.flow.coordinates import Coordinates
from pulseveil.generators.flow.training import Sizes, sampler, train


class FlowModel(GeneratorModel):
    """A trained velocity field of the learnt coordinates of windows."""

    def __init__(
        self,
        settings: FlowSettings,
        parameters: list[NDArray[np.float32]],
        coordinates: Coordinates,
        classes: int,
    ) -> None:
        self._settings, self._parameters = settings, parameters
        self._coordinates, self._classes = coordinates, classes

    @classmethod
    def fit(cls, settings: FlowSettings, training: Training) -> Self:
        """Train on windows (n, time, channels); a resumed training ends in the same bits as an unbroken one.

        Raises:
            InputError: the budget is private, a condition has no windows, or windows are too short.
        """
        training.budget.refuse_private("flow")
        missing = sorted(set(range(training.classes)) - set(training.condition.tolist()))
        if missing:
            raise InputError(
                f"flow: condition {missing[0]} has no windows; "
                "train on more subjects or set another number of classes"
            )
        length = training.windows.shape[1]
        if length <= settings.cosines + settings.bands:
            raise InputError(
                f"flow: windows of {length} samples are too short for {settings.cosines} cosines and "
                f"{settings.bands} bands; use fewer of them or longer windows"
            )
        coordinates = Coordinates.fit(training.windows, settings.cosines, settings.bands)
        parameters = train(
            settings,
            Sizes(coordinates.learnt, training.classes, settings.width, settings.depth),
            coordinates.of(training.windows),
            training.condition,
            training.stream,
            training.checkpoint,
        )
        return cls(settings, parameters, coordinates, training.classes)

    @property
    def noise_size(self) -> int:
        """Number of standard normal numbers from which one window is synthesized."""
        return self._coordinates.learnt + self._coordinates.noise_size

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), from noise (n, noise_size)."""
        learnt, fast = np.split(noise, [self._coordinates.learnt], axis=1)
        one_hot = np.eye(self._classes, dtype=np.float32)[condition]
        scores = sampler(self._settings.sampler_steps)(self._parameters, learnt, one_hot).numpy()
        return self._coordinates.windows(scores, fast)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The network's parameters by number, the coordinates, and the number of conditions."""
        named = {f"parameter_{i}": value for i, value in enumerate(self._parameters)}
        return {**named, **self._coordinates.arrays(), "classes": np.array(self._classes)}

    @classmethod
    def from_arrays(cls, settings: FlowSettings, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The generator with the state `arrays`, as `arrays()` returned it."""
        # Kernel and bias of each hidden layer and of the output.
        parameters = [arrays[f"parameter_{i}"] for i in range(2 * settings.depth + 2)]
        return cls(settings, parameters, Coordinates.from_arrays(arrays), int(arrays["classes"]))
