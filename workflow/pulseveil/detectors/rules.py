"""Yardsticks that see no sensor: the most frequent label, and the time since the recording began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.contracts import FeatureSet
from pulseveil.detectors import DetectorSettings, Fitted, Outputs
from pulseveil.detectors.tabular import require_both_classes
from pulseveil.errors import InputError
from pulseveil.privacy.budget import Budget
from pulseveil.randomness import Stream, integer_seed


class MajoritySettings(DetectorSettings):
    """`majority` has no keys."""


class Majority:
    """Always the most frequent training label; the score is the training share of stress."""

    Settings: ClassVar[type[MajoritySettings]] = MajoritySettings
    version: ClassVar[int] = 1
    uses_tensorflow: ClassVar[bool] = False
    private_units: ClassVar[frozenset[str]] = frozenset()
    trains_on: ClassVar[Literal["windows", "timeline"]] = "timeline"

    def __init__(self, settings: Any) -> None:
        del settings

    @staticmethod
    def expected_seconds(settings: MajoritySettings, rows: int) -> float:
        """Expected CPU seconds of fitting to `rows` windows."""
        return 0.001

    def fit(self, features: FeatureSet, *, budget: Budget, stream: Stream) -> Fitted:
        """Count the labels of `features`; raises InputError for a private budget or no rows."""
        budget.refuse_private("majority")
        if not len(features):
            raise InputError("majority: expected training windows, found none")
        return FittedShare(float(features.stress.mean()))


@dataclass(frozen=True)
class FittedShare:
    """A constant answer."""

    stress_share: float

    def score(self, features: FeatureSet) -> Outputs:
        """The same output for each row of `features`."""
        return Outputs.from_probability(np.full(len(features), self.stress_share))


class ElapsedTimeSettings(DetectorSettings):
    """Keys of `elapsed_time`."""

    trees: int = Field(300, gt=0, description="number of trees")


class ElapsedTime:
    """Random forest on minutes since the subject's first tested second, and on nothing else.

    Where protocols put their conditions at fixed times, it shows how much of a detector's success
    the clock alone explains.
    """

    Settings: ClassVar[type[ElapsedTimeSettings]] = ElapsedTimeSettings
    version: ClassVar[int] = 1
    uses_tensorflow: ClassVar[bool] = False
    private_units: ClassVar[frozenset[str]] = frozenset()
    trains_on: ClassVar[Literal["windows", "timeline"]] = "timeline"

    def __init__(self, settings: Any) -> None:
        self._settings: ElapsedTimeSettings = settings

    @staticmethod
    def expected_seconds(settings: ElapsedTimeSettings, rows: int) -> float:
        """Expected CPU seconds of fitting to `rows` windows."""
        return settings.trees / 300 * (0.3 + 1.5e-4 * rows)

    def fit(self, features: FeatureSet, *, budget: Budget, stream: Stream) -> Fitted:
        """Fit to times and labels; raises InputError for a private budget, one class or synthetic rows."""
        # Plans import this module; scikit-learn takes seconds to import.
        from sklearn.ensemble import RandomForestClassifier

        budget.refuse_private("elapsed_time")
        require_both_classes("elapsed_time", features.stress)
        model = RandomForestClassifier(self._settings.trees, random_state=integer_seed(stream), n_jobs=1)
        return FittedClock(model.fit(elapsed_minutes(features)[:, None], features.stress))


@dataclass(frozen=True, eq=False)
class FittedClock:
    """A fitted scikit-learn classifier of elapsed minutes."""

    model: Any

    def score(self, features: FeatureSet) -> Outputs:
        """Outputs for each row of `features`."""
        return Outputs.from_probability(self.model.predict_proba(elapsed_minutes(features)[:, None])[:, 1])


def elapsed_minutes(features: FeatureSet) -> NDArray[np.float64]:
    """Minutes (n) from the start of the subject's first window that is not for calibration.

    Calibration windows are trained on but never tested: counting from a window that both sides have keeps
    the clocks of training and test subjects equal (a subject with no other window counts from its first).
    Raises InputError for synthetic rows, which have no time.
    """
    if np.isnan(features.start_s).any():
        raise InputError(
            "elapsed_time: expected windows with a start time, found synthetic ones; train on real"
        )
    subjects, subject = np.unique(features.subject, return_inverse=True)
    first, tested = np.full((2, len(subjects)), np.inf)
    np.minimum.at(first, subject, features.start_s)
    np.minimum.at(tested, subject, np.where(features.calibration, np.inf, features.start_s))
    origin = np.where(np.isfinite(tested), tested, first)
    minutes: NDArray[np.float64] = (features.start_s - origin[subject]) / 60
    return minutes
