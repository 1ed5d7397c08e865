"""Training and sampling of `cgan` models. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import child, generator
from pulseveil.generators import GeneratorModel, Training
from pulseveil.generators.cgan import CGAN, CGANSettings
from pulseveil.generators.cgan.networks import GENERATOR_PARAMETERS, NOISE_SIZE, Shape, discriminator, sampler
from pulseveil.generators.cgan.steps import ConditionalAdversaries
from pulseveil.generators.cgan.training import Data, objective_of, train
from pulseveil.generators.examples import ROWS, warn_of_collapse
from pulseveil.generators.private_training import train_privately
from pulseveil.privacy.ledger import Entry

_PUBLIC_QUANTITIES = (
    "number of people",
    "windows of a person",
    "shares of the conditions",
    "diversity bound",
)


class CGANModel(GeneratorModel):
    """A trained generator network, with the discriminator until the model is stored."""

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

        Warns of mode collapse, but only without a budget: the check reads real windows.

        Raises:
            InputError: `output` is relu and windows have negative values (checked only without a budget),
                `mechanisms` refuses the budget, or a private training has more people than its public
                constants.
        """
        if training.budget.is_private:
            return cls._fit_private(settings, training)
        (model,) = cls.fit_together(settings, [training], training.checkpoint)
        return model

    @classmethod
    def fit_together(
        cls, settings: CGANSettings, trainings: Sequence[Training], checkpoint: Checkpoint | None
    ) -> list[Self]:
        """Train one model per training in one program, none privately; a single model exactly as by `fit`.

        Sums of several models round differently than sums of one: after 20 steps, a model's parameters differ
        from those of training it alone by at most 1e-4 of the distance moved. The difference grows with the
        steps, as it does on another CPU. Warns of mode collapse.

        Raises:
            InputError: `output` is relu and windows have negative values.
        """
        for training in trainings:
            if settings.output == "relu" and training.windows.min() < 0:
                raise InputError(
                    "cgan: output relu has no negative values, but the windows reach "
                    f"{training.windows.min():.3g}; set output: linear"
                )
        data = [Data(each.windows, each.condition.astype(np.int32), each.stream) for each in trainings]
        trained = train(settings, data, trainings[0].classes, checkpoint)
        models = [cls(settings, generator, (), discriminator) for generator, discriminator in trained]
        for model, training in zip(models, trainings, strict=True):
            model._warn_of_collapse(training)
        return models

    @classmethod
    def _fit_private(cls, settings: CGANSettings, training: Training) -> Self:
        private, (mechanism,) = settings.private, CGAN.mechanisms(settings, training.budget)
        adversaries = ConditionalAdversaries(
            objective_of(settings)._replace(learning_rate=private.learning_rate),
            Shape(training.classes, *training.windows.shape[1:]),
            private.width_divisor,
            # `CGAN.mechanisms` refuses `effective` without a bound; `published` reads none.
            settings.diversity_bound or 0.0,
        )
        trained, entry = train_privately(
            adversaries, training, private=private, mechanism=mechanism, public_quantities=_PUBLIC_QUANTITIES
        )
        return cls(settings, trained.generator, (entry,), trained.discriminator)

    @property
    def ledger(self) -> tuple[Entry, ...]:
        """The ledger entry of a private training; empty without a budget and for models read from arrays."""
        return self._ledger

    @property
    def noise_size(self) -> int:
        """Number of standard normal numbers from which one window is synthesized."""
        return NOISE_SIZE

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), from noise (n, noise_size)."""
        run = sampler(self._settings.leaky_slope, self._settings.output)
        windows: NDArray[np.float32] = run(self._parameters, noise, condition.astype(np.int32)).numpy()
        return windows

    def realness(self, windows: NDArray[np.float32], condition: NDArray[np.int8]) -> NDArray[np.float32]:
        """Logits (n) of the discriminator for windows (n, time, channels), higher for real windows.

        Raises:
            ValueError: the model was read from arrays, which never hold a discriminator.
        """
        if not self._discriminator:
            raise ValueError("cgan: the discriminator is not stored; call realness of a model fresh from fit")
        run = discriminator(self._settings.discriminator)
        logits: NDArray[np.float32] = run(self._discriminator, windows, condition.astype(np.int32)).numpy()
        return logits

    def _warn_of_collapse(self, training: Training) -> None:
        """Warn for each condition whose synthetic windows are nearly all alike."""
        stream = child(training.stream, "samples")
        shape = (ROWS, self.noise_size)
        noise = generator(child(stream, "noise")).standard_normal(shape, dtype=np.float32)
        for code in np.unique(training.condition):
            synthetic = self.sample(np.full(ROWS, code, np.int8), noise)
            real = training.windows[training.condition == code]
            warn_of_collapse(f"cgan: condition {code}", synthetic, real, stream)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The parameters of the generator network by name."""
        # Without the discriminator, which learnt from real windows directly and is not needed to sample.
        return dict(zip(GENERATOR_PARAMETERS, self._parameters, strict=True))

    @classmethod
    def from_arrays(cls, settings: CGANSettings, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The generator with the state `arrays`, as `arrays()` returned it."""
        return cls(settings, [arrays[name] for name in GENERATOR_PARAMETERS])
