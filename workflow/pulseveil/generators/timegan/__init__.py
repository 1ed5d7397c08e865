"""TimeGAN (Yoon, Jarrett and van der Schaar, NeurIPS 2019): one model per condition or, private, for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from pulseveil.core.errors import InputError
from pulseveil.generators import FitsTogether, GeneratorKind, GeneratorSettings, private_settings
from pulseveil.generators.private_settings import PrivateTimeGAN, expected_embedded, timegan_mechanisms
from pulseveil.privacy.budget import Budget, Mechanism, Unit, at_rate
from pulseveil.privacy.programs import DPGAN, DPSGD

# CPU seconds per step with the published sizes, and of the compilation.
_EMBEDDING_SECONDS, _SUPERVISED_SECONDS, _JOINT_SECONDS = 0.022, 0.0105, 0.22
_COMPILE_SECONDS = 52
_PUBLISHED_CELLS = 128 * 10  # batch size times hidden units
# CPU seconds per window of a private step of the embedder (all windows of a person are one pass) and of the
# discriminator, and of the compilation.
_EMBEDDED_SECONDS: Mapping[Unit, float] = {"window": 4.2e-4, "subject": 1.7e-4}
_JUDGED_SECONDS, _PRIVATE_COMPILE_SECONDS = 1.4e-4, 50
_OF_FAKE = 4.3


class TimeGANSettings(GeneratorSettings):
    """Settings of `timegan`; the defaults are the published ones, except `training`."""

    training: Literal["each_class", "published"] = Field(
        "each_class",
        description="each_class: one model per condition; published: one model of the windows without "
        "stress, which then synthesizes windows labelled stress, too",
    )
    hidden: int = Field(10, gt=0, description="units of each GRU layer and of the latent sequences")
    layers: int = Field(3, gt=1, description="GRU layers of each network; the supervisor has one fewer")
    embedding_steps: int = Field(2000, gt=0, description="updates of embedder and recovery alone")
    supervised_steps: int = Field(1000, gt=0, description="updates of the supervisor alone")
    joint_steps: int = Field(
        6000, gt=0, description="joint steps: two updates of the other networks, one of the discriminator"
    )
    batch_size: int = Field(128, gt=1, description="real windows per update")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate, all networks")
    private: PrivateTimeGAN = Field(
        PrivateTimeGAN(),
        description="private training; of the keys above, it uses only `hidden` and `layers`",
    )


class TimeGAN(GeneratorKind, FitsTogether):
    """The kind `timegan`, whose models are one TimeGAN per condition or, private, one for all."""

    Settings: ClassVar[type[GeneratorSettings]] = TimeGANSettings
    title: ClassVar[str] = "TimeGAN"
    colour: ClassVar[str] = "#CC79A7"
    version: ClassVar[int] = 2
    uses_tensorflow: ClassVar[bool] = True
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    model: ClassVar[str] = "pulseveil.generators.timegan.model:TimeGANModel"
    programs: ClassVar[tuple[int, ...]] = (DPSGD, DPGAN)
    private_differences: ClassVar[tuple[str, ...]] = (
        "one model for all conditions, which reads the condition, instead of one per condition",
        "two trainings (embedding with supervisor, then adversaries) instead of three phases",
        "losses of single windows; no moment loss, which compares batches",
        "Poisson samples of records instead of shuffled passes",
        "steps, batch and learning rate of `private`",
        "windows scaled by a public range",
    )

    @staticmethod
    def mechanisms(settings: TimeGANSettings, budget: Budget) -> tuple[Mechanism, Mechanism]:
        """The mechanisms of a private training: of embedder, recovery and supervisor; of the discriminator.

        Raises:
            InputError: `training` is published, whose model reads no stress; or the backend is
                tensorflow_privacy.
        """
        if settings.training == "published":
            raise InputError(
                "timegan: training published synthesizes stress by a model of other windows; for a private "
                "training, use training each_class, which then is one model that reads the condition"
            )
        return timegan_mechanisms(settings.private, budget)

    @classmethod
    def audited_settings(cls, settings: TimeGANSettings, claimed: Budget, audited: Budget) -> TimeGANSettings:
        """The settings with the batch size that gives within `audited` the sampling rate of `claimed`."""
        return at_rate(settings, cls.mechanisms(settings, claimed), audited)

    @staticmethod
    def expected_seconds(settings: TimeGANSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of a training for two conditions; `rows` matter to a private training only."""
        if private is not None:
            return _private_seconds(settings, rows, private)
        steps = (
            settings.embedding_steps * _EMBEDDING_SECONDS
            + settings.supervised_steps * _SUPERVISED_SECONDS
            + settings.joint_steps * _JOINT_SECONDS
        )
        models = 2 if settings.training == "each_class" else 1
        cells = settings.batch_size * settings.hidden / _PUBLISHED_CELLS
        return settings.layers / 3 * (_COMPILE_SECONDS + models * cells * steps)


def _private_seconds(settings: TimeGANSettings, rows: int, unit: Unit) -> float:
    """Expected CPU seconds of a private training on `rows` windows."""
    private = settings.private
    judged = private_settings.expected_examples(private.adversarial, rows, unit, _OF_FAKE)
    steps = expected_embedded(private, rows, unit) * _EMBEDDED_SECONDS[unit] + judged * _JUDGED_SECONDS
    return settings.layers / 3 * (_PRIVATE_COMPILE_SECONDS + settings.hidden / 10 * steps)
