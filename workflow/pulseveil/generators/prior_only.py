"""People of public knowledge alone, and what they share with people that a query taught (`posterior`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import STRESS
from pulseveil.core.errors import InputError
from pulseveil.generators import Generator, GeneratorSettings, Training
from pulseveil.generators.public_prior import (
    CHANNELS,
    NAMES,
    SCALING,
    Pool,
    Prior,
    decode,
    literature_prior,
    pool_prior,
    walks,
)
from pulseveil.privacy.budget import Unit

_OF_PEOPLE = ("difference", "difference_sd", "midpoint", "midpoint_sd")


class PriorSettings(GeneratorSettings):
    """Settings of `prior_only`."""

    prior_spread: float = Field(0.8, gt=0, description="SD of what a query can find, in units that matter")
    person_spread: float = Field(
        1.5, ge=0, description="SD between synthetic people, in posterior SDs: what the query did not tell"
    )
    prior: Literal["literature", "pool"] = Field(
        "literature",
        description="public knowledge: the literature's table, or means and windows of `public_cohorts`",
    )


@dataclass(frozen=True, eq=False)
class People:
    """What synthetic people are drawn from: mean and SD (s each) of difference and midpoint of a person.

    pool: windows of public people, which give windows their spread and shape, if the prior has them.
    """

    difference: Floats
    difference_sd: Floats
    midpoint: Floats
    midpoint_sd: Floats
    pool: Pool | None = None


def people_around(prior: Prior, mean: Floats, sd: Floats) -> People:
    """People whose difference and midpoint have `mean` and `sd` (2, s), in public units from the prior."""
    return People(
        difference=prior.stress - prior.rest + prior.unit * mean[0],
        difference_sd=prior.unit * sd[0],
        midpoint=(prior.stress + prior.rest) / 2 + prior.unit * mean[1],
        midpoint_sd=prior.unit * sd[1],
        pool=prior.pool,
    )


def prior_of(settings: PriorSettings, training: Training) -> Prior:
    """The prior that `settings` name.

    Raises:
        InputError: the prior is that of public people, and `training` has none.
    """
    if settings.prior == "literature":
        return literature_prior()
    return pool_prior(training.public, training.rate_hz)


class PriorOnly(Generator):
    """People drawn from the prior of `posterior`: what its people are without any private person."""

    Settings: ClassVar[type[GeneratorSettings]] = PriorSettings
    title: ClassVar[str] = "Prior only"
    colour: ClassVar[str] = "#999999"
    version: ClassVar[int] = 2
    learns: ClassVar[bool] = False
    audited: ClassVar[bool] = False
    no_budget: ClassVar[str] = (
        "it has no privacy budget, since it read nobody's windows: it is public knowledge alone"
    )

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
    def uses_public_people(settings: PriorSettings) -> bool:
        """Whether the prior is that of public people."""
        return settings.prior == "pool"

    @staticmethod
    def expected_seconds(settings: PriorSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows."""
        return 0.009 + 8e-6 * rows

    @classmethod
    def fit(cls, settings: Any, training: Training) -> Self:
        """The people of the prior; of the training's windows, no value is read.

        Raises:
            InputError: the budget is private, or the windows have no public prior.
        """
        training.budget.refuse_private("prior_only")
        cls.require_windows(settings, training.channels, training.scaling)
        sd = np.full((2, len(NAMES)), settings.person_spread * settings.prior_spread)
        people = people_around(prior_of(settings, training), np.zeros_like(sd), sd)
        return cls(people, (training.windows.shape[1], training.windows.shape[2]), training.rate_hz)

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that one window needs: person, statistics and shape."""
        return self.person_noise + len(NAMES) + self._shape[0] * self._shape[1]

    @property
    def person_noise(self) -> int:
        """Difference and midpoint of a person."""
        return 2 * len(NAMES)

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), from noise (n, noise_size)."""
        people, s = self._people, len(NAMES)
        of_difference, of_midpoint, of_window, of_shape = np.split(
            noise.astype(np.float64), [s, 2 * s, 3 * s], axis=1
        )
        difference = people.difference + people.difference_sd * of_difference
        midpoint = people.midpoint + people.midpoint_sd * of_midpoint
        side = np.where(condition == STRESS, 0.5, -0.5)[:, np.newaxis]
        if people.pool is None:
            white = of_shape.reshape(len(noise), *self._shape)
            spread, shape = literature_prior().within * of_window, walks(white, self._rate_hz)
        else:
            spread, shape = people.pool.drawn(of_window[:, 0])
        return decode(midpoint + side * difference + spread, shape, self._rate_hz)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Mean and SD of difference and midpoint (s each), the windows' shape and rate.

        With public people also their residuals (m, s) and shapes (m, time, channels).
        """
        people = {name: getattr(self._people, name) for name in _OF_PEOPLE}
        pool = {} if self._people.pool is None else vars(self._people.pool)
        return {**people, "shape": np.array(self._shape), "rate_hz": np.array(self._rate_hz), **pool}

    @classmethod
    def from_arrays(cls, settings: PriorSettings, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The generator whose `arrays()` these are."""
        time, channels = (int(size) for size in arrays["shape"])
        pool = Pool(arrays["residuals"], arrays["shapes"]) if "residuals" in arrays else None
        people = People(
            difference=arrays["difference"],
            difference_sd=arrays["difference_sd"],
            midpoint=arrays["midpoint"],
            midpoint_sd=arrays["midpoint_sd"],
            pool=pool,
        )
        return cls(people, (time, channels), float(arrays["rate_hz"]))
