"""Rule: the decision of a network with its initial weights, which private networks of few steps may keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, model_validator

from pulseveil.core.settings import explain
from pulseveil.detectors import BEFORE_TRAINING, DetectorKind, DetectorSettings, Role
from pulseveil.detectors.neural import CNN, CNNLSTM, NeuralDetector, NeuralSettings, Transformer
from pulseveil.privacy.budget import Budget, Mechanism, Unit

_NETWORKS: Mapping[str, type[NeuralDetector]] = {kind.name: kind for kind in (CNN, CNNLSTM, Transformer)}


class UntrainedSettings(DetectorSettings):
    """Keys of `untrained`."""

    network: Literal["cnn", "cnn_lstm", "transformer"] = Field("cnn", description="kind of the network")
    settings: Any = Field(
        {},
        description="settings of the network that the rule is compared with; keys of training are not used",
    )

    @model_validator(mode="after")
    def _of_the_network(self) -> Self:
        schema = _NETWORKS[self.network].Settings
        try:
            schema.model_validate(self.settings)
        except ValidationError as error:
            raise ValueError("; ".join(explain(error, schema, self.settings, self.network))) from None
        return self

    @property
    def network_settings(self) -> NeuralSettings:
        """Settings of the network."""
        return _NETWORKS[self.network].Settings.model_validate(self.settings)


class Untrained(DetectorKind):
    """A network of a private training with its initial weights.

    A private training of few noised steps can decide as its network did before. The rule shows this: it does
    not read the training rows, so it satisfies every epsilon. The seeds of a study are draws of the weights.
    """

    Settings: ClassVar[type[UntrainedSettings]] = UntrainedSettings
    title: ClassVar[str] = "Untrained network"
    version: ClassVar[int] = 1
    role: ClassVar[Role] = BEFORE_TRAINING
    uses_tensorflow: ClassVar[bool] = True
    # Both, because a rule that reads no training rows spends nothing at either.
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    model: ClassVar[str] = "pulseveil.detectors.neural.model:UntrainedModel"

    @staticmethod
    def expected_seconds(settings: UntrainedSettings, rows: int, private: Unit | None) -> float:
        """Rough estimate of the CPU seconds of drawing the weights."""
        return 0.05

    @staticmethod
    def architecture(settings: UntrainedSettings) -> str:
        """That of the network."""
        return _NETWORKS[settings.network].architecture(settings.network_settings)

    @staticmethod
    def mechanisms(settings: UntrainedSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """No mechanisms, because the rule reads no training rows."""
        return ()
