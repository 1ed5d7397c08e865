"""The one mechanism of every private training: noised sums of clipped records.

Sampler and accountant read the same object, so that what runs and what is accounted cannot differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pulseveil.privacy.budget import Budget, Unit
from pulseveil.settings import Settings

AnySettings = TypeVar("AnySettings", bound=Settings)
Sampler = Literal["full batch", "poisson", "truncated poisson"]


@dataclass(frozen=True)
class Mechanism:
    """`steps` Gaussian mechanisms on sums of records, each record clipped to L2 norm `clip_norm`.

    unit: what one record is. n: public number of records. q: probability with which a step includes a record;
    1 means all of them. room: the most records that a step can hold (n for a full batch); a larger draw is
    cut to a uniformly random subset. noise_multiplier: standard deviation of the noise on the sum, divided by
    `clip_norm`. Neighbouring data sets differ in one record, whose contribution is zero in one of them.
    """

    name: str
    unit: Unit
    n: int
    q: float
    room: int
    steps: int
    clip_norm: float
    noise_multiplier: float

    def __post_init__(self) -> None:
        checks = {
            "n": self.n > 0,
            "q": 0 < self.q <= 1,
            "room": self.room > 0,
            "steps": self.steps > 0,
            "clip_norm": self.clip_norm > 0,
            "noise_multiplier": self.noise_multiplier > 0,
        }
        for name, holds in checks.items():
            if not holds:
                raise ValueError(f"mechanism {self.name}: {name} {getattr(self, name)} is out of range")
        if self.q == 1 and self.room < self.n:
            raise ValueError(f"mechanism {self.name}: a full batch of {self.n} needs room for all of them")

    @property
    def sampler(self) -> Sampler:
        """How a step draws its records."""
        if self.q == 1:
            return "full batch"
        return "poisson" if self.room >= self.n else "truncated poisson"

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
