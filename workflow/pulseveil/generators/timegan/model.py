"""Training and sampling of `timegan` models. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.contracts import STRESS
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import child
from pulseveil.generators import GeneratorModel, Training
from pulseveil.generators.examples import Scale
from pulseveil.generators.private_settings import in_range
from pulseveil.generators.timegan import TimeGAN, TimeGANSettings, private
from pulseveil.generators.timegan.networks import SAMPLING_NETWORKS, parameter_names, sampler
from pulseveil.generators.timegan.training import Data, train
from pulseveil.privacy.ledger import Entry


class TimeGANModel(GeneratorModel):
    """Trained networks that synthesize windows, and the scale of each model's windows.

    Arrays have a leading axis of models: one TimeGAN per condition code, or a single one for all codes. A
    private training gives a single one, whose networks read the condition.
    """

    def __init__(
        self,
        settings: TimeGANSettings,
        parameters: Mapping[str, NDArray[np.float32]],
        scale: Scale,
        time: int,
        ledger: tuple[Entry, ...] = (),
    ) -> None:
        self._settings, self._parameters, self._scale, self._time = settings, parameters, scale, time
        self._ledger = ledger

    @classmethod
    def fit(cls, settings: TimeGANSettings, training: Training) -> Self:
        """Train on windows (n, time, channels); a resumed training ends in the same bits as an unbroken one.

        Warns of mode collapse, but only without a budget: the check reads real windows.

        Raises:
            InputError: one of the models has fewer than two windows (checked only without a budget),
                `mechanisms` refuses the budget, or a private training has more people than its public
                constants.
        """
        if training.budget.is_private:
            return cls._fit_private(settings, training)
        (model,) = cls.fit_together(settings, [training], training.checkpoint)
        return model

    @classmethod
    def fit_together(
        cls, settings: TimeGANSettings, trainings: Sequence[Training], checkpoint: Checkpoint | None
    ) -> list[Self]:
        """Train one TimeGAN per training, none of them privately, with all conditions in one program.

        A single training runs exactly as by `fit`, one condition after the other. Sums of several models
        round differently than sums of one: after 130 steps, 60 of them joint, a model's parameters differ
        from those of training it alone by at most 1e-5 of the distance moved. The difference grows with the
        steps, as it does on another CPU.

        Warns and raises as `fit` does.
        """
        learnt = [_training_windows(settings, training) for training in trainings]
        # One scale per model, that of the windows that the model learns from.
        scales = [[Scale.of(rows) for rows in by_name.values()] for by_name in learnt]
        data = [
            Data(name, scale.to_unit(rows), child(training.stream, name))
            for training, by_name, own in zip(trainings, learnt, scales, strict=True)
            for (name, rows), scale in zip(by_name.items(), own, strict=True)
        ]
        alone = len(trainings) == 1
        trained = train(settings, {d.name: [d] for d in data} if alone else {"all": data}, checkpoint)
        each = len(data) // len(trainings)
        return [
            cls(settings, *_joined(trained[i * each : (i + 1) * each], own), training.windows.shape[1])
            for i, (training, own) in enumerate(zip(trainings, scales, strict=True))
        ]

    @classmethod
    def _fit_private(cls, settings: TimeGANSettings, training: Training) -> Self:
        how, (time, channels) = settings.private, training.windows.shape[1:]
        scale = how.scale(channels)
        parameters, entries = private.train_privately(
            private.Sizes(time, channels, training.classes, settings.hidden, settings.layers),
            replace(training, windows=in_range(scale, training.windows)),
            private=how,
            mechanisms=TimeGAN.mechanisms(settings, training.budget),
        )
        one = {name: value[np.newaxis] for name, value in parameters.items()}
        return cls(settings, one, Scale(*(values[np.newaxis] for values in scale)), time, entries)

    @property
    def ledger(self) -> tuple[Entry, ...]:
        """Ledger entries of a private training; empty without a budget and for models read from arrays."""
        return self._ledger

    @property
    def noise_size(self) -> int:
        """Number of standard normal numbers from which one window is synthesized: one per value."""
        return self._time * int(self._scale.least.shape[1])

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), from noise (n, noise_size)."""
        models, channels = self._scale.least.shape
        shaped = noise.reshape(len(noise), self._time, channels)
        if self._conditional_classes:
            return self._sample_conditional(condition, shaped)
        # Each model synthesizes all rows: a matrix product rounds differently for another number of rows, and
        # a window must not depend on the conditions of other rows.
        synthetic = []
        for model in range(models):
            scale = Scale(*(values[model] for values in self._scale))
            synthetic.append(scale.undo(sampler()(self._networks(model), shaped).numpy()))
        chosen = condition if self._settings.training == "each_class" else np.zeros_like(condition)
        return np.stack(synthetic)[chosen, np.arange(len(chosen))]

    @property
    def _conditional_classes(self) -> int:
        """Number of condition codes that the networks read: 0 if each condition has its own model."""
        # Read off a shape, so that stored models need no further array: the first GRU layer of the generator
        # reads the noise (one number per channel) and then the codes.
        return int(self._parameters["generator_gru_1_kernel"].shape[1] - self._scale.least.shape[1])

    def _sample_conditional(
        self, condition: NDArray[np.int8], noise: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the single model that reads the condition, from noise as large."""
        codes = np.eye(self._conditional_classes, dtype=np.float32)[condition]
        scale = Scale(*(values[0] for values in self._scale))
        return scale.undo(private.sampler()(self._networks(0), noise, codes).numpy())

    def _networks(self, model: int) -> list[list[NDArray[np.float32]]]:
        """Parameters of each sampling network of a model."""
        return [
            [self._parameters[name][model] for name in parameter_names(network, self._settings.layers)]
            for network in SAMPLING_NETWORKS
        ]

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Parameters (models, ...) by name, the scales (models, channels), the length of a window."""
        return {**self._parameters, **self._scale._asdict(), "time": np.array(self._time)}

    @classmethod
    def from_arrays(cls, settings: TimeGANSettings, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The generator with the state `arrays`, as `arrays()` returned it."""
        parameters = {name: value for name, value in arrays.items() if name not in (*Scale._fields, "time")}
        return cls(settings, parameters, Scale(arrays["least"], arrays["span"]), int(arrays["time"]))


def _joined(
    parameters: Sequence[Mapping[str, NDArray[np.float32]]], scales: Sequence[Scale]
) -> tuple[dict[str, NDArray[np.float32]], Scale]:
    """Parameters and scales of the models of one training, with a leading axis of models."""
    joined = {name: np.stack([own[name] for own in parameters]) for name in parameters[0]}
    return joined, Scale(*(np.stack(values) for values in zip(*scales, strict=True)))


def _training_windows(settings: TimeGANSettings, training: Training) -> dict[str, NDArray[np.float32]]:
    """Training windows (n, time, channels) of each model by the name of the model.

    Raises:
        InputError: a model has fewer than two windows.
    """
    windows, condition = training.windows, training.condition
    if settings.training == "published":
        parts = {"not stress": windows[condition != STRESS]}
    else:
        parts = {f"condition {code}": windows[condition == code] for code in range(training.classes)}
    for name, rows in parts.items():
        if len(rows) < 2:
            raise InputError(
                f"timegan: {name} has {len(rows)} windows, at least 2 are needed; train on more subjects "
                "or set another number of classes"
            )
    return parts
