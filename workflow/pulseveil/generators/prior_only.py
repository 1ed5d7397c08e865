"""People of public knowledge alone, and what they share with people that a query taught (`posterior`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.core.contracts import STRESS
from pulseveil.core.errors import InputError
from pulseveil.generators import Generator, GeneratorSettings, Training
from pulseveil.generators.public_prior import (
    CHANNELS,
    NAMES,
    SCALING,
    Prior,
    decode,
    literature_prior,
)
from pulseveil.privacy.budget import Unit

Array = NDArray[np.float64]


class PriorSettings(GeneratorSettings):
    """Settings of `prior_only`."""

    prior_spread: float = Field(
        0.8, gt=0, description="SD of what a query can find of stress, in units that matter"
    )
    rest_spread: float = Field(
        0.5, gt=0, description="the same of rest, which scaling calibration holds near the prior"
    )
    person_spread: float = Field(
        1.5, ge=0, description="SD between synthetic people, in posterior SDs: what the query did not tell"
    )


@dataclass(frozen=True, eq=False)
class People:
    """What synthetic people are drawn from: mean and SD (2, s) of a person's statistics, stress first."""

    mean: Array
    sd: Array


def spreads(settings: PriorSettings) -> Array:
    """SD (2, 1), in public units, of what a query can find of stress and of rest."""
    return np.array([[settings.prior_spread], [settings.rest_spread]])


def people_around(prior: Prior, mean: Array, sd: Array) -> People:
    """People with `mean` and `sd` (2, s) in public units, from the prior of stress and of rest."""
    return People(np.stack([prior.stress, prior.rest]) + prior.unit * mean, prior.unit * sd)


class PriorOnly(Generator):
    """People drawn from the prior of `posterior`: what its people are without any private person."""

    Settings: ClassVar[type[GeneratorSettings]] = PriorSettings
    title: ClassVar[str] = "Prior only"
    colour: ClassVar[str] = "#999999"
    version: ClassVar[int] = 1
    learns: ClassVar[bool] = False

    def __init__(self, people: People, shape: tuple[int, int], rate_hz: float):
        self._people, self._shape, self._rate_hz = people, shape, rate_hz

    @staticmethod
    def require_windows(settings: PriorSettings, channels: Sequence[str], scaling: str) -> None:
        """Refuse windows whose statistics have no public prior.

        Raises:
            InputError: other channels than the physiological ones, or another scaling than calibration.
        """
        if tuple(channels) != CHANNELS or scaling != SCALING:
            raise InputError(
                f"posterior: expected channels physiological and scaling {SCALING}, whose statistics the "
                f"literature knows; found channels {' '.join(channels)} and scaling {scaling}"
            )

    @staticmethod
    def expected_seconds(settings: PriorSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows."""
        return 0.02 + 1e-5 * rows

    @classmethod
    def fit(cls, settings: PriorSettings, training: Training) -> Self:
        """The people of the prior; of the training's windows, no value is read.

        Raises:
            InputError: the budget is private, or the windows have no public prior.
        """
        training.budget.refuse_private("prior_only")
        cls.require_windows(settings, training.channels, training.scaling)
        sd = np.tile(settings.person_spread * spreads(settings), len(NAMES))
        people = people_around(literature_prior(), np.zeros_like(sd), sd)
        return cls(people, (training.windows.shape[1], training.windows.shape[2]), training.rate_hz)

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that one window needs: person, statistics and shape."""
        return self.person_noise + len(NAMES) + self._shape[0] * self._shape[1]

    @property
    def person_noise(self) -> int:
        """Statistics of a person under stress and at rest."""
        return 2 * len(NAMES)

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), from noise (n, noise_size)."""
        people, prior, s = self._people, literature_prior(), len(NAMES)
        of_person, of_window, of_shape = np.split(noise.astype(np.float64), [2 * s, 3 * s], axis=1)
        persons = people.mean + people.sd * of_person.reshape(-1, 2, s)
        own = np.where((condition == STRESS)[:, np.newaxis], persons[:, 0], persons[:, 1])
        statistics = own + prior.within * of_window
        return decode(statistics, of_shape.reshape(len(noise), *self._shape), self._rate_hz)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Mean and SD of people under stress and at rest (2, s), the windows' shape and rate."""
        return {**vars(self._people), "shape": np.array(self._shape), "rate_hz": np.array(self._rate_hz)}

    @classmethod
    def from_arrays(cls, settings: PriorSettings, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The generator whose `arrays()` these are."""
        time, channels = (int(size) for size in arrays["shape"])
        people = People(arrays["mean"], arrays["sd"])
        return cls(people, (time, channels), float(arrays["rate_hz"]))
