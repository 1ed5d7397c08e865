"""Simple detectors on named statistics: their inputs, and the random forest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from pulseveil.core.arrays import Arrays
from pulseveil.core.contracts import CHANNEL_SETS, FeatureSet
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import integer_seed
from pulseveil.detectors import Detector, DetectorSettings, Fitted, Outputs, Training
from pulseveil.detectors.trees import Trees
from pulseveil.privacy.budget import Unit
from pulseveil.privacy.ledger import Entry
from pulseveil.windows.features import STATISTICS, select_columns, statistic_names


class TabularSettings(DetectorSettings):
    """Keys of every simple detector: the columns that it reads."""

    inputs: Literal["statistics", "spectra"] = Field("statistics", description="what the detector reads")
    statistics: tuple[str, ...] = Field(
        ("mean", "log_sd", "slope"),
        min_length=1,
        description="statistics of every channel (`mean`), or single columns (`heart_rate_mean`)",
    )

    @field_validator("statistics")
    @classmethod
    def _known(cls, wanted: tuple[str, ...]) -> tuple[str, ...]:
        # Columns of every channel set: settings are checked before the study's own channels are known.
        columns = {name for channels in CHANNEL_SETS.values() for name in statistic_names(channels)}
        unknown = [w for w in wanted if w not in STATISTICS and w not in columns]
        if unknown:
            raise ValueError(
                f"unknown statistic {unknown[0]!r}; expected {', '.join(STATISTICS)}, or the column of one "
                "channel such as heart_rate_mean"
            )
        return wanted


def table(features: FeatureSet, settings: TabularSettings) -> NDArray[np.float64]:
    """Inputs (n, columns) float64 of a simple detector: the wanted statistics, or all spectra side by side.

    Raises:
        InputError: `features` lack a wanted statistic.
    """
    if settings.inputs == "spectra":
        return features.features.reshape(len(features), -1).astype(np.float64)
    columns = select_columns(features.statistic_names, settings.statistics)
    return features.statistics[:, columns].astype(np.float64)


def require_statistics(model: str, settings: TabularSettings) -> None:
    """Check that a private training reads statistics.

    Raises:
        InputError: it reads spectra, which have no public scales.
    """
    if settings.inputs != "statistics":
        raise InputError(
            f"{model}: a private training reads statistics, which have public scales, found inputs "
            f"{settings.inputs}; use `inputs: statistics` or epsilon inf"
        )


def require_both_classes(model: str, stress: NDArray[np.bool_]) -> None:
    """Check that the training rows (n) hold both classes.

    Raises:
        InputError: all rows are stress, or none is.
    """
    found = int(stress.sum())
    if found in (0, len(stress)):
        raise InputError(
            f"{model}: expected training windows with and without stress, found {found} of {len(stress)} "
            "with stress; train on more subjects or leave this detector out"
        )


@dataclass(frozen=True, eq=False)
class FittedForest:
    """Trained random forest; `settings` name the columns that it reads."""

    settings: TabularSettings
    trees: Trees
    ledger: tuple[Entry, ...] = ()

    def score(self, features: FeatureSet) -> Outputs:
        """Outputs for each row of `features`."""
        return Outputs.from_probability(self.trees.probability(table(features, self.settings)))

    def arrays(self) -> Arrays:
        """The trees."""
        return self.trees.arrays()


class ForestSettings(TabularSettings):
    """Keys of `forest`."""

    trees: int = Field(300, gt=0, description="number of trees")


class Forest(Detector):
    """Random forest of scikit-learn with its default trees."""

    Settings: ClassVar[type[ForestSettings]] = ForestSettings
    title: ClassVar[str] = "Random forest"
    colour: ClassVar[str] = "#E69F00"
    version: ClassVar[int] = 1

    @staticmethod
    def expected_seconds(settings: ForestSettings, rows: int, private: Unit | None) -> float:
        """Rough estimate of the CPU seconds of fitting to `rows` windows."""
        # Spectra of 210 bins.
        seconds_per_row = 6e-4 if settings.inputs == "statistics" else 8e-3
        return settings.trees / 300 * (0.5 + seconds_per_row * rows)

    @staticmethod
    def fit(settings: ForestSettings, training: Training) -> Fitted:
        """Fit to the rows of a training.

        Raises:
            InputError: the budget is private, or all rows have the same class.
        """
        # Plans import this module; scikit-learn takes seconds to import.
        from sklearn.ensemble import RandomForestClassifier

        training.budget.refuse_private("forest")
        features = training.features
        require_both_classes("forest", features.stress)
        seed = integer_seed(training.stream)
        model = RandomForestClassifier(settings.trees, random_state=seed, n_jobs=1)
        forest = model.fit(table(features, settings), features.stress)
        return FittedForest(settings, Trees.of_forest(forest))

    @staticmethod
    def from_arrays(settings: ForestSettings, arrays: Arrays) -> Fitted:
        """The forest with the trees in `arrays`."""
        return FittedForest(settings, Trees.from_arrays(arrays))
