"""The conditional GAN of the published study (Lange, Wenzlitschke and Rahm, Sensors 2024, 24(10):3052)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.checkpoints import Checkpoint
from pulseveil.errors import InputError
from pulseveil.generators import GeneratorSettings
from pulseveil.privacy.budget import Budget
from pulseveil.randomness import Stream

# Examples a CPU second in whole training steps at batch 8 on one thread of a 2020s x86-64 server.
_EXAMPLES_PER_SECOND = {"lstm": 600, "fcn": 1100, "transformer": 480}


class CGANSettings(GeneratorSettings):
    """Settings of `cgan`; the defaults are the published ones."""

    discriminator: Literal["lstm", "fcn", "transformer"] = Field("lstm", description="discriminator network")
    steps: int = Field(57_120, gt=0, description="updates of each network (published: 420 epochs of 136)")
    batch_size: int = Field(8, gt=0, multiple_of=2, description="real windows in a step")
    learning_rate: float = Field(2e-4, gt=0, description="Adam's rate, both networks")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient")
    diversity: Literal["published", "effective"] = Field(
        "published", description="diversity term: without gradient as published, or with it"
    )
    diversity_weight: float = Field(8, ge=0, description="weight of the diversity term")
    diversity_bound: float | None = Field(
        None, gt=0, description="where `effective` ends; default: the diversity of the training windows"
    )
    output: Literal["relu", "linear"] = Field(
        "relu", description="relu for windows in [0, 1], linear where values can be negative"
    )
    leaky_slope: float = Field(0.3, ge=0, description="slope of the leaky ReLU below 0")
    selection: Literal["last", "two_sample"] = Field(
        "last", description="parameters kept: the last, or the best by a two-sample test on training windows"
    )


class CGAN:
    """A trained generator network."""

    Settings: ClassVar[type[GeneratorSettings]] = CGANSettings
    version: ClassVar[int] = 1
    uses_tensorflow: ClassVar[bool] = True
    private_units: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, settings: CGANSettings, parameters: list[NDArray[np.float32]]) -> None:
        self._settings, self._parameters = settings, parameters

    @classmethod
    def fit(
        cls,
        settings: CGANSettings,
        windows: NDArray[np.float32],
        condition: NDArray[np.int8],
        *,
        classes: int,
        budget: Budget,
        stream: Stream,
        checkpoint: Checkpoint | None = None,
        subject: NDArray[np.str_] | None = None,
    ) -> Self:
        """Train on windows (n, time, channels); a resumed training ends in the same bits as an unbroken one.

        Raises InputError for a private budget, and where `output` relu could never make the windows' values.
        """
        budget.refuse_private("cgan")
        if settings.output == "relu" and windows.min() < 0:
            raise InputError(
                f"cgan: output relu makes no negative values, but the windows reach {windows.min():.3g}; "
                "set output: linear"
            )
        # Plans import this module for its settings: what imports TensorFlow, for seconds, is imported here.
        from pulseveil.generators.cgan_training import train

        return cls(settings, train(settings, windows, condition, classes, stream, checkpoint))

    @staticmethod
    def expected_seconds(settings: CGANSettings, rows: int) -> float:
        """Expected CPU seconds of a training; the number of windows does not matter."""
        return settings.steps * settings.batch_size / _EXAMPLES_PER_SECOND[settings.discriminator]

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that one window is made from."""
        from pulseveil.networks.gan import NOISE_SIZE

        return NOISE_SIZE

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), made from noise (n, noise_size)."""
        from pulseveil.networks.gan import sampler

        run = sampler(self._settings.leaky_slope, self._settings.output)
        windows: NDArray[np.float32] = run(self._parameters, noise, condition.astype(np.int32)).numpy()
        return windows

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The generator network's parameters by name."""
        from pulseveil.networks.gan import GENERATOR_PARAMETERS

        return dict(zip(GENERATOR_PARAMETERS, self._parameters, strict=True))

    @classmethod
    def from_arrays(cls, settings: CGANSettings, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The generator whose `arrays()` these are."""
        from pulseveil.networks.gan import GENERATOR_PARAMETERS

        return cls(settings, [arrays[name] for name in GENERATOR_PARAMETERS])
