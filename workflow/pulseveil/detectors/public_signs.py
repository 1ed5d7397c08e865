"""The yardstick that no private result may miss: signs from the literature, and no data at all."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pulseveil.checkpoints import Checkpoint
from pulseveil.contracts import FeatureSet
from pulseveil.detectors import LITERATURE, Detector, Fitted, Role
from pulseveil.detectors.linear import FittedLinear, public_direction
from pulseveil.detectors.public_knowledge import public_inputs
from pulseveil.detectors.tabular import TabularSettings, require_statistics
from pulseveil.privacy.budget import Budget, Unit
from pulseveil.privacy.mechanism import Mechanism
from pulseveil.randomness import Stream


class PublicSignsSettings(TabularSettings):
    """Keys of `public_signs`."""


class PublicSigns(Detector):
    """Decides for stress where the squashed statistics, each with its public sign, add up to enough.

    Signs, scales and threshold are those of `public_knowledge`. Training rows are not looked at, so that it
    keeps to any epsilon.
    """

    Settings: ClassVar[type[PublicSignsSettings]] = PublicSignsSettings
    title: ClassVar[str] = "Public signs"
    version: ClassVar[int] = 1
    uses_tensorflow: ClassVar[bool] = False
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    programs: ClassVar[tuple[int, ...]] = ()
    role: ClassVar[Role] = LITERATURE
    public_knowledge: ClassVar[Literal["never", "private", "always"]] = "always"

    def __init__(self, settings: Any) -> None:
        self._settings: PublicSignsSettings = settings

    @staticmethod
    def expected_seconds(settings: PublicSignsSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows."""
        return 0.001

    @staticmethod
    def mechanisms(settings: PublicSignsSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """None: nothing is spent; raises InputError for inputs without public signs."""
        require_statistics("public_signs", settings)
        return ()

    def fit(
        self,
        features: FeatureSet,
        *,
        budget: Budget,
        stream: Stream,
        checkpoint: Checkpoint | None = None,
    ) -> Fitted:
        """The rule for the columns of `features`, whatever its rows; raises InputError as `mechanisms`."""
        require_statistics("public_signs", self._settings)
        inputs = public_inputs(features, self._settings.statistics)
        return FittedLinear(inputs, *public_direction(inputs))
