"""The published neural detectors: CNN, CNN-LSTM and transformer, as plans know them."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from pulseveil.detectors import DetectorKind, DetectorSettings, private_neural
from pulseveil.detectors.private_neural import NoisedTraining, published_training
from pulseveil.privacy.budget import Budget, Mechanism, Unit, at_rate
from pulseveil.privacy.programs import DPSGD, LIBRARY_OPTIMIZER


class NeuralSettings(DetectorSettings):
    """Keys of every neural detector."""

    epochs: int = Field(gt=0, description="passes over the training windows; the last one is used")
    learning_rate: float = Field(gt=0, description="step size of Adam")
    batch_size: int = Field(50, gt=0, description="windows of a training step")
    dropout: float = Field(ge=0, lt=1, description="share of values that dropout sets to zero")
    private: NoisedTraining | None = Field(
        None, description="private: the training; default: the published steps, batch size and step size"
    )


class NeuralDetector(DetectorKind):
    """A network with two sigmoid outputs, not stress and stress; Adam on class-weighted windows."""

    name: ClassVar[str]
    version: ClassVar[int] = 3
    uses_tensorflow: ClassVar[bool] = True
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    programs: ClassVar[tuple[int, ...]] = (DPSGD, LIBRARY_OPTIMIZER)
    private_differences: ClassVar[tuple[str, ...]] = (
        "Poisson samples of records instead of shuffled epochs; at unit subject all people in each step",
        "steps, batch, learning rate and optimizer of `private`, where it is set",
        "class weights by the public share of stress; at unit subject each person counts alike",
    )
    fewest_bins: ClassVar[int] = 1
    # CPU seconds of one window in one epoch, at the 210 bins of the published features.
    seconds_a_window: ClassVar[float]

    @classmethod
    def expected_seconds(cls, settings: NeuralSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows of 210 bins; fewer bins or values take less."""
        seen = float(settings.epochs * rows)
        if private is not None:
            seen = private_neural.expected_windows(noised_training(settings, rows), rows, private)
        return seen * cls.seconds_a_window

    @classmethod
    def mechanisms(cls, settings: NeuralSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """The mechanism of a private training; raises InputError where the backend cannot run it."""
        how = noised_training(settings, public_windows(budget))
        return (private_neural.mechanism(cls.name, how, budget),)

    @classmethod
    def audited_settings(cls, settings: NeuralSettings, claimed: Budget, audited: Budget) -> NeuralSettings:
        """The settings whose draws within `audited` have the q of those within `claimed`.

        A training that follows from `claimed` is written out: from `audited` other steps would follow.
        """
        written = settings.model_copy(update={"private": noised_training(settings, public_windows(claimed))})
        return at_rate(written, cls.mechanisms(settings, claimed), audited)


def noised_training(settings: NeuralSettings, windows: int) -> NoisedTraining:
    """The private training that is set, or the published one on `windows` windows."""
    return settings.private or published_training(
        settings.epochs, settings.batch_size, settings.learning_rate, windows
    )


def public_windows(budget: Budget) -> int:
    """Windows of the public population of a private budget."""
    return budget.known_population().records("window")


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
    model: ClassVar[str] = "pulseveil.detectors.neural.model:CNNModel"
    title: ClassVar[str] = "CNN"
    colour: ClassVar[str] = "#0072B2"
    fewest_bins: ClassVar[int] = 4
    seconds_a_window: ClassVar[float] = 2.6e-3
    share_without_bins: ClassVar[float] = 0.05


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
    model: ClassVar[str] = "pulseveil.detectors.neural.model:CNNLSTMModel"
    title: ClassVar[str] = "CNN-LSTM"
    colour: ClassVar[str] = "#D55E00"
    private_differences: ClassVar[tuple[str, ...]] = (
        *NeuralDetector.private_differences,
        "layer normalisation instead of batch normalisation",
    )
    fewest_bins: ClassVar[int] = 4
    seconds_a_window: ClassVar[float] = 3.0e-3
    share_without_bins: ClassVar[float] = 0.1


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
    model: ClassVar[str] = "pulseveil.detectors.neural.model:TransformerModel"
    title: ClassVar[str] = "Transformer"
    colour: ClassVar[str] = "#009E73"
    seconds_a_window: ClassVar[float] = 2.8e-3
    share_without_bins: ClassVar[float] = 0.3
