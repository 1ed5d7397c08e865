"""Private training of the autoencoder: public settings and the mechanism."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pulseveil.privacy import accounting
from pulseveil.privacy.budget import Budget, Unit
from pulseveil.privacy.mechanism import Mechanism
from pulseveil.settings import Settings

PUBLIC_QUANTITIES = (
    "number of people",
    "windows of a person",
    "shares of the conditions",
    "unit, range and spectrum of the channels",
)


class PrivateAutoencoder(Settings):
    """How a private autoencoder is trained."""

    steps: int = Field(50, gt=0, description="noised steps")
    batch_size: float = Field(
        500, ge=1, description="unit window: expected windows of a step (unit subject: always all people)"
    )
    learning_rate: float = Field(0.03, gt=0, description="step size")
    clip_norm: float = Field(0.1, gt=0, description="largest norm of one record's gradient")
    optimizer: Literal["adam", "sgd"] = Field("adam", description="what follows the noised gradient")


def autoencoder_mechanism(private: PrivateAutoencoder, budget: Budget) -> Mechanism:
    """The mechanism of a training within `budget`: Poisson draws of windows, or all people in each step."""
    n = budget.known_population().records(budget.unit)
    q = min(1.0, private.batch_size / n) if budget.unit == "window" else 1.0
    return accounting.calibrate(
        budget, name="autoencoder", n=n, q=q, room=n, steps=private.steps, clip_norm=private.clip_norm
    )


def expected_rows(private: PrivateAutoencoder, windows: int, unit: Unit) -> float:
    """How many windows a training on `windows` windows is expected to process."""
    return private.steps * (windows if unit == "subject" else min(private.batch_size, windows))
