"""What one training may spend, on whom, and what it may know of them beforehand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pulseveil.errors import InputError
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
