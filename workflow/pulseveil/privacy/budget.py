"""What one training may spend, on whom, and the mechanism that spends it.

Every private training is one mechanism: noised sums of clipped records. Sampler and accountant read the same
object, so that what runs and what is accounted cannot differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from pulseveil.core.errors import InputError
from pulseveil.core.settings import Settings
from pulseveil.privacy.noise import Noise

Unit = Literal["subject", "window"]
Backend = Literal["fast", "tensorflow_privacy"]
NoiseMode = Literal["secret", "reproducible"]


@dataclass(frozen=True)
class Population:
    """Public constants of a training set: they come from the plan and are never counted in the data.

    `subjects` people with about `windows_per_subject` windows each, of which `stress_share` are stress.
    """

    subjects: int
    windows_per_subject: int
    stress_share: float

    def records(self, unit: Unit) -> int:
        """The public number of records of a unit."""
        return self.subjects * (self.windows_per_subject if unit == "window" else 1)


@dataclass(frozen=True)
class Budget:
    """(epsilon, delta) at a unit of protection; epsilon infinity means that nothing is protected.

    A private training also needs the `population` that it may assume and, once it runs, the source of its
    `noise`; `backend` names the optimizer of private networks.
    """

    epsilon: float
    delta: float
    unit: Unit
    population: Population | None = None
    noise: Noise | None = None
    backend: Backend = "fast"

    @property
    def is_private(self) -> bool:
        """Whether the training must be differentially private."""
        return math.isfinite(self.epsilon)

    def refuse_private(self, model: str, why: str = "") -> None:
        """Raise InputError when a model without a private training is asked for one; `why` it has none."""
        if self.is_private:
            reason = f" ({why})" if why else ""
            raise InputError(
                f"{model}: no private training is known for it{reason}; use epsilon inf, not {self.epsilon}"
            )

    def known_population(self) -> Population:
        """The public constants; raises ValueError where a private budget came without them."""
        if self.population is None:
            raise ValueError("a private budget needs the public constants of its population")
        return self.population

    def noise_source(self) -> Noise:
        """The source of noise and masks; raises ValueError where a private training came without one."""
        if self.noise is None:
            raise ValueError("a private training needs a source of noise")
        return self.noise


NOT_PRIVATE = Budget(math.inf, 1e-5, "subject")


AnySettings = TypeVar("AnySettings", bound=Settings)
Sampler = Literal["full batch", "poisson", "truncated poisson"]


@dataclass(frozen=True)
class Mechanism:
    """`steps` Gaussian mechanisms on sums of records, each record clipped to L2 norm `clip_norm`.

    unit: what one record is. n: public number of records. q: probability with which a step includes a record;
    1 means all of them. capacity: the most records of a step (n for a full batch); a larger draw is
    cut to a uniformly random subset. noise_multiplier: standard deviation of the noise on the sum, divided by
    `clip_norm`. Neighbouring data sets differ in one record, whose contribution is zero in one of them.
    """

    name: str
    unit: Unit
    n: int
    q: float
    capacity: int
    steps: int
    clip_norm: float
    noise_multiplier: float

    def __post_init__(self) -> None:
        checks = {
            "n": self.n > 0,
            "q": 0 < self.q <= 1,
            "capacity": self.capacity > 0,
            "steps": self.steps > 0,
            "clip_norm": self.clip_norm > 0,
            "noise_multiplier": self.noise_multiplier > 0,
        }
        for name, holds in checks.items():
            if not holds:
                raise ValueError(f"mechanism {self.name}: {name} {getattr(self, name)} is out of range")
        if self.q == 1 and self.capacity < self.n:
            raise ValueError(
                f"mechanism {self.name}: a full batch of {self.n} needs capacity for all of them"
            )

    def __repr__(self) -> str:
        # Fingerprints hash this text, and noise is derived from fingerprints: the field's first name, room,
        # stays in it, or no stored state could go on.
        values = {item.name.replace("capacity", "room"): getattr(self, item.name) for item in fields(self)}
        return f"Mechanism({', '.join(f'{name}={value!r}' for name, value in values.items())})"

    @property
    def sampler(self) -> Sampler:
        """How a step draws its records."""
        if self.q == 1:
            return "full batch"
        return "poisson" if self.capacity >= self.n else "truncated poisson"

    @property
    def expected_batch(self) -> float:
        """The expected number of records in a step: the divisor of every noised sum."""
        return self.n * self.q


def at_rate(settings: AnySettings, mechanisms: Sequence[Mechanism], budget: Budget) -> AnySettings:
    """`settings` whose Poisson draws include each record of `budget` with the largest q of `mechanisms`.

    Of settings whose `private.batch_size` is the number of records that a step expects.
    """
    # q times the new number, not the old batch times a ratio: a full batch stays exactly full.
    expected = max(mechanism.q for mechanism in mechanisms) * budget.known_population().records(budget.unit)
    held: Any = settings
    private = held.private.model_copy(update={"batch_size": expected})
    return settings.model_copy(update={"private": private})


_ONE_QUERY = 100
_TRAINING = 5


def seeds_asked(mechanisms: Sequence[Mechanism]) -> int:
    """The fewest seeds of a row whose private parts are `mechanisms`, each seed with noise of its own.

    A row of single queries is cheap and hangs on one draw each: it takes 100 seeds. Trainings average their
    noise over steps and are dear: 5.
    """
    return _ONE_QUERY if all(mechanism.steps == 1 for mechanism in mechanisms) else _TRAINING
