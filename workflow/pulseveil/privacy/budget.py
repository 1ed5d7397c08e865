"""What one training may spend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pulseveil.errors import InputError

Unit = Literal["subject", "window"]


@dataclass(frozen=True)
class Budget:
    """(epsilon, delta) at a unit of protection; epsilon infinity means that nothing is protected."""

    epsilon: float
    delta: float
    unit: Unit

    @property
    def is_private(self) -> bool:
        """Whether the training must be differentially private."""
        return math.isfinite(self.epsilon)

    def refuse_private(self, model: str) -> None:
        """Raise InputError when a model without a private training is asked for one."""
        if self.is_private:
            raise InputError(
                f"{model}: no private training is known for it; use epsilon inf, not {self.epsilon}"
            )


NOT_PRIVATE = Budget(math.inf, 1e-5, "subject")
