"""Baselines that no private result may miss: the most frequent label, elapsed time, public signs.

The first two see no sensor: they learn from the labels of the training subjects or, at no cost in privacy,
from a published protocol. Public signs come from the literature and see no data at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.core.contracts import FeatureSet
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import integer_seed
from pulseveil.detectors import (
    BASELINE,
    CLOCK,
    LITERATURE,
    Detector,
    DetectorSettings,
    Fitted,
    Outputs,
    Role,
    Training,
)
from pulseveil.detectors.public_knowledge import FittedLinear, public_direction, public_inputs
from pulseveil.detectors.schedules import SCHEDULES, Schedule
from pulseveil.detectors.tabular import TabularSettings, require_both_classes, require_statistics
from pulseveil.privacy.budget import Budget, Mechanism, Unit
from pulseveil.privacy.ledger import Entry

Source = Literal["training", "wesad", "simulated"]


class TimelineSettings(DetectorSettings):
    """Keys of both baselines."""

    source: Source = Field(
        "training", description="learn from training labels, or from the published protocol of a study"
    )

    def schedule(self) -> Schedule | None:
        """The published protocol to learn from; None stands for the training labels."""
        return None if self.source == "training" else SCHEDULES[self.source]


class MajoritySettings(TimelineSettings):
    """`majority` has no keys of its own."""


class Majority(Detector):
    """Always the more frequent label; the score is the share of stress in training or in the protocol."""

    Settings: ClassVar[type[MajoritySettings]] = MajoritySettings
    title: ClassVar[str] = "Majority"
    version: ClassVar[int] = 1
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    role: ClassVar[Role] = BASELINE

    @staticmethod
    def expected_seconds(settings: MajoritySettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows."""
        return 0.001

    @staticmethod
    def mechanisms(settings: MajoritySettings, budget: Budget) -> tuple[Mechanism, ...]:
        """None: a protocol costs nothing; raises InputError where labels would be counted."""
        return _no_mechanisms("majority", settings)

    @staticmethod
    def fit(settings: MajoritySettings, training: Training) -> Fitted:
        """Count the labels of a training or of the protocol.

        Raises InputError where a private budget or no rows forbid to count labels.
        """
        schedule = settings.schedule()
        if schedule is not None:
            return FittedShare(schedule.stress_share())
        if training.budget.is_private:
            _no_mechanisms("majority", settings)
        if not len(training.features):
            raise InputError("majority: expected training windows, found none")
        return FittedShare(float(training.features.stress.mean()))


@dataclass(frozen=True)
class FittedShare:
    """A constant answer."""

    stress_share: float
    ledger: tuple[Entry, ...] = ()

    def score(self, features: FeatureSet) -> Outputs:
        """The same output for each row of `features`."""
        return Outputs.from_probability(np.full(len(features), self.stress_share))


class ElapsedTimeSettings(TimelineSettings):
    """Keys of `elapsed_time`."""

    trees: int = Field(300, gt=0, description="number of trees (source: training)")
    first_tested_min: float = Field(
        5.0, ge=0, description="protocol minutes before the first tested window, which calibration takes"
    )


class ElapsedTime(Detector):
    """Minutes since the subject's first tested second, and nothing else: a random forest, or a protocol.

    Where protocols put their conditions at fixed times, it shows how much of a detector's success
    the clock alone explains.
    """

    Settings: ClassVar[type[ElapsedTimeSettings]] = ElapsedTimeSettings
    title: ClassVar[str] = "Elapsed time"
    version: ClassVar[int] = 1
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    role: ClassVar[Role] = CLOCK

    @staticmethod
    def expected_seconds(settings: ElapsedTimeSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows."""
        if settings.source != "training":
            return 0.001
        return settings.trees / 300 * (0.3 + 1.5e-4 * rows)

    @staticmethod
    def mechanisms(settings: ElapsedTimeSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """None: a protocol costs nothing; raises InputError where labels would be learnt from."""
        return _no_mechanisms("elapsed_time", settings)

    @staticmethod
    def fit(settings: ElapsedTimeSettings, training: Training) -> Fitted:
        """Fit to times and labels, or take the times of the protocol.

        Raises InputError where a private budget, rows of one class or synthetic rows forbid to learn.
        """
        schedule = settings.schedule()
        if schedule is not None:
            return FittedSchedule(schedule, settings.first_tested_min)
        # Plans import this module; scikit-learn takes seconds to import.
        from sklearn.ensemble import RandomForestClassifier

        if training.budget.is_private:
            _no_mechanisms("elapsed_time", settings)
        features = training.features
        require_both_classes("elapsed_time", features.stress)
        seed = integer_seed(training.stream)
        model = RandomForestClassifier(settings.trees, random_state=seed, n_jobs=1)
        return FittedClock(model.fit(elapsed_minutes(features)[:, None], features.stress))


@dataclass(frozen=True, eq=False)
class FittedClock:
    """A fitted scikit-learn classifier of elapsed minutes."""

    model: Any
    ledger: tuple[Entry, ...] = ()

    def score(self, features: FeatureSet) -> Outputs:
        """Outputs for each row of `features`."""
        return Outputs.from_probability(self.model.predict_proba(elapsed_minutes(features)[:, None])[:, 1])


@dataclass(frozen=True)
class FittedSchedule:
    """The times of a protocol, in which the first tested window starts at minute `first_tested_min`."""

    schedule: Schedule
    first_tested_min: float
    ledger: tuple[Entry, ...] = ()

    def score(self, features: FeatureSet) -> Outputs:
        """Outputs for each row of `features`."""
        minutes = self.first_tested_min + elapsed_minutes(features)
        return Outputs.from_probability(self.schedule.stress_probability(minutes))


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


def _no_mechanisms(model: str, settings: TimelineSettings) -> tuple[Mechanism, ...]:
    if settings.schedule() is None:
        protocols = " or ".join(SCHEDULES)
        raise InputError(
            f"{model}: no private training on labels is known for it; take the times of a published protocol "
            f"(`source: {protocols}`), which cost nothing, or use epsilon inf"
        )
    return ()


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
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    role: ClassVar[Role] = LITERATURE
    public_knowledge: ClassVar[Literal["never", "private", "always"]] = "always"

    @staticmethod
    def expected_seconds(settings: PublicSignsSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows."""
        return 0.001

    @staticmethod
    def mechanisms(settings: PublicSignsSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """None: nothing is spent; raises InputError for inputs without public signs."""
        require_statistics("public_signs", settings)
        return ()

    @staticmethod
    def fit(settings: PublicSignsSettings, training: Training) -> Fitted:
        """The rule for the columns of a training, whatever its rows; raises InputError as `mechanisms`."""
        require_statistics("public_signs", settings)
        inputs = public_inputs(training.features, settings.statistics)
        return FittedLinear(inputs, *public_direction(inputs))
