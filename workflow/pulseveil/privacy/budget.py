"""Budgets of private trainings, and the mechanisms that spend them.

A mechanism is a number of noised sums of clipped records. Sampler and accountant read the same object, so
that what runs is what is accounted.
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
    """Public constants of a training set: they come from the plan and are never computed from data.

    `subjects` people with about `windows_per_subject` windows each, of which `stress_share` are stress.
    """

    subjects: int
    windows_per_subject: int
    stress_share: float

    def records(self, unit: Unit) -> int:
        """Public number of records at a unit.

        Examples:
            >>> people = Population(subjects=14, windows_per_subject=35, stress_share=0.28)
            >>> people.records("subject"), people.records("window")
            (14, 490)
        """
        return self.subjects * (self.windows_per_subject if unit == "window" else 1)


@dataclass(frozen=True)
class Budget:
    """(epsilon, delta) of one training at a unit; epsilon infinity means that nothing is protected.

    A private training also needs the public constants `population` and, once it runs, its source of `noise`.
    `backend` names the optimizer of private networks.
    """

    epsilon: float
    delta: float
    unit: Unit
    population: Population | None = None
    # None in plans: a key exists only while its training runs.
    noise: Noise | None = None
    backend: Backend = "fast"

    @property
    def is_private(self) -> bool:
        """Whether the training must be differentially private."""
        return math.isfinite(self.epsilon)

    def refuse_private(self, model: str, why: str = "") -> None:
        """Refuse a private budget for a model that has no private training.

        Args:
            why: the reason why it has none.

        Raises:
            InputError: the budget is private.
        """
        if self.is_private:
            reason = f" ({why})" if why else ""
            raise InputError(
                f"{model}: no private training is known for it{reason}; use epsilon inf, not {self.epsilon}"
            )

    def known_population(self) -> Population:
        """Public constants of the training set.

        Raises:
            ValueError: the budget has none.
        """
        if self.population is None:
            raise ValueError("a private budget needs the public constants of its population; found None")
        return self.population

    def noise_source(self) -> Noise:
        """Source of noise and draws.

        Raises:
            ValueError: the budget has none.
        """
        if self.noise is None:
            raise ValueError("a private training needs a source of noise; found None")
        return self.noise


NOT_PRIVATE = Budget(math.inf, 1e-5, "subject")


AnySettings = TypeVar("AnySettings", bound=Settings)
Sampler = Literal["full batch", "poisson", "truncated poisson"]


@dataclass(frozen=True)
class Mechanism:
    """Gaussian mechanisms: `steps` noised sums of records, each record clipped to L2 norm `clip_norm`.

    Args:
        unit: what one record is.
        n: public number of records.
        q: sampling rate, the probability with which a step includes a record; 1 for full batches.
        capacity: the most records of one step; a larger draw is cut to a uniformly random subset.
        noise_multiplier: standard deviation of the noise on the sum, divided by `clip_norm`.

    Raises:
        ValueError: a number is not positive, q is above 1, or a full batch exceeds the capacity.

    Guarantee:
        A description, from which `privacy.accounting` computes epsilon. Neighbouring data sets differ in one
        record of the unit, whose contribution is zero in one of them; n and the divisor stay the same, so
        that taking part is not hidden. It holds for programs that sample, clip and noise as described; the
        number of noised steps is checked by `privacy.ledger`.
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
        # A full batch has no draw that could be cut: the accountants take its sum as that of all n records.
        if self.q == 1 and self.capacity < self.n:
            raise ValueError(
                f"mechanism {self.name}: capacity {self.capacity}; expected {self.n} or more for full batches"
            )

    def __repr__(self) -> str:
        # Fingerprints hash this text, and noise is derived from fingerprints: the capacity keeps its first
        # name, or no stored training could resume and reproducible noise would change.
        values = {item.name.replace("capacity", "room"): getattr(self, item.name) for item in fields(self)}
        return f"Mechanism({', '.join(f'{name}={value!r}' for name, value in values.items())})"

    @property
    def sampler(self) -> Sampler:
        """Sampling scheme of a step: all records, Poisson draws, or Poisson draws cut to the capacity."""
        if self.q == 1:
            return "full batch"
        return "poisson" if self.capacity >= self.n else "truncated poisson"

    @property
    def expected_batch(self) -> float:
        """Expected number of records per step, by which every noised sum is divided."""
        # The size of the draw itself would tell of the draw, which amplification by sampling needs secret.
        return self.n * self.q


def at_rate(settings: AnySettings, mechanisms: Sequence[Mechanism], budget: Budget) -> AnySettings:
    """Settings with the largest sampling rate of `mechanisms`, for the number of records of `budget`.

    An audit adds canaries to the records, and keeps the q of the claim in this way. For settings whose
    `private.batch_size` is the expected number of records per step.
    """
    # q times the new number, and not the old batch times a ratio: a full batch stays exactly full.
    expected = max(mechanism.q for mechanism in mechanisms) * budget.known_population().records(budget.unit)
    held: Any = settings
    private = held.private.model_copy(update={"batch_size": expected})
    return settings.model_copy(update={"private": private})


# Noise seeds per row, by the cost of one more.
_ONE_QUERY = 100
_TRAINING = 5


def seeds_asked(mechanisms: Sequence[Mechanism]) -> int:
    """Fewest seeds of a table row whose private parts are `mechanisms`, each seed with its own noise.

    Single queries are cheap, and the result of each depends on one noise draw: 100 seeds. Trainings average
    their noise over many steps, and are expensive: 5 seeds.
    """
    return _ONE_QUERY if all(mechanism.steps == 1 for mechanism in mechanisms) else _TRAINING
