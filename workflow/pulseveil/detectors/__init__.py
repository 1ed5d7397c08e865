"""Detectors: models that tell stress from a window; registered under `pulseveil.detectors`."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

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
    "RULE",
    "COMPARED",
    "DetectorSettings",
    "Training",
    "Outputs",
    "Fitted",
    "DetectorKind",
    "DetectorModel",
    "Detector",
    "public_knowledge",
]

Role = Literal["model", "majority", "elapsed_time", "public_signs", "rule"]
MODEL: Role = "model"
# The rules that tables compare each row with: what accuracy needs no sensor, no data, or the clock alone.
BASELINE: Role = "majority"
CLOCK: Role = "elapsed_time"
LITERATURE: Role = "public_signs"
RULE: Role = "rule"
COMPARED: tuple[Role, ...] = (BASELINE, CLOCK, LITERATURE)


class DetectorSettings(Settings):
    """Base of all detectors' settings."""


@dataclass(frozen=True, eq=False)
class Training:
    """What a detector learns from, and how.

    features: the rows with their `stress`. stream: decides all random numbers but those of privacy noise.
    checkpoint: where the state of trainings of minutes is kept; they go on from a state that is found there.
    """

    features: FeatureSet
    budget: Budget
    stream: Stream
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True, eq=False)
class Outputs:
    """A detector's answer for n windows.

    score (n): estimated probability of stress; score_rest (n): the second output of a two-output network,
    else 1 - score; predicted (n) bool: the detector's decision.
    """

    score: NDArray[np.float32]
    score_rest: NDArray[np.float32]
    predicted: NDArray[np.bool_]

    @classmethod
    def from_probability(cls, score: NDArray[np.float64]) -> Outputs:
        """One-output models: decide for stress where the probability exceeds one half."""
        stress = score.astype(np.float32)
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


class DetectorKind(Protocol):
    """What plans know of a kind of detector, without TensorFlow and other imports of seconds.

    `Settings` are its keys in the study; `title` is the kind's name for readers, and `colour` that of its
    marks in figures.
    `role` is "model" for whatever learns from sensor data. All other roles are rules: fitted to the real
    training subjects even where models train on synthetic windows, and compared with models. "majority" is
    the most frequent answer, which every model must beat; "elapsed_time" sees the clock alone; "public_signs"
    sees no data of the study, so that a private model must beat it; "rule" is any other.
    `public_knowledge` says when it reads public scales and signs, which are known in few units only.
    `version` rises whenever the same settings and stream give other scores; `private_units` are the units at
    which it has a private training, whose mechanisms follow from public constants alone, by `programs` of
    these versions (see `privacy.programs`); `private_differences` say what else a private training changes
    beside clipping and noise. A kind without private units leaves `mechanisms`, `audited_settings`,
    `programs` and `private_differences` as they are here. `share_without_bins` is the share of the expected
    seconds that is left where the spectra have hardly any bins: 1 for kinds whose seconds know their bins.

    `model` is the kind's `DetectorModel` as `module:Class`: jobs import it, plans do not. Empty: the kind is
    its own model (`Detector`).
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
    model: ClassVar[str] = ""

    @staticmethod
    @abstractmethod
    def expected_seconds(settings: Any, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows: a guide, not a promise.

        private: the unit of a private training, None for others.
        """
        ...

    @staticmethod
    @of_private_kinds
    def mechanisms(settings: Any, budget: Budget) -> tuple[Mechanism, ...]:
        """The mechanisms of a private training, calibrated to `budget`; asked only at `private_units`."""
        raise InputError("this kind of detector has no private training; use epsilon inf")

    @staticmethod
    def audited_settings(settings: Any, claimed: Budget, audited: Budget) -> Any:
        """Settings that run within `audited`, on more records, the mechanisms of `settings` within `claimed`.

        As they are where steps take all records. Poisson draws keep their q by `privacy.budget.at_rate`.
        """
        return settings


class DetectorModel(Protocol):
    """What trains detectors of a kind; `settings` are those of the kind."""

    @classmethod
    @abstractmethod
    def fit(cls, settings: Any, training: Training) -> Fitted:
        """The model of one training; a resumed training ends in the same bits as an unbroken one."""
        ...


class Detector(DetectorKind, DetectorModel, Protocol):
    """The base of kinds that are their own models: whatever they import, plans import too."""
