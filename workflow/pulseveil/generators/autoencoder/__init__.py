"""Conditional variational autoencoder of a few values per window, with or without privacy."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from pulseveil.core.errors import InputError
from pulseveil.generators import GeneratorKind, GeneratorSettings
from pulseveil.generators.private_moments import COSINES
from pulseveil.generators.private_settings import PrivateAutoencoder, autoencoder_mechanism, expected_rows
from pulseveil.privacy.budget import Budget, Mechanism, Unit, at_rate
from pulseveil.privacy.programs import DPSGD

# CPU seconds of a training without its steps, of a step (private step) without its windows, and of a window
# in a step. Compilation is not counted: all trainings of a process share one or two of some seconds each.
_FIXED_SECONDS, _STEP_SECONDS, _PRIVATE_STEP_SECONDS, _WINDOW_SECONDS = 0.35, 6e-4, 8.5e-4, 1.1e-6


class AutoencoderSettings(GeneratorSettings):
    """Settings of `autoencoder`."""

    # These defaults and those of `private`: one setting for all budgets, near the best of each on simulated
    # cohorts (tests/benchmarks/private_autoencoder.py).
    coefficients: int = Field(
        1, gt=0, lt=COSINES, description="slow cosine coefficients learnt per channel; 1: only the mean"
    )
    hidden: int = Field(8, gt=0, description="units of the hidden layer of encoder and of decoder")
    latent: int = Field(2, gt=0, description="latent values per window")
    kl_weight: float = Field(
        1.0, gt=0, description="weight of the divergence of the latent values from the standard normal"
    )
    steps: int = Field(1000, gt=0, description="training steps")
    batch_size: int = Field(128, gt=0, description="expected windows per step")
    learning_rate: float = Field(1e-2, gt=0, description="Adam's learning rate")
    centre: float = Field(
        0.0,
        description="value of the windows at rest: 0 for scaling calibration, 0.5 for other scalings",
    )
    unit: float = Field(
        1.0,
        gt=0,
        description="a change that matters: 1 for scaling calibration, 0.25 for other scalings",
    )
    private: PrivateAutoencoder = Field(
        PrivateAutoencoder(),
        description="private training, whose `steps`, `batch_size` and `learning_rate` replace those above",
    )


class Autoencoder(GeneratorKind):
    """The kind `autoencoder`, whose models are decoders of the values of windows."""

    Settings: ClassVar[type[GeneratorSettings]] = AutoencoderSettings
    title: ClassVar[str] = "Autoencoder"
    colour: ClassVar[str] = "#E69F00"
    version: ClassVar[int] = 1
    uses_tensorflow: ClassVar[bool] = True
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    model: ClassVar[str] = "pulseveil.generators.autoencoder.model:AutoencoderModel"
    programs: ClassVar[tuple[int, ...]] = (DPSGD,)
    private_differences: ClassVar[tuple[str, ...]] = (
        "steps, batch, learning rate and optimizer of `private`",
        "public shares of the conditions",
    )

    @staticmethod
    def mechanisms(settings: AutoencoderSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """The mechanism of a private training.

        Raises:
            InputError: the backend is tensorflow_privacy.
        """
        if budget.backend == "tensorflow_privacy":
            raise InputError(
                "autoencoder: tensorflow-privacy cannot train an autoencoder; use dp_backend fast"
            )
        return (autoencoder_mechanism(settings.private, budget),)

    @classmethod
    def audited_settings(
        cls, settings: AutoencoderSettings, claimed: Budget, audited: Budget
    ) -> AutoencoderSettings:
        """The settings with the batch size that gives within `audited` the sampling rate of `claimed`."""
        return at_rate(settings, cls.mechanisms(settings, claimed), audited)

    @staticmethod
    def expected_seconds(settings: AutoencoderSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows."""
        seen = float(settings.steps * min(settings.batch_size, rows))
        steps = settings.steps * _STEP_SECONDS
        if private is not None:
            seen = expected_rows(settings.private, rows, private)
            steps = settings.private.steps * _PRIVATE_STEP_SECONDS
        return _FIXED_SECONDS + steps + seen * _WINDOW_SECONDS
