"""The base of all typed settings: frozen, closed to unknown keys, and of numbers that mean something."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

# Beyond these no number of a study means anything, while sizes, powers and sums of it overflow.
SMALLEST, LARGEST = 1e-12, 1e9


class Settings(BaseModel):
    """Settings of one part of a study; an unknown key, a wrong type or an extreme number is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)

    @model_validator(mode="after")
    def _within_range(self) -> Self:
        for name, value in self:
            for number in _numbers(value):
                if math.isfinite(number) and number and not SMALLEST <= abs(number) <= LARGEST:
                    # Roots of seed trees name, and are no quantities.
                    if "seed" in name and number >= 0:
                        continue
                    raise ValueError(
                        f"{name}: expected 0 or a number from {SMALLEST:g} to {LARGEST:g}, found {number:.6g}"
                    )
        return self


def _numbers(value: Any) -> Iterator[float]:
    """The numbers in a value or in a list of values."""
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, (int, float)):
            yield item
