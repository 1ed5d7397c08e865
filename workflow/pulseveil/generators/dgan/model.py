"""Training and sampling of `dgan` models. Imports TensorFlow."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import child, generator
from pulseveil.generators import GeneratorModel, Training
from pulseveil.generators.dgan import DGAN, DGANSettings
from pulseveil.generators.dgan.networks import GENERATOR_PARAMETERS, sampler
from pulseveil.generators.dgan.training import Data, Examples, private_adversaries, train
from pulseveil.generators.examples import (
    ROWS,
    Scale,
    first_fitting,
    label_signals,
    label_values,
    warn_of_collapse,
)
from pulseveil.generators.private_settings import OF_RANGE, in_range
from pulseveil.generators.private_training import train_privately
from pulseveil.privacy.ledger import Entry

logger = logging.getLogger(__name__)

_WARNED_SHARE = 0.05  # of requested windows without a candidate in the requested condition


class DGANModel(GeneratorModel):
    """A trained generator network and the scale of its windows.

    noise_size: a window needs the noise of all its candidates, of which `sample` keeps one.
    """

    def __init__(
        self,
        settings: DGANSettings,
        parameters: Mapping[str, NDArray[np.float32]],
        scale: Scale,
        time: int,
        ledger: tuple[Entry, ...] = (),
    ) -> None:
        self._settings, self._parameters, self._ledger = settings, parameters, ledger
        self._scale, self._time = scale, time

    @classmethod
    def fit(cls, settings: DGANSettings, training: Training) -> Self:
        """Train on windows (n, time, channels); a resumed training ends in the same bits as an unbroken one.

        Warns of mode collapse, and of a condition that the generator hardly ever gives. A private training
        does not warn and does not check conditions: both would reveal facts about real windows.

        Raises:
            InputError: a condition has fewer than two windows (checked only without a budget),
                `sample_length` does not divide `time`, `mechanisms` refuses the budget, or a private training
                has more people than its public constants.
        """
        if training.budget.is_private:
            return cls._fit_private(settings, training)
        (model,) = cls.fit_together(settings, [training], training.checkpoint)
        return model

    @classmethod
    def fit_together(
        cls, settings: DGANSettings, trainings: Sequence[Training], checkpoint: Checkpoint | None
    ) -> list[Self]:
        """Train one model per training, none of them privately; a single model exactly as by `fit`.

        Models with equally many windows train in one program, one such group after the other. Sums of several
        models round differently than sums of one: the gradients of a step differ from those of training a
        model alone by at most 1e-5 of the largest. A ReLU that switches enlarges the difference. So does
        Adam: its step has the size of the learning rate even if the gradient is only rounding. After 40 steps
        of the published sizes, parameters differ by at most 2 % of the distance moved. The difference grows
        with the steps, as it does on another CPU.

        Warns and raises as `fit` does.
        """
        for training in trainings:
            _check_length(settings, training.windows.shape[1])
            _check_conditions(training)
        scales = [Scale.of(training.windows) for training in trainings]
        data = [
            Data(_examples(settings, scale.to_unit(training.windows), training), training.stream)
            for scale, training in zip(scales, trainings, strict=True)
        ]
        trained = zip(train(settings, data, checkpoint), scales, trainings, strict=True)
        models = [cls(settings, values, scale, each.windows.shape[1]) for values, scale, each in trained]
        for model, training in zip(models, trainings, strict=True):
            model._warn_of_bad_samples(training)
        return models

    @classmethod
    def _fit_private(cls, settings: DGANSettings, training: Training) -> Self:
        n, length, channels = training.windows.shape
        _check_length(settings, length)
        private, (mechanism,) = settings.private, DGAN.mechanisms(settings, training.budget)
        # A public range: the least and largest value in the data would be a query without noise.
        scale = private.scale(channels)
        examples = _examples(settings, in_range(scale, training.windows), training)
        # Label signals, if any, are part of the flat window: one clip covers both.
        trained, entry = train_privately(
            private_adversaries(settings, examples),
            replace(training, windows=examples.signals.reshape(n, -1)),
            private=private,
            mechanism=mechanism,
            public_quantities=OF_RANGE,
        )
        named = dict(zip(GENERATOR_PARAMETERS, trained.generator, strict=True))
        return cls(settings, named, scale, length, (entry,))

    @property
    def ledger(self) -> tuple[Entry, ...]:
        """The ledger entry of a private training; empty without a budget and for models read from arrays."""
        return self._ledger

    @property
    def noise_size(self) -> int:
        """Number of standard normal numbers from which one window and its candidates are synthesized."""
        return self._candidates * self._steps * self._settings.noise

    @property
    def _candidates(self) -> int:
        return self._settings.candidates if self._settings.labels == "channel" else 1

    @property
    def _steps(self) -> int:
        """Steps of the LSTM per window."""
        return self._time // (self._settings.sample_length or self._time)

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), from noise (n, noise_size).

        With `labels` channel, the first candidate of a row that has the condition is taken, otherwise the
        candidate nearest to it (`examples.first_fitting`).
        """
        return self._chosen(condition, noise)[0]

    def _chosen(
        self, condition: NDArray[np.int8], noise: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Windows (n, time, channels), and whether each has the requested condition (n)."""
        n, channels = len(condition), len(self._scale.least)
        if self._settings.labels == "conditional":
            unit = self._generated(noise, _one_hot(condition, self._codes))
            return self._scale.undo(unit), np.ones(n, bool)
        unit = self._generated(noise.reshape(n * self._candidates, -1), np.zeros((n * self._candidates, 0)))
        candidates = unit.reshape(n, self._candidates, *unit.shape[1:])
        chosen, fits = first_fitting(label_values(candidates[..., channels:]), condition)
        return self._scale.undo(candidates[np.arange(n), chosen, :, :channels]), fits

    @property
    def _codes(self) -> int:
        """Number of codes that the networks read: 0 with `labels` channel."""
        # Read off a shape, so that stored models need no further array.
        return len(self._parameters["lstm_kernel"]) - self._settings.noise

    def _generated(self, noise: NDArray[np.float32], codes: NDArray[np.floating]) -> NDArray[np.float32]:
        """All signals in [0, 1] (n, time, signals) from noise (n, steps * p) and codes (n, k)."""
        shaped = noise.reshape(len(noise), self._steps, self._settings.noise)
        parameters = [self._parameters[name] for name in GENERATOR_PARAMETERS]
        flat: NDArray[np.float32] = sampler()(parameters, shaped, codes.astype(np.float32)).numpy()
        return flat.reshape(len(noise), self._time, -1)

    def _warn_of_bad_samples(self, training: Training) -> None:
        """Warn for each condition whose windows are nearly all alike, or that the generator rarely gives."""
        stream = child(training.stream, "samples")
        shape = (ROWS, self.noise_size)
        noise = generator(child(stream, "noise")).standard_normal(shape, dtype=np.float32)
        for code in range(training.classes):
            synthetic, fits = self._chosen(np.full(ROWS, code, np.int8), noise)
            real = training.windows[training.condition == code]
            # Scaled: otherwise the channel with the largest unit would decide about diversity alone.
            unit, unit_of_real = (self._scale.to_unit(rows) for rows in (synthetic, real))
            warn_of_collapse(f"dgan: condition {code}", unit, unit_of_real, stream)
            if np.mean(~fits) > _WARNED_SHARE:
                logger.warning(
                    "dgan: condition %d: for %.0f %% of the requested windows, none of %d candidates has "
                    "that condition, and the nearest was taken; train longer, or set labels: conditional",
                    code,
                    100 * np.mean(~fits),
                    self._candidates,
                )

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Parameters of the generator by name, the scale (channels), the length of a window."""
        return {**self._parameters, **self._scale._asdict(), "time": np.array(self._time)}

    @classmethod
    def from_arrays(cls, settings: DGANSettings, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The generator with the state `arrays`, as `arrays()` returned it."""
        parameters = {name: value for name, value in arrays.items() if name not in (*Scale._fields, "time")}
        return cls(settings, parameters, Scale(arrays["least"], arrays["span"]), int(arrays["time"]))


def _one_hot(condition: NDArray[np.int8], classes: int) -> NDArray[np.float32]:
    codes: NDArray[np.float32] = (condition[:, np.newaxis] == np.arange(classes)).astype(np.float32)
    return codes


def _examples(settings: DGANSettings, signals: NDArray[np.float32], training: Training) -> Examples:
    """Examples of a training from its codes (n) and its windows as signals (n, time, channels) in [0, 1]."""
    if settings.labels == "conditional":
        return Examples(signals, _one_hot(training.condition, training.classes))
    labels = label_signals(training.condition, training.classes, signals.shape[1])
    return Examples(np.concatenate([signals, labels], axis=2), np.zeros((len(signals), 0), np.float32))


def _check_conditions(training: Training) -> None:
    """Raise InputError if a condition has fewer than two windows."""
    for code in range(training.classes):
        found = int(np.sum(training.condition == code))
        if found < 2:
            raise InputError(
                f"dgan: condition {code} has {found} windows, at least 2 are needed; train on more subjects "
                "or set another number of classes"
            )


def _check_length(settings: DGANSettings, time: int) -> None:
    """Raise InputError if `sample_length` does not divide the `time` values of a window."""
    length = settings.sample_length
    if length is not None and time % length:
        raise InputError(
            f"dgan: sample_length {length} does not divide a window's {time} values; set one of its "
            "divisors, or leave it out"
        )
