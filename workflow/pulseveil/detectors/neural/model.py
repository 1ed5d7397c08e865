"""Models of the neural detectors: networks, training and scores; imports TensorFlow."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pulseveil.core import randomness
from pulseveil.core.arrays import Arrays
from pulseveil.core.contracts import FeatureSet
from pulseveil.core.errors import InputError
from pulseveil.detectors import DetectorModel, Fitted, Outputs, Training, private_neural
from pulseveil.detectors.neural import (
    CNN,
    CNNLSTM,
    CNNLSTMSettings,
    CNNSettings,
    NeuralDetector,
    NeuralSettings,
    Transformer,
    TransformerSettings,
    noised_training,
    public_windows,
)
from pulseveil.detectors.neural.untrained import Untrained, UntrainedSettings
from pulseveil.detectors.private_neural import NoisedTraining
from pulseveil.detectors.tabular import require_both_classes
from pulseveil.networks import classifiers
from pulseveil.networks.training import Examples, Network, Weights, fit, probabilities
from pulseveil.privacy import dpsgd, ledger, library_optimizer
from pulseveil.privacy.budget import Mechanism
from pulseveil.privacy.ledger import Entry
from pulseveil.privacy.programs import DPSGD, LIBRARY_OPTIMIZER


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """Trained network, with the batch size in which it scores.

    private: whether the training had a budget; its network may then be another one.
    """

    network: Network
    weights: Weights
    batch_size: int
    private: bool = False
    ledger: tuple[Entry, ...] = ()

    def score(self, features: FeatureSet) -> Outputs:
        """Outputs for each row of `features`; the larger of the two outputs decides."""
        outputs = probabilities(self.network, self.weights, features.features, self.batch_size)
        # The two sigmoid outputs are not complementary: both can be above 0.5, so the larger one decides.
        rest, stress = np.ascontiguousarray(outputs.T)
        return Outputs(score=stress, score_rest=rest, predicted=stress > rest)

    def arrays(self) -> Arrays:
        """Shape (signals, bins) of the spectra, whether the training was private, and all weights."""
        parts = self.weights._asdict().items()
        named = {
            f"{part}_{i:03d}": np.asarray(value) for part, values in parts for i, value in enumerate(values)
        }
        shape = np.array([self.network.signals, self.network.bins])
        return {"shape": shape, "private": np.array(self.private), **named}


class NeuralModel(DetectorModel):
    """Base of the neural models: two sigmoid outputs (rest, stress), trained by Adam on weighted classes."""

    kind: ClassVar[type[NeuralDetector]]

    @staticmethod
    @abstractmethod
    def network(settings: Any, signals: int, bins: int) -> Network:
        """Network for spectra (signals, bins)."""

    @classmethod
    def private_network(cls, settings: Any, signals: int, bins: int) -> Network:
        """Network of a private training, which must not mix records."""
        return cls.network(settings, signals, bins)

    @classmethod
    def fit(cls, settings: Any, training: Training) -> Fitted:
        """Fit to the spectra of a training.

        Raises:
            InputError: the spectra have too few bins. Not private: all rows have the same class. Private: the
                rows have more people than the public constants, or the network mixes records.
            Interrupted: a stop was requested; the state is stored in the checkpoint.
        """
        features = training.features
        signals, bins = cls.require_bins(features)
        if training.budget.is_private:
            return cls._fit_private(settings, training)
        # Not in a private training: whether both classes occur is a private fact that an error would reveal.
        require_both_classes(cls.kind.name, features.stress)
        network = cls.network(settings, signals, bins)
        weights = fit(
            network,
            features.features,
            features.stress,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            stream=training.stream,
            checkpoint=training.checkpoint,
            initial_weights=_pretrained(network, settings, training),
            precision=settings.precision,
        )
        return FittedNetwork(network, weights, settings.batch_size)

    @classmethod
    def from_arrays(cls, settings: Any, arrays: Arrays) -> Fitted:
        """Network with the weights in `arrays`; raises ValueError if the shape of a weight is another one."""
        signals, bins = (int(number) for number in arrays["shape"])
        private = bool(arrays["private"])
        make = cls.private_network if private else cls.network
        network = make(settings, signals, bins)
        expected = network.start(np.random.default_rng(0))
        parts = {
            part: [np.asarray(arrays[f"{part}_{i:03d}"], np.float32) for i in range(len(values))]
            for part, values in expected._asdict().items()
        }
        for part, values in expected._asdict().items():
            for found, wanted in zip(parts[part], values, strict=True):
                if found.shape != tuple(wanted.shape):
                    raise ValueError(
                        f"{part}: expected an array of shape {tuple(wanted.shape)}, found {found.shape}"
                    )
        return FittedNetwork(network, Weights(**parts), settings.batch_size, private)

    @classmethod
    def require_bins(cls, features: FeatureSet) -> tuple[int, int]:
        """Numbers of signals and bins of the spectra.

        Raises:
            InputError: the spectra have too few bins.
        """
        signals, bins = features.features.shape[1:]
        if bins < cls.kind.fewest_bins:
            raise InputError(
                f"{cls.kind.name}: expected spectra of at least {cls.kind.fewest_bins} bins, found {bins}; "
                "use longer windows or another detector"
            )
        return signals, bins

    @classmethod
    def _fit_private(cls, settings: Any, training: Training) -> FittedNetwork:
        network = cls.private_network(settings, *training.features.features.shape[1:])
        (mechanism,) = cls.kind.mechanisms(settings, training.budget)
        # From the public number of windows, because the counted one is a private value.
        how = noised_training(settings, public_windows(training.budget))
        pretrained = _pretrained(network, settings, training)
        weights, entry = _fit_noised(network, training, how, mechanism, pretrained)
        return FittedNetwork(network, weights, settings.batch_size, True, (entry,))


def _pretrained(network: Network, settings: NeuralSettings, training: Training) -> Weights | None:
    """Weights that the windows of the public cohorts have trained; None without pretraining.

    Raises:
        InputError: there is no public cohort, or all of its windows have the same class.
    """
    if settings.pretrain is None:
        return None
    if not training.public:
        raise InputError("pretrain public: expected public_cohorts in the study, found none")
    features = np.concatenate([public.features.features for public in training.public])
    stress = np.concatenate([public.features.stress for public in training.public])
    require_both_classes("pretrain public", stress)
    # Without the checkpoint: it holds the state of the training that follows.
    return fit(
        network,
        features,
        stress,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        stream=randomness.child(training.stream, "pretraining"),
        precision=settings.precision,
    )


def _fit_noised(
    network: Network, training: Training, how: NoisedTraining, run: Mechanism, pretrained: Weights | None
) -> tuple[Weights, Entry]:
    """Train on the real rows of `training` that the public constants admit, and on all synthetic rows.

    how: the settings of the private training. run: the mechanism that protects the real rows. pretrained:
    the weights at the start, None for fresh ones.

    Raises:
        InputError: the real rows have more people than the public constants, or the network mixes records.
    """
    budget, noise = training.budget, training.budget.noise_source()
    examples = Examples(*private_neural.lay_out(training.features, budget.unit, budget.known_population()))
    # Records of the released synthetic windows come last; the accountant counts the real ones alone.
    released = len(examples.x) - run.n
    recipe = dpsgd.Recipe(network, run, how.learning_rate, how.optimizer, released)
    if budget.backend == "tensorflow_privacy":
        program = LIBRARY_OPTIMIZER
        weights, noised = library_optimizer.fit(recipe, examples, noise, training.stream, pretrained)
    else:
        program = DPSGD
        weights, noised = dpsgd.fit(recipe, examples, noise, training.stream, training.checkpoint, pretrained)
    entry = ledger.close(
        run,
        steps_noised=noised,
        delta=budget.delta,
        noise=noise,
        public_quantities=(
            *private_neural.PUBLIC_QUANTITIES,
            *(f"recordings of {public.cohort}" for public in training.public),
        ),
        program=program,
    )
    return weights, entry


class CNNModel(NeuralModel):
    """Networks of `cnn`."""

    kind: ClassVar[type[NeuralDetector]] = CNN

    @staticmethod
    def network(settings: CNNSettings, signals: int, bins: int) -> Network:
        """Network for spectra (signals, bins)."""
        return classifiers.CNN(signals, bins, settings.filters, settings.dense_units, settings.dropout)


class CNNLSTMModel(NeuralModel):
    """Networks of `cnn_lstm`."""

    kind: ClassVar[type[NeuralDetector]] = CNNLSTM

    @staticmethod
    def network(settings: CNNLSTMSettings, signals: int, bins: int) -> Network:
        """Network for spectra (signals, bins)."""
        return classifiers.CNNLSTM(
            signals, bins, settings.filters, settings.lstm_units, settings.dense_units, settings.dropout
        )

    @classmethod
    def private_network(cls, settings: CNNLSTMSettings, signals: int, bins: int) -> Network:
        """The same network with layer normalisation."""
        return classifiers.LayerNormalisedCNNLSTM(
            signals, bins, settings.filters, settings.lstm_units, settings.dense_units, settings.dropout
        )


class TransformerModel(NeuralModel):
    """Networks of `transformer`."""

    kind: ClassVar[type[NeuralDetector]] = Transformer

    @staticmethod
    def network(settings: TransformerSettings, signals: int, bins: int) -> Network:
        """Network for spectra (signals, bins)."""
        return classifiers.Transformer(
            signals=signals,
            bins=bins,
            blocks=settings.blocks,
            heads=settings.heads,
            head_size=settings.head_size,
            inner=settings.inner_units,
            units=settings.dense_units,
            dropout=settings.dropout,
        )


_MODELS: Mapping[str, type[NeuralModel]] = {
    model.kind.name: model for model in (CNNModel, CNNLSTMModel, TransformerModel)
}


class UntrainedModel(DetectorModel):
    """Networks of `untrained`: those of a private training, with their initial weights."""

    kind: ClassVar[type[Untrained]] = Untrained

    @staticmethod
    def fit(settings: UntrainedSettings, training: Training) -> Fitted:
        """Network for the spectra of a training, whose values and labels are not read.

        Raises:
            InputError: the spectra have too few bins.
        """
        model, of_network = _MODELS[settings.network], settings.network_settings
        network = model.private_network(of_network, *model.require_bins(training.features))
        # Drawn as the trainings draw them.
        rng = randomness.generator(randomness.child(training.stream, "initial"))
        return FittedNetwork(network, network.start(rng), of_network.batch_size, private=True)

    @staticmethod
    def from_arrays(settings: UntrainedSettings, arrays: Arrays) -> Fitted:
        """Network with the weights in `arrays`."""
        return _MODELS[settings.network].from_arrays(settings.network_settings, arrays)
