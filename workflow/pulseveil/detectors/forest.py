"""Random forest: a yardstick that also finds steps and interactions."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from pulseveil.checkpoints import Checkpoint
from pulseveil.contracts import FeatureSet
from pulseveil.detectors import Detector, Fitted
from pulseveil.detectors.tabular import FittedTable, TabularSettings, require_both_classes, table
from pulseveil.privacy.budget import Budget, Unit
from pulseveil.randomness import Stream, integer_seed


class ForestSettings(TabularSettings):
    """Keys of `forest`."""

    trees: int = Field(300, gt=0, description="number of trees")


class Forest(Detector):
    """Random forest with the library's default trees, one thread."""

    Settings: ClassVar[type[ForestSettings]] = ForestSettings
    title: ClassVar[str] = "Random forest"
    colour: ClassVar[str] = "#E69F00"
    version: ClassVar[int] = 1
    uses_tensorflow: ClassVar[bool] = False
    private_units: ClassVar[frozenset[str]] = frozenset()
    public_knowledge: ClassVar[Literal["never", "private", "always"]] = "never"

    def __init__(self, settings: Any) -> None:
        self._settings: ForestSettings = settings

    @staticmethod
    def expected_seconds(settings: ForestSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows."""
        seconds_a_row = 4e-4 if settings.inputs == "statistics" else 2e-3
        return settings.trees / 300 * (0.3 + seconds_a_row * rows)

    def fit(
        self,
        features: FeatureSet,
        *,
        budget: Budget,
        stream: Stream,
        checkpoint: Checkpoint | None = None,
    ) -> Fitted:
        """Fit to the rows of `features`; raises InputError for a private budget or rows of one class."""
        # Plans import this module; scikit-learn takes seconds to import.
        from sklearn.ensemble import RandomForestClassifier

        budget.refuse_private("forest")
        require_both_classes("forest", features.stress)
        model = RandomForestClassifier(self._settings.trees, random_state=integer_seed(stream), n_jobs=1)
        return FittedTable(self._settings, model.fit(table(features, self._settings), features.stress))
