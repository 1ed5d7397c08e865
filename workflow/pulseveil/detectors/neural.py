"""The published neural detectors: CNN, CNN-LSTM and transformer, their settings, fitting and scores."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from pulseveil.core.contracts import FeatureSet
from pulseveil.core.errors import InputError
from pulseveil.detectors import Detector, DetectorSettings, Fitted, Outputs, Training, private_neural
from pulseveil.detectors.private_neural import NoisedTraining, published_training
from pulseveil.detectors.tabular import require_both_classes
from pulseveil.privacy.budget import Budget, Mechanism, Unit, at_rate
from pulseveil.privacy.programs import DPSGD, LIBRARY_OPTIMIZER

if TYPE_CHECKING:
    from pulseveil.networks.training import Network, Weights
    from pulseveil.privacy.ledger import Entry


class NeuralSettings(DetectorSettings):
    """Keys of every neural detector."""

    epochs: int = Field(gt=0, description="passes over the training windows; the last one is used")
    learning_rate: float = Field(gt=0, description="step size of Adam")
    batch_size: int = Field(50, gt=0, description="windows of a training step")
    dropout: float = Field(ge=0, lt=1, description="share of values that dropout sets to zero")
    private: NoisedTraining | None = Field(
        None, description="private: the training; default: the published steps, batch size and step size"
    )


class NeuralDetector(Detector):
    """A network with two sigmoid outputs, not stress and stress; Adam on class-weighted windows."""

    name: ClassVar[str]
    version: ClassVar[int] = 3
    uses_tensorflow: ClassVar[bool] = True
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    programs: ClassVar[tuple[int, ...]] = (DPSGD, LIBRARY_OPTIMIZER)
    fewest_bins: ClassVar[int] = 1
    # CPU seconds of one window in one epoch, at the 210 bins of the published features.
    seconds_a_window: ClassVar[float]

    @classmethod
    def expected_seconds(cls, settings: NeuralSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows of 210 bins; fewer bins or values take less."""
        seen = float(settings.epochs * rows)
        if private is not None:
            seen = private_neural.expected_windows(_training(settings, rows), rows, private)
        return seen * cls.seconds_a_window

    @classmethod
    def mechanisms(cls, settings: NeuralSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """The mechanism of a private training; raises InputError where the backend cannot run it."""
        return (private_neural.mechanism(cls.name, _training(settings, _public_windows(budget)), budget),)

    @classmethod
    def audited_settings(cls, settings: NeuralSettings, claimed: Budget, audited: Budget) -> NeuralSettings:
        """The settings whose draws within `audited` have the q of those within `claimed`.

        A training that follows from `claimed` is written out: from `audited` other steps would follow.
        """
        written = settings.model_copy(update={"private": _training(settings, _public_windows(claimed))})
        return at_rate(written, cls.mechanisms(settings, claimed), audited)

    @staticmethod
    @abstractmethod
    def network(settings: Any, signals: int, bins: int) -> Network:
        """The network for spectra (signals, bins)."""

    @classmethod
    def private_network(cls, settings: Any, signals: int, bins: int) -> Network:
        """The network of a private training, which must not mix records."""
        return cls.network(settings, signals, bins)

    @classmethod
    def fit(cls, settings: Any, training: Training) -> Fitted:
        """Fit to the spectra of a training.

        Raises InputError for too few bins and, where not private, for training rows of one class.
        """
        features = training.features
        signals, bins = features.features.shape[1:]
        if bins < cls.fewest_bins:
            raise InputError(
                f"{cls.name}: expected spectra of at least {cls.fewest_bins} bins, found {bins}; "
                "use longer windows or another detector"
            )
        if training.budget.is_private:
            return cls._fit_private(settings, training)
        require_both_classes(cls.name, features.stress)
        # Plans import this module; TensorFlow takes 12 s to import.
        from pulseveil.networks.training import fit

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
        )
        return FittedNetwork(network, weights, settings.batch_size)

    @classmethod
    def _fit_private(cls, settings: Any, training: Training) -> FittedNetwork:
        network = cls.private_network(settings, *training.features.features.shape[1:])
        (mechanism,) = cls.mechanisms(settings, training.budget)
        how = _training(settings, _public_windows(training.budget))
        weights, entry = private_neural.fit(network, training, how, mechanism)
        return FittedNetwork(network, weights, settings.batch_size, (entry,))


def _training(settings: NeuralSettings, windows: int) -> NoisedTraining:
    """The private training that is set, or the published one on `windows` windows."""
    return settings.private or published_training(
        settings.epochs, settings.batch_size, settings.learning_rate, windows
    )


def _public_windows(budget: Budget) -> int:
    return budget.known_population().records("window")


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """A trained network."""

    network: Network
    weights: Weights
    batch_size: int
    ledger: tuple[Entry, ...] = ()

    def score(self, features: FeatureSet) -> Outputs:
        """Outputs for each row of `features`; the larger of the two outputs decides."""
        from pulseveil.networks import training

        outputs = training.probabilities(self.network, self.weights, features.features, self.batch_size)
        rest, stress = np.ascontiguousarray(outputs.T)
        return Outputs(score=stress, score_rest=rest, predicted=stress > rest)


class ConvolutionalSettings(NeuralSettings):
    """Keys of the detectors with convolutions over spectra."""

    learning_rate: float = Field(1e-3, gt=0, description="step size of Adam")
    dropout: float = Field(0.3, ge=0, lt=1, description="share of values that dropout sets to zero")
    filters: int = Field(64, gt=0, description="feature maps of each convolution")
    dense_units: tuple[int, ...] = Field((128, 64), description="widths of the dense layers")


class CNNSettings(ConvolutionalSettings):
    """Keys of `cnn`."""

    epochs: int = Field(10, gt=0, description="passes over the training windows; the last one is used")


class CNN(NeuralDetector):
    """Four convolutions over the bins of each signal's spectrum, then dense layers."""

    name: ClassVar[str] = "cnn"
    Settings: ClassVar[type[CNNSettings]] = CNNSettings
    title: ClassVar[str] = "CNN"
    colour: ClassVar[str] = "#0072B2"
    fewest_bins: ClassVar[int] = 4
    seconds_a_window: ClassVar[float] = 2.6e-3
    share_without_bins: ClassVar[float] = 0.05

    @staticmethod
    def network(settings: CNNSettings, signals: int, bins: int) -> Network:
        """The network for spectra (signals, bins)."""
        from pulseveil.networks import classifiers

        return classifiers.CNN(signals, bins, settings.filters, settings.dense_units, settings.dropout)


class CNNLSTMSettings(ConvolutionalSettings):
    """Keys of `cnn_lstm`."""

    epochs: int = Field(20, gt=0, description="passes over the training windows; the last one is used")
    lstm_units: tuple[int, int] = Field((128, 64), description="units of the two LSTM layers")


class CNNLSTM(NeuralDetector):
    """The CNN's convolutions, batch-normalised, read signal by signal by two LSTM layers.

    Batch normalisation mixes records: private ones have layer normalisation in its place.
    """

    name: ClassVar[str] = "cnn_lstm"
    Settings: ClassVar[type[CNNLSTMSettings]] = CNNLSTMSettings
    title: ClassVar[str] = "CNN-LSTM"
    colour: ClassVar[str] = "#D55E00"
    fewest_bins: ClassVar[int] = 4
    seconds_a_window: ClassVar[float] = 3.0e-3
    share_without_bins: ClassVar[float] = 0.1

    @staticmethod
    def network(settings: CNNLSTMSettings, signals: int, bins: int) -> Network:
        """The network for spectra (signals, bins)."""
        from pulseveil.networks import classifiers

        return classifiers.CNNLSTM(
            signals, bins, settings.filters, settings.lstm_units, settings.dense_units, settings.dropout
        )

    @classmethod
    def private_network(cls, settings: CNNLSTMSettings, signals: int, bins: int) -> Network:
        """The same, layer-normalised."""
        from pulseveil.networks import classifiers

        return classifiers.LayerNormalisedCNNLSTM(
            signals, bins, settings.filters, settings.lstm_units, settings.dense_units, settings.dropout
        )


class TransformerSettings(NeuralSettings):
    """Keys of `transformer`."""

    epochs: int = Field(110, gt=0, description="passes over the training windows; the last one is used")
    learning_rate: float = Field(1e-4, gt=0, description="step size of Adam")
    dropout: float = Field(0.25, ge=0, lt=1, description="share of values that dropout sets to zero")
    blocks: int = Field(8, gt=0, description="encoder blocks")
    heads: int = Field(4, gt=0, description="attention heads of a block")
    head_size: int = Field(256, gt=0, description="features of a head")
    inner_units: int = Field(4, gt=0, description="width of a block's dense part")
    dense_units: int = Field(128, gt=0, description="width of the dense layer after the blocks")


class Transformer(NeuralDetector):
    """Encoder blocks whose tokens are the signals of a window, without positional code."""

    name: ClassVar[str] = "transformer"
    Settings: ClassVar[type[TransformerSettings]] = TransformerSettings
    title: ClassVar[str] = "Transformer"
    colour: ClassVar[str] = "#009E73"
    seconds_a_window: ClassVar[float] = 2.8e-3
    share_without_bins: ClassVar[float] = 0.3

    @staticmethod
    def network(settings: TransformerSettings, signals: int, bins: int) -> Network:
        """The network for spectra (signals, bins)."""
        from pulseveil.networks import classifiers

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
