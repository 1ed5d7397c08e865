"""Kinds of the published neural detectors: CNN, CNN-LSTM and transformer; imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from pulseveil.detectors import DetectorKind, DetectorSettings, private_neural
from pulseveil.detectors.private_neural import NoisedTraining, published_training
from pulseveil.privacy.budget import Budget, Mechanism, Unit, at_rate
from pulseveil.privacy.programs import DPSGD, LIBRARY_OPTIMIZER


class NeuralSettings(DetectorSettings):
    """Keys of every neural detector."""

    # No early stopping: epochs are never chosen on the test subject, and a choice by scores on private data
    # would be a use without noise.
    epochs: int = Field(gt=0, description="passes over the training windows; the last weights are kept")
    learning_rate: float = Field(gt=0, description="step size of Adam")
    batch_size: int = Field(50, gt=0, description="windows per training step")
    dropout: float = Field(ge=0, lt=1, description="share of values that dropout sets to zero")
    # Left out of the settings of jobs where it is float32, as below: the hashes of other runs must stay.
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="type of the products in trainings without a budget: bfloat16 keeps 8 of 24 bits, and is "
        "faster where the processor or GPU has such products; scores and private trainings are whole float32",
        exclude_if=lambda value: value == "float32",
    )
    private: NoisedTraining | None = Field(
        None,
        description="settings of a private training; default: the published steps, batch size and step size",
    )
    pretrain: Literal["public"] | None = Field(
        None,
        description="public: the network first learns from all windows of the study's `public_cohorts`, "
        "without a budget; default: it starts from its initial weights",
        exclude_if=lambda value: value is None,
    )


class NeuralDetector(DetectorKind):
    """Base of the neural kinds: two sigmoid outputs (rest, stress), trained by Adam on weighted classes."""

    name: ClassVar[str]
    Settings: ClassVar[type[NeuralSettings]]
    version: ClassVar[int] = 3
    # Read by plans, which must not import TensorFlow: the networks themselves are in `neural.model`.
    uses_tensorflow: ClassVar[bool] = True
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    programs: ClassVar[tuple[int, ...]] = (DPSGD, LIBRARY_OPTIMIZER)
    private_differences: ClassVar[tuple[str, ...]] = (
        "Poisson samples of records instead of shuffled epochs; at unit subject all people in each step",
        "steps, batch, learning rate and optimizer of `private`, where it is set",
        "class weights by the public share of stress; at unit subject each person counts alike",
        "products in float32, whatever `precision` is",
    )
    fewest_bins: ClassVar[int] = 1
    # CPU seconds of the plan's core per window and epoch, at the 210 bins of the published features, and what
    # a step of each unit takes of them (tests/benchmarks/hours.py).
    seconds_per_window: ClassVar[float]
    price: ClassVar[Mapping[Unit, float]]
    # Rows of one pass of a private step (`privacy.dpsgd`), whose module imports TensorFlow.
    rows_of_pass: ClassVar[int] = 16

    @classmethod
    def expected_seconds(cls, settings: NeuralSettings, rows: int, private: Unit | None) -> float:
        """Rough estimate of the CPU seconds of fitting to `rows` windows of 210 bins."""
        if private is None:
            return settings.epochs * rows * cls.seconds_per_window
        training = noised_training(settings, rows)
        seen = private_neural.expected_windows(training, rows, private, cls.rows_of_pass)
        return seen * cls.price[private] * cls.seconds_per_window

    @staticmethod
    def uses_public_people(settings: NeuralSettings) -> bool:
        """Whether the network first learns from the public cohorts."""
        return settings.pretrain == "public"

    @classmethod
    def architecture(cls, settings: NeuralSettings) -> str:
        """The network's name and shape; two networks of one architecture differ in their training alone."""
        shape = {key: value for key, value in settings if key not in NeuralSettings.model_fields}
        return f"{cls.name} {shape}"

    @classmethod
    def mechanisms(cls, settings: NeuralSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """Mechanism of a private training.

        Raises:
            InputError: the backend tensorflow-privacy at unit subject.
        """
        how = noised_training(settings, public_windows(budget))
        return (private_neural.mechanism(cls.name, how, budget),)

    @classmethod
    def audited_settings(cls, settings: NeuralSettings, claimed: Budget, audited: Budget) -> NeuralSettings:
        """Settings whose sampling rate within `audited` is that of `settings` within `claimed`."""
        # The default training depends on the number of windows: derived from `audited`, which has more of
        # them, it would have more steps than the claim.
        derived = settings.model_copy(update={"private": noised_training(settings, public_windows(claimed))})
        return at_rate(derived, cls.mechanisms(settings, claimed), audited)


def noised_training(settings: NeuralSettings, windows: int) -> NoisedTraining:
    """Private training of `settings`; by default the published training on `windows` windows."""
    return settings.private or published_training(
        settings.epochs, settings.batch_size, settings.learning_rate, windows
    )


def public_windows(budget: Budget) -> int:
    """Public number of windows of a private budget."""
    return budget.known_population().records("window")


class ConvolutionalSettings(NeuralSettings):
    """Keys that `cnn` and `cnn_lstm` share."""

    learning_rate: float = Field(1e-3, gt=0, description="step size of Adam")
    dropout: float = Field(0.3, ge=0, lt=1, description="share of values that dropout sets to zero")
    filters: int = Field(64, gt=0, description="feature maps per convolution")
    dense_units: tuple[int, ...] = Field((128, 64), description="widths of the dense layers")


class CNNSettings(ConvolutionalSettings):
    """Keys of `cnn`."""

    epochs: int = Field(10, gt=0, description="passes over the training windows; the last weights are kept")


class CNN(NeuralDetector):
    """Four convolutions over the bins of each signal's spectrum, then dense layers."""

    name: ClassVar[str] = "cnn"
    Settings: ClassVar[type[CNNSettings]] = CNNSettings
    model: ClassVar[str] = "pulseveil.detectors.neural.model:CNNModel"
    title: ClassVar[str] = "CNN"
    colour: ClassVar[str] = "#0072B2"
    # Two poolings halve the bins, and the dense layers need at least one of what remains.
    fewest_bins: ClassVar[int] = 4
    seconds_per_window: ClassVar[float] = 4.8e-3
    price: ClassVar[Mapping[Unit, float]] = {"window": 1.1, "subject": 1.0}
    # From measured times at 16 to 210 bins (tests/benchmarks/private.py and hours.py), as in the kinds below.
    share_without_bins: ClassVar[float] = 0.05


class CNNLSTMSettings(ConvolutionalSettings):
    """Keys of `cnn_lstm`."""

    epochs: int = Field(20, gt=0, description="passes over the training windows; the last weights are kept")
    lstm_units: tuple[int, int] = Field((128, 64), description="units of the two LSTM layers")


class CNNLSTM(NeuralDetector):
    """The CNN's convolutions with batch normalisation, then two LSTM layers over the signals.

    Batch normalisation mixes records. A private training has layer normalisation instead.
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
    seconds_per_window: ClassVar[float] = 5.3e-3
    price: ClassVar[Mapping[Unit, float]] = {"window": 1.15, "subject": 1.05}
    share_without_bins: ClassVar[float] = 0.08


class TransformerSettings(NeuralSettings):
    """Keys of `transformer`."""

    epochs: int = Field(110, gt=0, description="passes over the training windows; the last weights are kept")
    learning_rate: float = Field(1e-4, gt=0, description="step size of Adam")
    dropout: float = Field(0.25, ge=0, lt=1, description="share of values that dropout sets to zero")
    blocks: int = Field(8, gt=0, description="encoder blocks")
    heads: int = Field(4, gt=0, description="attention heads per block")
    head_size: int = Field(256, gt=0, description="features per head")
    inner_units: int = Field(4, gt=0, description="width of the feed-forward layer of a block")
    dense_units: int = Field(128, gt=0, description="width of the dense layer after the blocks")


class Transformer(NeuralDetector):
    """Encoder blocks whose tokens are the signals of a window, without positional encoding."""

    name: ClassVar[str] = "transformer"
    version: ClassVar[int] = NeuralDetector.version + 1
    Settings: ClassVar[type[TransformerSettings]] = TransformerSettings
    model: ClassVar[str] = "pulseveil.detectors.neural.model:TransformerModel"
    title: ClassVar[str] = "Transformer"
    colour: ClassVar[str] = "#009E73"
    seconds_per_window: ClassVar[float] = 4.1e-3
    price: ClassVar[Mapping[Unit, float]] = {"window": 1.3, "subject": 1.15}
    rows_of_pass: ClassVar[int] = 64
    share_without_bins: ClassVar[float] = 0.27
