"""DGAN: DoppelGANger (Lin et al., IMC 2020) as the published study uses it, and with a private training."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pulseveil.core.errors import InputError
from pulseveil.generators import FitsTogether, GeneratorKind, GeneratorSettings, private_settings
from pulseveil.generators.private_settings import PrivateDGAN
from pulseveil.privacy.budget import Budget, Mechanism, Unit, at_rate
from pulseveil.privacy.programs import DPGAN

# CPU seconds of 1,000 windows in a step with the published sizes on one thread of a 2020s x86-64 server, and
# of compiling.
_SECONDS_PER_1000_WINDOWS, _COMPILE_SECONDS = 0.035, 6
# Those of a private training with 50 units a layer, a quarter of the published ones.
_PRIVATE_SECONDS_PER_1000_WINDOWS, _PRIVATE_COMPILE_SECONDS = 0.02, 6


class DGANSettings(GeneratorSettings):
    """Settings of `dgan`; the defaults are the published ones, but for the gradient penalty."""

    labels: Literal["channel", "conditional"] = Field(
        "channel",
        description="channel: as published, the condition is one more signal that is learnt with the others; "
        "conditional: it is told to both networks",
    )
    candidates: int = Field(
        32,
        gt=0,
        description="labels channel: windows made for one that is asked for; the first whose label signal "
        "starts with the asked condition is taken, and where none does, the one nearest to it",
    )
    penalty: Literal["each_window", "published"] = Field(
        "each_window",
        description="norm that the gradient penalty drives to 1: of each window's gradient, or, as "
        "published, of all gradients of a batch together",
    )
    penalty_weight: float = Field(10, ge=0, description="weight of the gradient penalty")
    noise: int = Field(10, gt=0, description="normal numbers that enter each step of the LSTM")
    units: int = Field(100, gt=0, description="units of the generator's LSTM")
    sample_length: int | None = Field(
        None,
        gt=0,
        description="values of each signal that a step of the LSTM makes; default: the whole window in one "
        "step, as published",
    )
    discriminator_units: int = Field(200, gt=0, description="units of each hidden layer of the discriminator")
    discriminator_layers: int = Field(5, gt=0, description="hidden layers of the discriminator")
    epochs: int = Field(10_000, gt=0, description="passes over the training windows")
    batch_size: int = Field(
        1000, gt=1, description="real windows in an update; the last of a pass has what is left"
    )
    learning_rate: float = Field(1e-4, gt=0, description="Adam's rate, both networks")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient")
    private: PrivateDGAN = Field(
        PrivateDGAN(),
        description="private: how it is trained; `steps`, `batch_size` and rate count there, `epochs` do not",
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
        """The discriminator's mechanism in a private training; the generator has none of its own.

        Labels may be a channel: then they are part of the record and clipped with it, and how often a
        condition is made is learnt from the noised sums like everything else. Raises InputError for a
        penalty that mixes records.
        """
        if settings.penalty == "published":
            raise InputError(
                "dgan: penalty published adds up the gradients of all windows of a batch, so that no single "
                "record's part can be bounded; private: use penalty each_window"
            )
        return (private_settings.discriminator_mechanism("dgan", settings.private, budget),)

    @classmethod
    def audited_settings(cls, settings: DGANSettings, claimed: Budget, audited: Budget) -> DGANSettings:
        """The settings whose draws within `audited` have the q of those within `claimed`."""
        return at_rate(settings, cls.mechanisms(settings, claimed), audited)

    @staticmethod
    def expected_seconds(settings: DGANSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of a training on `rows` windows of the published size."""
        if private is not None:
            seen = private_settings.expected_examples(settings.private, rows, private)
            return _PRIVATE_COMPILE_SECONDS + seen / 1000 * _PRIVATE_SECONDS_PER_1000_WINDOWS
        return _COMPILE_SECONDS + settings.epochs * rows / 1000 * _SECONDS_PER_1000_WINDOWS
