"""How much an audit trains and guesses."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from pulseveil.core.settings import Settings
from pulseveil.privacy.budget import Unit

Part = Literal["generator", "detector"]
"""What is audited of a cell: each part has a claim of its own."""

FEWEST_TRAININGS = 3
"""Trainings that each side needs: one is tested, and two others say how much scores vary."""


FEWEST_REPETITIONS = 30
"""Of so many fair coins, less than three fall on one side once in a million times."""


class AuditSettings(Settings):
    """How much an audit trains and guesses: fixed before the first training.

    Few canaries in many runs suit small models, whose canaries disturb each other; many canaries in one run
    suit networks that are dear to train, and where even a membership attack is too dear, canaries are left.
    """

    trainings: int = Field(
        15, ge=0, description="trainings with a record, and without; 0, for detectors only: canaries alone"
    )
    canaries: int = Field(4, gt=0, description="canaries of one training, each included by a fair coin")
    guesses: int = Field(2, gt=0, description="canaries of one training whose coins are guessed")
    runs: int = Field(50, gt=0, description="trainings with canaries")
    repetitions: int = Field(100, ge=0, description="trainings with one and the same canary, or without it")
    windows_each: int = Field(4, gt=0, description="windows of a synthetic person")
    radius: float = Field(3.0, gt=0, description="standard deviations between a canary and the mean")
    released_subjects: int = Field(
        5,
        gt=0,
        description="synthetic subjects that an audited generator releases, or its evaluations' fewer",
    )

    @model_validator(mode="after")
    def _enough_of_a_side(self) -> Self:
        if 0 < self.trainings < FEWEST_TRAININGS:
            raise ValueError(
                f"{self.trainings} trainings of a side, at least {FEWEST_TRAININGS} are needed; give more, "
                "or 0 for canaries alone"
            )
        return self

    @model_validator(mode="after")
    def _few_guesses(self) -> Self:
        if self.guesses > self.canaries:
            raise ValueError(f"{self.guesses} guesses of {self.canaries} canaries; guess at most all of them")
        return self

    @model_validator(mode="after")
    def _both_sides(self) -> Self:
        if 0 < self.repetitions < FEWEST_REPETITIONS:
            raise ValueError(
                f"{self.repetitions} repetitions: coins decide which of them have the canary, and less than "
                f"{FEWEST_REPETITIONS} can leave too few of a side; give more, or 0"
            )
        return self

    def canary_people(self, unit: Unit) -> int:
        """How many people more than the cohort has a training with canaries must have capacity for."""
        return self.canaries if unit == "subject" else math.ceil(self.canaries / self.windows_each)

    def verdicts(self, unit: Unit, people: int, *, has_curve: bool, has_discriminator: bool = False) -> int:
        """How many verdicts of one model can fail a run: on canaries by epsilon and curve, on people."""
        on_canaries = (1 + has_discriminator) * (1 + has_curve) * (1 + (self.repetitions > 0))
        return on_canaries + (people if unit == "subject" and self.trainings else 0)

    def trained_models(self, part: Part, unit: Unit, people: int, *, has_discriminator: bool = False) -> int:
        """How many models the audit of one part trains on `people` people.

        Generators have `trainings` releases without canaries to compare with, and one release without each
        person; detectors and discriminators have one model without canaries for each kind of canary audit.
        """
        membership = self.trainings * (people + 1 if unit == "subject" else 2)
        with_canaries = self.runs + self.repetitions
        asked = with_canaries + 1 + (self.repetitions > 0)
        if part == "detector":
            return membership + asked
        released = membership + with_canaries + self.trainings + people
        return released + asked if has_discriminator else released
