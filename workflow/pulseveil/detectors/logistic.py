"""Logistic regression: the plain yardstick that a network must beat."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from pulseveil.checkpoints import Checkpoint
from pulseveil.contracts import FeatureSet
from pulseveil.detectors import Detector, Fitted
from pulseveil.detectors.private_logistic import Descent, chosen, descent_mechanism, fit_private
from pulseveil.detectors.public_knowledge import public_inputs
from pulseveil.detectors.tabular import (
    FittedTable,
    TabularSettings,
    require_both_classes,
    require_statistics,
    table,
)
from pulseveil.privacy.budget import Budget, Unit
from pulseveil.privacy.mechanism import Mechanism
from pulseveil.privacy.programs import DESCENT
from pulseveil.randomness import Stream


class LogisticSettings(TabularSettings):
    """Keys of `logistic`."""

    inverse_penalty: float = Field(0.1, gt=0, description="C of scikit-learn; smaller is smoother")
    class_weight: Literal["balanced", "none"] = Field("balanced", description="weights of the two classes")
    private: Descent | None = Field(
        None, description="private: the training; default: chosen for unit and epsilon on simulated cohorts"
    )


class Logistic(Detector):
    """L2-penalised logistic regression on columns standardised on the training rows.

    A private one reads the wanted statistics of which the literature knows the scale, see
    `public_knowledge`, and has settings of its own.
    """

    Settings: ClassVar[type[LogisticSettings]] = LogisticSettings
    title: ClassVar[str] = "Logistic regression"
    colour: ClassVar[str] = "#CC79A7"
    version: ClassVar[int] = 1
    uses_tensorflow: ClassVar[bool] = False
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    programs: ClassVar[tuple[int, ...]] = (DESCENT,)
    public_knowledge: ClassVar[Literal["never", "private", "always"]] = "private"

    def __init__(self, settings: Any) -> None:
        self._settings: LogisticSettings = settings

    @staticmethod
    def expected_seconds(settings: LogisticSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows."""
        return 0.01 + (5e-6 if settings.inputs == "statistics" else 5e-5) * rows

    @staticmethod
    def mechanisms(settings: LogisticSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """The noised steps of a private training; raises InputError for inputs without public scales."""
        require_statistics("logistic", settings)
        return (descent_mechanism(settings.private or chosen(budget), budget),)

    def fit(
        self,
        features: FeatureSet,
        *,
        budget: Budget,
        stream: Stream,
        checkpoint: Checkpoint | None = None,
    ) -> Fitted:
        """Fit to the rows of `features`; apart from privacy noise deterministic, so `stream` is not used.

        Raises InputError for training rows of one class; a private training does not look.
        """
        if budget.is_private:
            require_statistics("logistic", self._settings)
            inputs = public_inputs(features, self._settings.statistics)
            descent = self._settings.private or chosen(budget)
            balanced = self._settings.class_weight == "balanced"
            return fit_private(features, inputs, descent, budget, balanced=balanced)
        # Plans import this module; scikit-learn takes seconds to import.
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        require_both_classes("logistic", features.stress)
        weight = None if self._settings.class_weight == "none" else "balanced"
        model = make_pipeline(
            StandardScaler(),
            LogisticRegression(C=self._settings.inverse_penalty, class_weight=weight, max_iter=1000),
        )
        return FittedTable(self._settings, model.fit(table(features, self._settings), features.stress))
