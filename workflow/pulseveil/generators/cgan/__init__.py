"""Conditional GAN of the published study (Lange, Wenzlitschke and Rahm, Sensors 2024, 24(10):3052)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pulseveil.core.errors import InputError
from pulseveil.generators import (
    Discriminates,
    FitsTogether,
    GeneratorKind,
    GeneratorSettings,
    private_settings,
)
from pulseveil.generators.private_settings import PrivateGAN
from pulseveil.privacy.budget import Budget, Mechanism, Unit, at_rate
from pulseveil.privacy.programs import DPGAN

# Training examples per CPU second (whole steps, batch 8).
_EXAMPLES_PER_SECOND = {"lstm": 480, "fcn": 900, "transformer": 240}
# The large batches and narrow layers of a private training take less time per real window. A synthetic window
# passes the generator, which has its published width.
_LARGE_BATCHES, _OF_FAKE = 7, 12


class CGANSettings(GeneratorSettings):
    """Settings of `cgan`; the defaults are the published ones."""

    discriminator: Literal["lstm", "fcn", "transformer"] = Field("lstm", description="discriminator network")
    steps: int = Field(57_120, gt=0, description="updates of each network (published: 420 epochs of 136)")
    # Even: the diversity term compares one half of the batch with the other.
    batch_size: int = Field(8, gt=0, multiple_of=2, description="real windows per step")
    learning_rate: float = Field(2e-4, gt=0, description="Adam's learning rate")
    discriminator_learning_rate: float | None = Field(
        None, gt=0, description="learning rate of the discriminator; default: learning_rate"
    )
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient")
    diversity: Literal["published", "effective"] = Field(
        "published", description="diversity term: published has no gradient, effective has one"
    )
    diversity_weight: float = Field(8, ge=0, description="weight of the diversity term")
    diversity_bound: float | None = Field(
        None,
        gt=0,
        description="largest value that diversity `effective` rewards; default: the diversity of the "
        "training windows",
    )
    output: Literal["relu", "linear"] = Field(
        "relu", description="relu for windows in [0, 1], linear where values can be negative"
    )
    leaky_slope: float = Field(0.3, ge=0, description="slope of the leaky ReLU below 0")
    selection: Literal["last", "two_sample"] = Field(
        "last",
        description="generator that is kept: the last, or the best by a two-sample test on training windows",
    )
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="weight of the past in the average of the generator's parameters that is kept; "
        "0: keep the last parameters",
    )
    private: PrivateGAN = Field(
        PrivateGAN(),
        description="private training, whose `steps`, `batch_size` and `learning_rate` (of both networks) "
        "replace those above",
    )


class CGAN(GeneratorKind, FitsTogether, Discriminates):
    """The kind `cgan`, whose models are generator networks."""

    Settings: ClassVar[type[GeneratorSettings]] = CGANSettings
    title: ClassVar[str] = "cGAN"
    colour: ClassVar[str] = "#0072B2"
    version: ClassVar[int] = 2
    uses_tensorflow: ClassVar[bool] = True
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    model: ClassVar[str] = "pulseveil.generators.cgan.model:CGANModel"
    programs: ClassVar[tuple[int, ...]] = (DPGAN,)
    private_differences: ClassVar[tuple[str, ...]] = (
        "Poisson samples of records instead of shuffled passes",
        "steps, batch, learning rate and discriminator width of `private`",
        "`private.discriminator_steps` updates of the discriminator per update of the generator",
        "`private.fakes` synthetic windows per step, with public shares of the conditions",
        "gradients of synthetic windows are clipped, too",
        "no selection of the best generator",
    )

    @staticmethod
    def mechanisms(settings: CGANSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """The mechanism of the discriminator in a private training; the generator reads no real windows.

        Raises:
            InputError: a setting reads real windows without noise, or the backend is tensorflow_privacy.
        """
        if settings.selection != "last":
            raise InputError(
                f"cgan: selection {settings.selection} compares synthetic with real windows without noise; "
                "for a private training, use selection last"
            )
        if settings.average:
            raise InputError(
                "cgan: a private training keeps the last parameters of the generator; "
                "for a private training, set average: 0"
            )
        if settings.diversity == "effective" and settings.diversity_bound is None:
            raise InputError(
                "cgan: diversity effective takes its bound from the training windows without noise; "
                "for a private training, set diversity_bound, for example from simulated cohorts"
            )
        return (private_settings.discriminator_mechanism("cgan", settings.private, budget),)

    @classmethod
    def audited_settings(cls, settings: CGANSettings, claimed: Budget, audited: Budget) -> CGANSettings:
        """The settings with the batch size that gives within `audited` the sampling rate of `claimed`."""
        return at_rate(settings, cls.mechanisms(settings, claimed), audited)

    @staticmethod
    def expected_seconds(settings: CGANSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of a training; `rows` matter to a private training only."""
        rate = float(_EXAMPLES_PER_SECOND[settings.discriminator])
        if private is None:
            return settings.steps * settings.batch_size / rate
        rate *= _LARGE_BATCHES * settings.private.width_divisor
        return private_settings.expected_examples(settings.private, rows, private, _OF_FAKE) / rate
