"""The published CNN-LSTM."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from pulseveil.detectors.cnn import ConvolutionalSettings
from pulseveil.detectors.neural import NeuralDetector

if TYPE_CHECKING:
    from pulseveil.networks.training import Network


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

    def network(self, signals: int, bins: int) -> Network:
        """The network for spectra (signals, bins)."""
        from pulseveil.networks import convolutional

        own = self._settings
        return convolutional.CNNLSTM(signals, bins, own.filters, own.lstm_units, own.dense_units, own.dropout)

    def private_network(self, signals: int, bins: int) -> Network:
        """The same, layer-normalised."""
        from pulseveil.networks import convolutional

        own = self._settings
        return convolutional.LayerNormalisedCNNLSTM(
            signals, bins, own.filters, own.lstm_units, own.dense_units, own.dropout
        )
