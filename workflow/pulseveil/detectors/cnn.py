"""The published CNN."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from pulseveil.detectors.neural import NeuralDetector, NeuralSettings

if TYPE_CHECKING:
    from pulseveil.networks.training import Network


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

    def network(self, signals: int, bins: int) -> Network:
        """The network for spectra (signals, bins)."""
        from pulseveil.networks import convolutional

        own = self._settings
        return convolutional.CNN(signals, bins, own.filters, own.dense_units, own.dropout)
