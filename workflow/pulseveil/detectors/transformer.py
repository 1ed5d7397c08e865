"""The published transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from pulseveil.detectors.neural import NeuralDetector, NeuralSettings

if TYPE_CHECKING:
    from pulseveil.networks.training import Network


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

    def network(self, signals: int, bins: int) -> Network:
        """The network for spectra (signals, bins)."""
        from pulseveil.networks import transformer

        own = self._settings
        return transformer.Transformer(
            signals=signals,
            bins=bins,
            blocks=own.blocks,
            heads=own.heads,
            head_size=own.head_size,
            inner=own.inner_units,
            units=own.dense_units,
            dropout=own.dropout,
        )
