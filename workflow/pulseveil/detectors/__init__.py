"""Detectors: models that tell stress from a window; registered under `pulseveil.detectors`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.arrays import Arrays
from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.contracts import FeatureSet
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import Stream
from pulseveil.core.registry import of_private_kinds
from pulseveil.core.settings import Settings
from pulseveil.privacy.budget import Budget, Mechanism, Unit
from pulseveil.privacy.ledger import Entry

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "Role",
    "MODEL",
    "BASELINE",
    "CLOCK",
    "LITERATURE",
    "LITERATURE_THREE",
    "BEFORE_TRAINING",
    "RULE",
    "COMPARED",
    "DetectorSettings",
    "PublicFeatures",
    "Training",
    "Outputs",
    "Fitted",
    "DetectorKind",
    "DetectorModel",
    "Detector",
]

# Roles are fixed words and not the names of the study: a rule under another name must stay a rule in tables.
Role = Literal["model", "majority", "elapsed_time", "public_signs", "public_signs_three", "untrained", "rule"]
MODEL: Role = "model"
# The rules that tables compare each row with: the accuracy that needs no sensor, or no data of the study.
BASELINE: Role = "majority"
CLOCK: Role = "elapsed_time"
LITERATURE: Role = "public_signs"
LITERATURE_THREE: Role = "public_signs_three"
BEFORE_TRAINING: Role = "untrained"
RULE: Role = "rule"
COMPARED: tuple[Role, ...] = (BASELINE, CLOCK, LITERATURE, LITERATURE_THREE, BEFORE_TRAINING)


class DetectorSettings(Settings):
    """Base of all detectors' settings."""


@dataclass(frozen=True, eq=False)
class PublicFeatures:
    """Features of a cohort that a study takes for public: no budget protects these people."""

    cohort: str
    features: FeatureSet


@dataclass(frozen=True, eq=False)
class Training:
    """Arguments of one detector training: data, budget, random stream and checkpoint.

    features: the rows with their `stress`. stream: the source of all random numbers except privacy noise.
    checkpoint: the file for the state of a training that takes minutes; a training resumes from that state.
    public: the public cohorts, for a kind that uses them with its settings.
    """

    features: FeatureSet
    budget: Budget
    stream: Stream
    checkpoint: Checkpoint | None = None
    public: tuple[PublicFeatures, ...] = ()


@dataclass(frozen=True, eq=False)
class Outputs:
    """Scores and decisions of a detector for n windows.

    score (n) float32: estimated probability of stress. score_rest (n) float32: the other output of a
    two-output network, otherwise 1 - score. predicted (n) bool: True where the detector decides for stress.
    """

    score: NDArray[np.float32]
    score_rest: NDArray[np.float32]
    predicted: NDArray[np.bool_]

    @classmethod
    def from_probability(cls, score: NDArray[np.float64]) -> Outputs:
        """Outputs of a one-output model, which decides for stress above a probability of 0.5.

        Examples:
            >>> outputs = Outputs.from_probability(np.array([0.25, 0.5, 0.75]))
            >>> outputs.predicted.tolist(), outputs.score_rest.tolist()
            ([False, False, True], [0.75, 0.5, 0.25])
        """
        stress = score.astype(np.float32)
        # Compared before rounding: a probability just above 0.5 is exactly 0.5 in float32.
        return cls(stress, (1 - score).astype(np.float32), score > 0.5)


class Fitted(Protocol):
    """A trained detector, and the ledger of its training: one entry per private mechanism."""

    @property
    def ledger(self) -> tuple[Entry, ...]:
        """The ledger entries of a private training; empty where nothing was private."""
        return ()

    @abstractmethod
    def score(self, features: FeatureSet) -> Outputs:
        """Outputs for each row of `features`."""
        ...

    @abstractmethod
    def arrays(self) -> Arrays:
        """The trained state as named arrays, which are stored and released."""
        ...


class DetectorKind(Protocol):
    """Description of a kind of detector for plans, without slow imports such as TensorFlow.

    Attributes:
        Settings: Keys of the kind in a study.
        version: Number that rises whenever the same settings and stream give other scores.
        title: Name of the kind for readers.
        colour: Colour of its marks in figures.
        role: "model" for a kind that learns from sensor data. All other roles are rules, which are compared
            with models and fitted to the real training subjects even where models train on synthetic windows.
            "majority" gives the most frequent answer, which every model must beat. "elapsed_time" sees the
            clock alone. "public_signs" and "public_signs_three" see no data of the study, so that a private
            model must beat them. "untrained" is a network with its initial weights, which is compared with
            the networks of its `architecture` alone.
            "rule" is any other rule.
        uses_tensorflow: Whether training and scoring start TensorFlow.
        private_units: Units at which the kind has a private training, whose mechanisms follow from public
            constants alone. A kind without private units keeps the defaults of `mechanisms`,
            `audited_settings`, `programs` and `private_differences`.
        programs: Versions of the programs that train privately (see `privacy.programs`).
        private_differences: What else a private training changes beside clipping and noise.
        public_knowledge: When the kind reads public scales and signs, which exist for few scalings only.
        share_without_bins: Share of `expected_seconds` that remains for spectra with hardly any bins; with 1
            plans take the seconds as they are.
        is_linear: Whether a training on statistics ends in one weight per scaled statistic (see `weights`).
        model: The kind's `DetectorModel` as `module:Class`, which jobs import and plans do not. An empty text
            means that the kind is its own model (`Detector`).
    """

    Settings: ClassVar[type[DetectorSettings]]
    version: ClassVar[int]
    title: ClassVar[str]
    colour: ClassVar[str | None] = None
    role: ClassVar[Role] = "model"
    uses_tensorflow: ClassVar[bool] = False
    private_units: ClassVar[frozenset[str]] = frozenset()
    programs: ClassVar[tuple[int, ...]] = ()
    private_differences: ClassVar[tuple[str, ...]] = ()
    public_knowledge: ClassVar[Literal["never", "private", "always"]] = "never"
    share_without_bins: ClassVar[float] = 1.0
    is_linear: ClassVar[bool] = False
    model: ClassVar[str] = ""

    @staticmethod
    @abstractmethod
    def expected_seconds(settings: Any, rows: int, private: Unit | None) -> float:
        """Rough estimate of the CPU seconds of fitting to `rows` windows.

        private: the unit of a private training, None for any other training.
        """
        ...

    @staticmethod
    def uses_public_people(settings: Any) -> bool:
        """Whether trainings with `settings` read the study's public cohorts."""
        return False

    @staticmethod
    def architecture(settings: Any) -> str:
        """All that shapes the kind's network besides its training; empty for kinds that are no network."""
        return ""

    @staticmethod
    def weights(settings: Any, arrays: Arrays, columns: Sequence[str]) -> Mapping[str, float]:
        """Weight of each scaled statistic in the log odds of stress, from the `arrays` of a linear detector.

        columns: names of all statistics of the features. Empty where the detector does not add statistics up.
        """
        return {}

    @staticmethod
    @of_private_kinds
    def mechanisms(settings: Any, budget: Budget) -> tuple[Mechanism, ...]:
        """Mechanisms of a private training, calibrated to `budget`; called only for `private_units`.

        Raises:
            InputError: the kind has no private training with these settings.
        """
        raise InputError("this kind of detector has no private training; use epsilon inf")

    @staticmethod
    def audited_settings(settings: Any, claimed: Budget, audited: Budget) -> Any:
        """Settings with which a training within `audited` runs the mechanisms of `settings` within `claimed`.

        `audited` has more public records than `claimed`. The default returns `settings` unchanged, which is
        right where each step takes all records. A kind with Poisson sampling keeps the sampling rate with
        `privacy.budget.at_rate`.
        """
        return settings


class DetectorModel(Protocol):
    """Training of detectors of one kind; `settings` are the kind's `Settings`."""

    @classmethod
    @abstractmethod
    def fit(cls, settings: Any, training: Training) -> Fitted:
        """Trained detector; a resumed training ends in the same bits as an uninterrupted one."""
        ...

    @classmethod
    @abstractmethod
    def from_arrays(cls, settings: Any, arrays: Arrays) -> Fitted:
        """The trained detector with the state `arrays`, as `Fitted.arrays` returned it.

        Its scores are equal to the last bit to those of the detector that was fitted. Its ledger is empty,
        because the file of a detector holds the ledger.
        """
        ...


class Detector(DetectorKind, DetectorModel, Protocol):
    """Base of kinds that are their own models; plans import whatever such a module imports at its top."""
