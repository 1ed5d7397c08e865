"""The conditional GAN of the published study (Lange, Wenzlitschke and Rahm, Sensors 2024, 24(10):3052)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import child, generator
from pulseveil.generators import (
    Discriminates,
    FitsTogether,
    Generator,
    GeneratorSettings,
    Training,
    private_settings,
)
from pulseveil.generators.examples import ROWS, warn_of_collapse
from pulseveil.generators.private_settings import PrivateGAN
from pulseveil.privacy.budget import Budget, Mechanism, Unit, at_rate
from pulseveil.privacy.programs import DPGAN

if TYPE_CHECKING:
    from pulseveil.privacy.ledger import Entry

# Examples a CPU second in whole training steps at batch 8 on one thread of a 2020s x86-64 server.
_EXAMPLES_PER_SECOND = {"lstm": 900, "fcn": 1700, "transformer": 680}
# The large batches of a private training take less time an example, and so do its narrow layers.
_LARGE_BATCHES = 1.5
_PUBLIC_QUANTITIES = (
    "number of people",
    "windows of a person",
    "shares of the conditions",
    "diversity bound",
)


class CGANSettings(GeneratorSettings):
    """Settings of `cgan`; the defaults are the published ones."""

    discriminator: Literal["lstm", "fcn", "transformer"] = Field("lstm", description="discriminator network")
    steps: int = Field(57_120, gt=0, description="updates of each network (published: 420 epochs of 136)")
    batch_size: int = Field(8, gt=0, multiple_of=2, description="real windows in a step")
    learning_rate: float = Field(2e-4, gt=0, description="Adam's rate, both networks")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient")
    diversity: Literal["published", "effective"] = Field(
        "published", description="diversity term: without gradient as published, or with it"
    )
    diversity_weight: float = Field(8, ge=0, description="weight of the diversity term")
    diversity_bound: float | None = Field(
        None, gt=0, description="where `effective` ends; default: the diversity of the training windows"
    )
    output: Literal["relu", "linear"] = Field(
        "relu", description="relu for windows in [0, 1], linear where values can be negative"
    )
    leaky_slope: float = Field(0.3, ge=0, description="slope of the leaky ReLU below 0")
    selection: Literal["last", "two_sample"] = Field(
        "last", description="parameters kept: the last, or the best by a two-sample test on training windows"
    )
    private: PrivateGAN = Field(
        PrivateGAN(), description="private: how it is trained; `steps`, `batch_size` and rate count there"
    )


class CGAN(Generator, FitsTogether, Discriminates):
    """A trained generator network."""

    Settings: ClassVar[type[GeneratorSettings]] = CGANSettings
    title: ClassVar[str] = "cGAN"
    colour: ClassVar[str] = "#0072B2"
    version: ClassVar[int] = 2
    uses_tensorflow: ClassVar[bool] = True
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    programs: ClassVar[tuple[int, ...]] = (DPGAN,)

    def __init__(
        self,
        settings: CGANSettings,
        parameters: list[NDArray[np.float32]],
        ledger: tuple[Entry, ...] = (),
        discriminator: Sequence[NDArray[np.float32]] = (),
    ) -> None:
        self._settings, self._parameters, self._ledger = settings, parameters, ledger
        self._discriminator = discriminator

    @classmethod
    def fit(cls, settings: CGANSettings, training: Training) -> Self:
        """Train on windows (n, time, channels); a resumed training ends in the same bits as an unbroken one.

        Raises InputError where `output` relu could never make the windows' values (a private training does
        not look), and for what `mechanisms` refuses.
        """
        if training.budget.is_private:
            return cls._fit_private(settings, training)
        (model,) = cls.fit_together(settings, [training], training.checkpoint)
        return model

    @classmethod
    def fit_together(
        cls, settings: CGANSettings, trainings: Sequence[Training], checkpoint: Checkpoint | None
    ) -> list[Self]:
        """Train one model per training in one program, none privately; a single one exactly as by `fit`.

        Several models' sums round differently than a single one's: a model's parameters after 20 steps are
        those of training it alone but for 1 in 10,000 of the way that they went. Rounding grows with the
        steps, as that of another CPU does. Warns of mode collapse.
        """
        for training in trainings:
            if settings.output == "relu" and training.windows.min() < 0:
                raise InputError(
                    "cgan: output relu makes no negative values, but the windows reach "
                    f"{training.windows.min():.3g}; set output: linear"
                )
        # Plans import this module for its settings: what imports TensorFlow, for seconds, is imported here.
        from pulseveil.generators.cgan.training import Data, train

        data = [Data(each.windows, each.condition.astype(np.int32), each.stream) for each in trainings]
        trained = train(settings, data, trainings[0].classes, checkpoint)
        models = [cls(settings, generator, (), discriminator) for generator, discriminator in trained]
        for model, training in zip(models, trainings, strict=True):
            model._look_at_samples(training)
        return models

    @classmethod
    def _fit_private(cls, settings: CGANSettings, training: Training) -> Self:
        from pulseveil.generators.cgan.networks import Shape
        from pulseveil.generators.cgan.training import ConditionalAdversaries, objective_of
        from pulseveil.generators.private_training import train_privately

        private, (mechanism,) = settings.private, cls.mechanisms(settings, training.budget)
        adversaries = ConditionalAdversaries(
            objective_of(settings)._replace(learning_rate=private.learning_rate),
            Shape(training.classes, *training.windows.shape[1:]),
            private.width_divisor,
            # Without a bound the published term is in force, which has no gradient.
            settings.diversity_bound or 0.0,
        )
        trained, entry = train_privately(
            adversaries, training, private=private, mechanism=mechanism, public_quantities=_PUBLIC_QUANTITIES
        )
        return cls(settings, trained.generator, (entry,), trained.discriminator)

    @staticmethod
    def mechanisms(settings: CGANSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """The discriminator's mechanism in a private training; the generator has none of its own.

        Raises InputError for settings that look at real windows beside its noised sums.
        """
        if settings.selection != "last":
            raise InputError(
                f"cgan: selection {settings.selection} compares with real windows, at no noise; "
                "private: use selection last"
            )
        if settings.diversity == "effective" and settings.diversity_bound is None:
            raise InputError(
                "cgan: diversity effective takes its bound from the training windows, at no noise; "
                "private: give diversity_bound, for example from simulated cohorts"
            )
        return (private_settings.discriminator_mechanism("cgan", settings.private, budget),)

    @classmethod
    def audited_settings(cls, settings: CGANSettings, claimed: Budget, audited: Budget) -> CGANSettings:
        """The settings whose draws within `audited` have the q of those within `claimed`."""
        return at_rate(settings, cls.mechanisms(settings, claimed), audited)

    @property
    def ledger(self) -> tuple[Entry, ...]:
        """The entry of a private training; empty for others, and for models read from arrays."""
        return self._ledger

    @staticmethod
    def expected_seconds(settings: CGANSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of a training; the number of windows does not matter."""
        rate = float(_EXAMPLES_PER_SECOND[settings.discriminator])
        if private is None:
            return settings.steps * settings.batch_size / rate
        rate *= _LARGE_BATCHES * settings.private.width_divisor
        return private_settings.expected_examples(settings.private, rows, private) / rate

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that one window is made from."""
        from pulseveil.generators.cgan.networks import NOISE_SIZE

        return NOISE_SIZE

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), made from noise (n, noise_size)."""
        from pulseveil.generators.cgan.networks import sampler

        run = sampler(self._settings.leaky_slope, self._settings.output)
        windows: NDArray[np.float32] = run(self._parameters, noise, condition.astype(np.int32)).numpy()
        return windows

    def realness(self, windows: NDArray[np.float32], condition: NDArray[np.int8]) -> NDArray[np.float32]:
        """Logits (n) by which the discriminator of this training takes windows (n, time, channels) for real.

        Raises ValueError for a model that was read from arrays: a discriminator is never stored.
        """
        from pulseveil.generators.cgan.networks import discriminator

        if not self._discriminator:
            raise ValueError("cgan: the discriminator is not stored; ask a model that has just been trained")
        run = discriminator(self._settings.discriminator)
        logits: NDArray[np.float32] = run(self._discriminator, windows, condition.astype(np.int32)).numpy()
        return logits

    def _look_at_samples(self, learnt_from: Training) -> None:
        """Warn where windows of a condition are nearly all the same one."""
        stream = child(learnt_from.stream, "samples")
        shape = (ROWS, self.noise_size)
        noise = generator(child(stream, "noise")).standard_normal(shape, dtype=np.float32)
        for code in np.unique(learnt_from.condition):
            made = self.sample(np.full(ROWS, code, np.int8), noise)
            real = learnt_from.windows[learnt_from.condition == code]
            warn_of_collapse(f"cgan: condition {code}", made, real, stream)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The generator network's parameters by name."""
        from pulseveil.generators.cgan.networks import GENERATOR_PARAMETERS

        return dict(zip(GENERATOR_PARAMETERS, self._parameters, strict=True))

    @classmethod
    def from_arrays(cls, settings: CGANSettings, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The generator whose `arrays()` these are."""
        from pulseveil.generators.cgan.networks import GENERATOR_PARAMETERS

        return cls(settings, [arrays[name] for name in GENERATOR_PARAMETERS])
