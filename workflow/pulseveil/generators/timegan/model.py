"""Models of `timegan`: how they are trained and sampled; imports TensorFlow."""

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
    """Trained networks that synthesize windows, and each model's scale.

    Arrays have a leading axis of models: one per condition code, or a single one. A private model is a single
    one, whose networks read the condition.
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

        Raises InputError where a model has fewer than two windows to learn from (a private training does not
        look), and for what `mechanisms` refuses.
        """
        if training.budget.is_private:
            return cls._fit_private(settings, training)
        (model,) = cls.fit_together(settings, [training], training.checkpoint)
        return model

    @classmethod
    def fit_together(
        cls, settings: TimeGANSettings, trainings: Sequence[Training], checkpoint: Checkpoint | None
    ) -> list[Self]:
        """Train one TimeGAN per training, none of them privately, and all their conditions in one program.

        A single one is trained exactly as by `fit`, one condition after the other. Several models' sums
        round differently than a single one's: after 130 steps, 60 of them joint, a model's parameters differ
        from training it alone by at most 1e-5 of the distance moved. The difference grows with the steps, as
        it does on another CPU. Warns of mode collapse; raises InputError as `fit` does.
        """
        learnt = [_training_windows(settings, training) for training in trainings]
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
        """The entries of a private training; empty for others, and for models read from arrays."""
        return self._ledger

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that one window needs: one per value."""
        return self._time * int(self._scale.least.shape[1])

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), from noise (n, noise_size)."""
        models, channels = self._scale.least.shape
        shaped = noise.reshape(len(noise), self._time, channels)
        if self._conditional_classes:
            return self._sample_conditional(condition, shaped)
        # Each model makes all rows: a matrix product rounds differently for another number of rows.
        synthetic = []
        for model in range(models):
            scale = Scale(*(values[model] for values in self._scale))
            synthetic.append(scale.undo(sampler()(self._networks(model), shaped).numpy()))
        chosen = condition if self._settings.training == "each_class" else np.zeros_like(condition)
        return np.stack(synthetic)[chosen, np.arange(len(chosen))]

    @property
    def _conditional_classes(self) -> int:
        """Condition codes that the networks read: 0 where each condition has a model of its own."""
        return int(self._parameters["generator_gru_1_kernel"].shape[1] - self._scale.least.shape[1])

    def _sample_conditional(
        self, condition: NDArray[np.int8], noise: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Windows of the one model that reads the condition, from noise (n, time, channels)."""
        codes = np.eye(self._conditional_classes, dtype=np.float32)[condition]
        scale = Scale(*(values[0] for values in self._scale))
        return scale.undo(private.sampler()(self._networks(0), noise, codes).numpy())

    def _networks(self, model: int) -> list[list[NDArray[np.float32]]]:
        """Parameters of the sampling networks of a model, network by network."""
        return [
            [self._parameters[name][model] for name in parameter_names(network, self._settings.layers)]
            for network in SAMPLING_NETWORKS
        ]

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Parameters (models, ...) by name, the models' scales (models, channels), a window's length."""
        return {**self._parameters, **self._scale._asdict(), "time": np.array(self._time)}

    @classmethod
    def from_arrays(cls, settings: TimeGANSettings, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The generator whose `arrays()` these are."""
        parameters = {name: value for name, value in arrays.items() if name not in (*Scale._fields, "time")}
        return cls(settings, parameters, Scale(arrays["least"], arrays["span"]), int(arrays["time"]))


def _joined(
    parameters: Sequence[Mapping[str, NDArray[np.float32]]], scales: Sequence[Scale]
) -> tuple[dict[str, NDArray[np.float32]], Scale]:
    """Parameters and scales of the models of one training, models first."""
    joined = {name: np.stack([own[name] for own in parameters]) for name in parameters[0]}
    return joined, Scale(*(np.stack(values) for values in zip(*scales, strict=True)))


def _training_windows(settings: TimeGANSettings, training: Training) -> dict[str, NDArray[np.float32]]:
    """The windows that each model learns from, by the model's name."""
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
