"""What a plan hands out: the privacy of a cell, and packs of runs that share a process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pulseveil.evaluation.protocols import Train
from pulseveil.privacy.budget import Unit
from pulseveil.study.audit_settings import Part
from pulseveil.study.study import Evaluation


class Budgets(NamedTuple):
    """The privacy of a cell: what its budgets protect, and the budget of each part."""

    unit: Unit
    epsilon_generator: float
    epsilon_detector: float

    @property
    def is_private(self) -> bool:
        """Whether any part is trained privately."""
        return bool(np.isfinite(self.epsilon_generator) or np.isfinite(self.epsilon_detector))

    def protects(self, train: Train) -> bool:
        """Whether the finished detector is private: all of its parts that see real windows are."""
        of_detector = train == "synthetic" or np.isfinite(self.epsilon_detector)
        return bool(of_detector and (train == "real" or np.isfinite(self.epsilon_generator)))


class GeneratorCell(NamedTuple):
    """A generator that an evaluation needs: trained for each fold and seed."""

    cohort: str
    generator: str
    unit: Unit
    epsilon: float


class AuditedCell(NamedTuple):
    """A generator or detector that is audited: trained on all people of a cohort, many times.

    A generator's cell has no detector. A detector's has the generator whose windows it learns from beside
    real ones, if any. `none` and epsilon infinity stand for a part that is not there.
    """

    part: Part
    cohort: str
    generator: str
    detector: str
    unit: Unit
    epsilon_generator: float
    epsilon_detector: float

    @property
    def epsilon(self) -> float:
        """The epsilon that the audited part claims."""
        return self.epsilon_generator if self.part == "generator" else self.epsilon_detector


@dataclass(frozen=True)
class GeneratorPack:
    """Seeds of a generator that are trained by one job, all folds each."""

    name: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class DetectorPack:
    """Cells of an evaluation that share a process, for each of `detectors` and each of its privacies."""

    name: str
    evaluation: Evaluation
    detectors: tuple[str, ...]
    generators: tuple[str, ...]
    subjects: tuple[int, ...]
    noise: tuple[float, ...]
    seeds: tuple[int, ...]
    timeline: bool

    @property
    def train(self) -> Train:
        """What the pack's detectors learn from; a timeline yardstick always learns from real labels."""
        return "real" if self.timeline else self.evaluation.train
