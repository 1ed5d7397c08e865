"""DGAN: DoppelGANger (Lin et al., IMC 2020) as in the published study, and its private training."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pulseveil.core.errors import InputError
from pulseveil.generators import FitsTogether, GeneratorKind, GeneratorSettings, private_settings
from pulseveil.generators.private_settings import PrivateDGAN
from pulseveil.privacy.budget import Budget, Mechanism, Unit, at_rate
from pulseveil.privacy.programs import DPGAN

# CPU seconds per 1,000 windows in a step with the published sizes, and of the compilation.
_SECONDS_PER_1000_WINDOWS, _COMPILE_SECONDS = 0.075, 13
# The same of a private training with 50 units per layer, a quarter of the published width.
_PRIVATE_SECONDS_PER_1000_WINDOWS, _PRIVATE_COMPILE_SECONDS = 0.017, 13


class DGANSettings(GeneratorSettings):
    """Settings of `dgan`; the defaults are the published ones, except the gradient penalty."""

    labels: Literal["channel", "conditional"] = Field(
        "channel",
        description="channel: as published, the condition is one more signal that is learnt with the others; "
        "conditional: both networks read the condition",
    )
    candidates: int = Field(
        32,
        gt=0,
        description="labels channel: candidate windows per requested window; the first whose label signal "
        "starts with the requested condition is taken, otherwise the one nearest to it",
    )
    penalty: Literal["each_window", "published"] = Field(
        "each_window",
        description="norm that the gradient penalty drives to 1: each_window, that of each window's "
        "gradient, or published, that of all gradients of a batch together",
    )
    penalty_weight: float = Field(10, ge=0, description="weight of the gradient penalty")
    noise: int = Field(10, gt=0, description="normal numbers per step of the LSTM")
    units: int = Field(100, gt=0, description="units of the generator's LSTM")
    sample_length: int | None = Field(
        None,
        gt=0,
        description="values of each signal that one step of the LSTM gives; default: the whole window in one "
        "step, as published",
    )
    discriminator_units: int = Field(200, gt=0, description="units of each hidden layer of the discriminator")
    discriminator_layers: int = Field(5, gt=0, description="hidden layers of the discriminator")
    epochs: int = Field(10_000, gt=0, description="passes over the training windows")
    batch_size: int = Field(
        1000, gt=1, description="real windows per update; the last batch of a pass holds the remainder"
    )
    learning_rate: float = Field(1e-4, gt=0, description="Adam's learning rate, both networks")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient")
    private: PrivateDGAN = Field(
        PrivateDGAN(),
        description="private training, whose `steps`, `batch_size` and `learning_rate` replace `epochs`, "
        "`batch_size` and `learning_rate` above",
    )


class DGAN(GeneratorKind, FitsTogether):
    """The kind `dgan`, whose models are generator networks."""

    Settings: ClassVar[type[GeneratorSettings]] = DGANSettings
    title: ClassVar[str] = "DGAN"
    colour: ClassVar[str] = "#009E73"
    version: ClassVar[int] = 3
    uses_tensorflow: ClassVar[bool] = True
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    model: ClassVar[str] = "pulseveil.generators.dgan.model:DGANModel"
    programs: ClassVar[tuple[int, ...]] = (DPGAN,)
    private_differences: ClassVar[tuple[str, ...]] = (
        "Poisson samples of records instead of shuffled passes",
        "steps, batch, learning rate and discriminator width of `private`",
        "`private.discriminator_steps` updates of the discriminator per update of the generator",
        "`private.fakes` synthetic windows per step, with public shares of the conditions",
        "each real window is paired with a synthetic one, with a penalty per window",
        "windows scaled by a public range",
    )

    @staticmethod
    def mechanisms(settings: DGANSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """The mechanism of the discriminator in a private training; the generator reads no real windows.

        With `labels` channel, a label is part of its record and clipped with it. So the frequency of each
        condition is learnt from the noised sums, like everything else.

        Raises:
            InputError: the penalty mixes records, or the backend is tensorflow_privacy.
        """
        if settings.penalty == "published":
            raise InputError(
                "dgan: penalty published adds up the gradients of all windows of a batch, so that the part "
                "of a single record has no bound; for a private training, use penalty each_window"
            )
        return (private_settings.discriminator_mechanism("dgan", settings.private, budget),)

    @classmethod
    def audited_settings(cls, settings: DGANSettings, claimed: Budget, audited: Budget) -> DGANSettings:
        """The settings with the batch size that gives within `audited` the sampling rate of `claimed`."""
        return at_rate(settings, cls.mechanisms(settings, claimed), audited)

    @staticmethod
    def expected_seconds(settings: DGANSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of a training on `rows` windows of the published size."""
        if private is not None:
            seen = private_settings.expected_examples(settings.private, rows, private, of_fake=1)
            return _PRIVATE_COMPILE_SECONDS + seen / 1000 * _PRIVATE_SECONDS_PER_1000_WINDOWS
        return _COMPILE_SECONDS + settings.epochs * rows / 1000 * _SECONDS_PER_1000_WINDOWS
