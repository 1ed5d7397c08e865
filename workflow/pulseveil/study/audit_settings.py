"""Settings of audits: how many models an audit trains, and how many coins it guesses."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from pulseveil.core.settings import Settings
from pulseveil.privacy.budget import Unit

Part = Literal["generator", "detector"]
"""Audited part of a cell; each part has a claim of its own."""

FEWEST_TRAININGS = 3
"""Fewest trainings per side: one is attacked, and the spread of scores comes from two others."""


FEWEST_REPETITIONS = 30
"""Fewest repetitions: of 30 fair coins fewer than 3 fall on one side with probability 9e-7."""


class AuditSettings(Settings):
    """Sizes of an audit, fixed before its first training.

    Few canaries in many runs suit small models, in which canaries disturb each other. Many canaries in one
    run suit networks, whose trainings are expensive. With `trainings: 0` an audit has no membership attack,
    which needs the most trainings, and attacks canaries alone.
    """

    # Fixed beforehand: a size chosen after a look at the scores would void the confidence level of the bound.

    trainings: int = Field(
        15,
        ge=0,
        description="trainings with a record, and as many without it; 0 (detectors only): canaries alone",
    )
    membership: Literal["testing", "always"] = Field(
        "testing",
        description="membership attacks on people: not where the claim is above all that they can show "
        "(`testing`), or on every model (`always`)",
    )
    canaries: int = Field(4, gt=0, description="canaries per training, each included by a fair coin")
    guesses: int = Field(2, gt=0, description="canaries per training whose coins are guessed")
    runs: int = Field(50, gt=0, description="trainings with canaries")
    repetitions: int = Field(
        100,
        ge=0,
        description="trainings with or without one and the same canary, by fair coins; 0: none",
    )
    windows_each: int = Field(4, gt=0, description="windows per synthetic person")
    radius: float = Field(3.0, gt=0, description="standard deviations between a canary and the mean")
    released_subjects: int = Field(
        5,
        gt=0,
        description="most synthetic subjects that an audited generator releases",
    )

    @model_validator(mode="after")
    def _enough_of_a_side(self) -> Self:
        if 0 < self.trainings < FEWEST_TRAININGS:
            raise ValueError(
                f"{self.trainings} trainings per side, expected at least {FEWEST_TRAININGS}, or 0 for "
                "canaries alone"
            )
        return self

    @model_validator(mode="after")
    def _few_guesses(self) -> Self:
        if self.guesses > self.canaries:
            raise ValueError(
                f"{self.guesses} guesses of {self.canaries} canaries, expected at most {self.canaries}"
            )
        return self

    @model_validator(mode="after")
    def _both_sides(self) -> Self:
        if 0 < self.repetitions < FEWEST_REPETITIONS:
            raise ValueError(
                f"{self.repetitions} repetitions, expected at least {FEWEST_REPETITIONS}, or 0: coins decide "
                "which trainings have the canary, and with fewer coins one side can be too small"
            )
        return self

    def canary_people(self, unit: Unit) -> int:
        """People beyond the cohort for which a training with canaries must have capacity."""
        return self.canaries if unit == "subject" else math.ceil(self.canaries / self.windows_each)

    def membership_reach(self, delta: float) -> float:
        """Largest epsilon that a membership attack without an error can show, with 95 % confidence.

        Clopper-Pearson limits of n of n and of 0 of n trainings (Jagielski, Ullman and Oprea 2020).

        Examples:
            >>> round(AuditSettings(trainings=15).membership_reach(0.0), 2)
            1.28
        """
        least_true: float = 0.025 ** (1 / self.trainings) if self.trainings else 0.0
        return math.log((least_true - delta) / (1 - least_true)) if 2 * least_true > 1 + delta else 0.0

    def attacks_members(self, unit: Unit, epsilon: float, delta: float) -> bool:
        """Whether a model that claims (epsilon, delta) at `unit` is attacked by membership inference.

        A model without a claim is attacked, because its rows show what the attack finds without noise. So are
        single windows, whose attack has no verdict.
        """
        testable = epsilon < self.membership_reach(delta) or math.isinf(epsilon) or unit == "window"
        return self.trainings > 0 and (self.membership == "always" or testable)

    def verdicts(
        self,
        unit: Unit,
        people: int,
        *,
        has_curve: bool,
        has_discriminator: bool = False,
        has_membership: bool = True,
    ) -> int:
        """Number of verdicts on one model that can fail a run.

        has_curve: whether the claim has a trade-off curve, which is tested beside epsilon. has_discriminator:
        whether the discriminator is attacked beside the releases. has_membership: whether people are.
        """
        on_canaries = (1 + has_discriminator) * (1 + has_curve) * (1 + (self.repetitions > 0))
        return on_canaries + (people if unit == "subject" and self.trainings and has_membership else 0)

    def trained_models(
        self,
        part: Part,
        unit: Unit,
        people: int,
        *,
        has_discriminator: bool = False,
        has_membership: bool = True,
    ) -> int:
        """Number of models that the audit of one part trains on `people` people.

        The canary attack on a generator compares with `trainings` releases without canaries, and with one
        release without each person. The attack on a detector or discriminator needs one model without
        canaries per kind of canary attack.

        Examples:
            >>> AuditSettings(trainings=0, runs=50, repetitions=100).trained_models("detector", "subject", 15)
            152
        """
        compared = people + 1 if unit == "subject" else 2
        membership = self.trainings * compared if has_membership else 0
        with_canaries = self.runs + self.repetitions
        attacked = with_canaries + 1 + (self.repetitions > 0)
        if part == "detector":
            return membership + attacked
        released = membership + with_canaries + self.trainings + people
        # The discriminator is attacked in trainings of its own, besides those of the releases.
        return released + attacked if has_discriminator else released
