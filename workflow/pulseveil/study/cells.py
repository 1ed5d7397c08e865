"""Cells of a study: what is prepared, trained or audited, by the words of its files; packs share a process.

The words of a cell are the wildcards of its files: `words` writes them, `read` reads them from Snakemake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from pulseveil.core.identity import number_label, parse_number
from pulseveil.evaluation.protocols import Train
from pulseveil.privacy.budget import Unit
from pulseveil.study.audit_settings import Part
from pulseveil.study.study import Evaluation

NONE = "none"


class WindowsCell(NamedTuple):
    """The windows of a cohort for generators or for detectors, and the features of the latter."""

    cohort: str
    windows: str

    @property
    def words(self) -> Mapping[str, str]:
        """The wildcards of its files."""
        return self._asdict()

    @classmethod
    def read(cls, words: Any) -> Self:
        """The cell of wildcards; features are those of the detectors' windows."""
        return cls(words.cohort, getattr(words, "windows", "detector"))


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

    @property
    def words(self) -> Mapping[str, str]:
        """The wildcards of its files."""
        return {
            "cohort": self.cohort,
            "generator": self.generator,
            "unit": self.unit,
            "epsilon_generator": number_label(self.epsilon),
        }

    @classmethod
    def read(cls, words: Any) -> Self:
        """The cell of wildcards."""
        return cls(words.cohort, words.generator, words.unit, parse_number(words.epsilon_generator))


class DetectorCell(NamedTuple):
    """A detector of an evaluation with its budgets: trained for all other axes of its pack."""

    detector: str
    budgets: Budgets

    @property
    def words(self) -> Mapping[str, str]:
        """The wildcards of its files."""
        return {
            "detector": self.detector,
            "unit": self.budgets.unit,
            "epsilon_generator": number_label(self.budgets.epsilon_generator),
            "epsilon_detector": number_label(self.budgets.epsilon_detector),
        }

    @classmethod
    def read(cls, words: Any) -> Self:
        """The cell of wildcards."""
        epsilons = (words.epsilon_generator, words.epsilon_detector)
        return cls(words.detector, Budgets(words.unit, *map(parse_number, epsilons)))


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

    @property
    def words(self) -> Mapping[str, str]:
        """The wildcards of its file."""
        return {
            "cohort": self.cohort,
            "generator": self.generator,
            "detector": self.detector,
            "unit": self.unit,
            "epsilon_generator": number_label(self.epsilon_generator),
            "epsilon_detector": number_label(self.epsilon_detector),
        }

    @classmethod
    def read(cls, words: Any) -> Self:
        """The cell of wildcards: a generator's without those of a detector."""
        has_detector = hasattr(words, "detector")
        return cls(
            "detector" if has_detector else "generator",
            words.cohort,
            words.generator,
            words.detector if has_detector else NONE,
            words.unit,
            parse_number(words.epsilon_generator),
            parse_number(words.epsilon_detector) if has_detector else np.inf,
        )


@dataclass(frozen=True)
class GeneratorPack:
    """Seeds of a generator that are trained by one job, all folds each."""

    name: str
    seeds: tuple[int, ...]

    @property
    def axes(self) -> Mapping[str, tuple[str, ...]]:
        """The words that tell the files of a job apart."""
        return {"seed": tuple(map(str, self.seeds))}


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
    def axes(self) -> Mapping[str, tuple[str, ...]]:
        """The words that tell the files of a job apart."""
        return {
            "evaluation": (self.evaluation.name,),
            "generator": self.generators,
            "subjects": tuple(map(str, self.subjects)),
            "noise": tuple(map(number_label, self.noise)),
            "seed": tuple(map(str, self.seeds)),
        }

    @property
    def train(self) -> Train:
        """What the pack's detectors learn from; a timeline baseline always learns from real labels."""
        return "real" if self.timeline else self.evaluation.train
