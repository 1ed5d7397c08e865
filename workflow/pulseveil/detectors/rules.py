"""Rules that results are compared with: the most frequent label, elapsed time, and the literature rule.

The first two see no sensor. They learn from the labels of the training subjects or, at no cost in privacy,
from a published protocol. The literature rule sees no training data, neither with all statistics of known
sign (`public_signs`) nor with three of them (`public_signs_three`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.core.arrays import Arrays
from pulseveil.core.contracts import FeatureSet
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import integer_seed
from pulseveil.detectors import (
    BASELINE,
    CLOCK,
    LITERATURE,
    LITERATURE_THREE,
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
from pulseveil.detectors.trees import Trees
from pulseveil.privacy.budget import Budget, Mechanism, Unit
from pulseveil.privacy.ledger import Entry

Source = Literal["training", "wesad", "simulated"]


class TimelineSettings(DetectorSettings):
    """Keys that `majority` and `elapsed_time` share."""

    source: Source = Field(
        "training", description="training: learn from training labels; else from the protocol of that study"
    )

    def schedule(self) -> Schedule | None:
        """Published protocol to learn from; None means the training labels."""
        return None if self.source == "training" else SCHEDULES[self.source]


class MajoritySettings(TimelineSettings):
    """Keys of `majority`."""


class Majority(Detector):
    """Constant answer: the more frequent label, with the share of stress as score."""

    Settings: ClassVar[type[MajoritySettings]] = MajoritySettings
    title: ClassVar[str] = "Majority"
    version: ClassVar[int] = 1
    # Both, because a published protocol costs nothing at either; `mechanisms` refuses to count labels.
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    role: ClassVar[Role] = BASELINE

    @staticmethod
    def expected_seconds(settings: MajoritySettings, rows: int, private: Unit | None) -> float:
        """Rough estimate of the CPU seconds of fitting to `rows` windows."""
        return 0.001

    @staticmethod
    def mechanisms(settings: MajoritySettings, budget: Budget) -> tuple[Mechanism, ...]:
        """No mechanisms, because a published protocol costs nothing.

        Raises:
            InputError: `settings` count the training labels.
        """
        return _no_mechanisms("majority", settings)

    @staticmethod
    def fit(settings: MajoritySettings, training: Training) -> Fitted:
        """Take the share of stress from the protocol, or count the labels of a training.

        Raises:
            InputError: labels are to be counted, but the budget is private or there are no rows.
        """
        schedule = settings.schedule()
        # Before the budget is looked at: the protocol's share of stress is no private value.
        if schedule is not None:
            return FittedShare(schedule.stress_share())
        if training.budget.is_private:
            _no_mechanisms("majority", settings)
        if not len(training.features):
            raise InputError("majority: expected training windows, found none; check the fold's subjects")
        return FittedShare(float(training.features.stress.mean()))

    @staticmethod
    def from_arrays(settings: MajoritySettings, arrays: Arrays) -> Fitted:
        """The rule with the share of stress in `arrays`."""
        return FittedShare(float(arrays["stress_share"]))


@dataclass(frozen=True)
class FittedShare:
    """Detector with one score for all windows, the share of stress."""

    stress_share: float
    ledger: tuple[Entry, ...] = ()

    def score(self, features: FeatureSet) -> Outputs:
        """Equal outputs for all rows of `features`."""
        return Outputs.from_probability(np.full(len(features), self.stress_share))

    def arrays(self) -> Arrays:
        """The share of stress."""
        return {"stress_share": np.array(self.stress_share)}


class ElapsedTimeSettings(TimelineSettings):
    """Keys of `elapsed_time`."""

    trees: int = Field(300, gt=0, description="number of trees (source: training)")
    first_tested_min: float = Field(
        5.0, ge=0, description="minutes of the protocol before the first tested window, used for calibration"
    )


class ElapsedTime(Detector):
    """Stress from the minutes since the subject's first tested second: a random forest, or a protocol.

    Where a protocol has its conditions at fixed times, this rule shows how much of a detector's accuracy the
    clock alone explains.
    """

    Settings: ClassVar[type[ElapsedTimeSettings]] = ElapsedTimeSettings
    title: ClassVar[str] = "Elapsed time"
    version: ClassVar[int] = 1
    # As for `Majority`.
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    role: ClassVar[Role] = CLOCK

    @staticmethod
    def expected_seconds(settings: ElapsedTimeSettings, rows: int, private: Unit | None) -> float:
        """Rough estimate of the CPU seconds of fitting to `rows` windows."""
        if settings.source != "training":
            return 0.001
        return settings.trees / 300 * (0.45 + 2e-4 * rows)

    @staticmethod
    def mechanisms(settings: ElapsedTimeSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """No mechanisms, because a published protocol costs nothing.

        Raises:
            InputError: `settings` learn from the training labels.
        """
        return _no_mechanisms("elapsed_time", settings)

    @staticmethod
    def fit(settings: ElapsedTimeSettings, training: Training) -> Fitted:
        """Take the times of the protocol, or fit a random forest to the times and labels of a training.

        Raises:
            InputError: labels are to be learnt, but the budget is private, all rows have the same class, or
                a row is synthetic and has no time.
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
        return FittedClock(Trees.of_forest(model.fit(elapsed_minutes(features)[:, None], features.stress)))

    @staticmethod
    def from_arrays(settings: ElapsedTimeSettings, arrays: Arrays) -> Fitted:
        """The rule by the protocol of `settings`, or with the trees in `arrays`."""
        schedule = settings.schedule()
        if schedule is not None:
            return FittedSchedule(schedule, settings.first_tested_min)
        return FittedClock(Trees.from_arrays(arrays))


@dataclass(frozen=True, eq=False)
class FittedClock:
    """Random forest on elapsed minutes."""

    trees: Trees
    ledger: tuple[Entry, ...] = ()

    def score(self, features: FeatureSet) -> Outputs:
        """Outputs for each row of `features`."""
        return Outputs.from_probability(self.trees.probability(elapsed_minutes(features)[:, None]))

    def arrays(self) -> Arrays:
        """The trees."""
        return self.trees.arrays()


@dataclass(frozen=True)
class FittedSchedule:
    """Detector by the times of a protocol whose minute `first_tested_min` is the first tested second."""

    schedule: Schedule
    first_tested_min: float
    ledger: tuple[Entry, ...] = ()

    def score(self, features: FeatureSet) -> Outputs:
        """Outputs for each row of `features`."""
        minutes = self.first_tested_min + elapsed_minutes(features)
        return Outputs.from_probability(self.schedule.stress_probability(minutes))

    def arrays(self) -> Arrays:
        """Nothing: the settings name the protocol."""
        return {}


def elapsed_minutes(features: FeatureSet) -> NDArray[np.float64]:
    """Minutes (n) float64 from the start of the subject's first window that is not used for calibration.

    A subject that has calibration windows only is counted from the first of them.

    Raises:
        InputError: a row is synthetic and has no time.
    """
    if np.isnan(features.start_s).any():
        raise InputError(
            "elapsed_time: expected windows with a start time, found synthetic ones; train on real windows"
        )
    # Calibration windows train but are never tested: counted from a subject's very first window, the clock
    # would start earlier in training than in the test.
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
            f"{model}: no private training on labels is known; take the times of a published protocol, which "
            f"costs nothing (`source: {protocols}`), or use epsilon inf"
        )
    return ()


class PublicSignsSettings(TabularSettings):
    """Keys of `public_signs`."""


class PublicSigns(Detector):
    """Literature rule: stress where the sum of the squashed statistics, each with its sign, is large.

    Signs, scales and threshold are those of `public_knowledge`. The rule does not read the training rows, so
    it satisfies every epsilon.
    """

    Settings: ClassVar[type[PublicSignsSettings]] = PublicSignsSettings
    title: ClassVar[str] = "Literature rule"
    version: ClassVar[int] = 1
    # Both, because a rule that reads no training rows spends nothing at either.
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    role: ClassVar[Role] = LITERATURE
    public_knowledge: ClassVar[Literal["never", "private", "always"]] = "always"

    @staticmethod
    def expected_seconds(settings: PublicSignsSettings, rows: int, private: Unit | None) -> float:
        """Rough estimate of the CPU seconds of fitting to `rows` windows."""
        return 0.001

    @staticmethod
    def mechanisms(settings: PublicSignsSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """No mechanisms, because the rule reads no training rows.

        Raises:
            InputError: `settings` read spectra, which have no public signs.
        """
        require_statistics("public_signs", settings)
        return ()

    @staticmethod
    def fit(settings: PublicSignsSettings, training: Training) -> Fitted:
        """The rule for the columns of a training; the values of its rows are not read.

        Raises:
            InputError: `settings` read spectra, or no column has a public scale.
        """
        require_statistics("public_signs", settings)
        inputs = public_inputs(training.features, settings.statistics)
        return FittedLinear(inputs, *public_direction(inputs))

    @staticmethod
    def from_arrays(settings: PublicSignsSettings, arrays: Arrays) -> Fitted:
        """The rule with the columns in `arrays`."""
        return FittedLinear.from_arrays(arrays)


class PublicSignsThreeSettings(PublicSignsSettings):
    """Keys of `public_signs_three`."""

    statistics: tuple[str, ...] = Field(
        ("heart_rate_mean", "eda_level_mean", "eda_phasic_log_sd"),
        min_length=1,
        description="columns that the rule reads",
    )


class PublicSignsThree(PublicSigns):
    """Literature rule of the three statistics that `posterior` asks of few people.

    It is the harder rule to beat on WESAD: a row above `public_signs` alone can owe its gain to the choice of
    these statistics, which uses no private data.
    """

    Settings: ClassVar[type[PublicSignsSettings]] = PublicSignsThreeSettings
    title: ClassVar[str] = "Literature rule of three"
    role: ClassVar[Role] = LITERATURE_THREE
