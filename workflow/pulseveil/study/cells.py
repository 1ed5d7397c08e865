"""Cells and packs of a study: what is prepared, trained or audited, and what shares a process.

The words of a cell are the wildcards of its files: `words` writes them, `read` reads them from Snakemake.

>>> cell = GeneratorCell("wesad", "cgan", "subject", float("inf"))
>>> cell.words["epsilon_generator"]
'inf'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from pulseveil.core.identity import number_label, parse_number
from pulseveil.evaluation.protocols import NoiseOn, Train
from pulseveil.privacy.budget import Unit
from pulseveil.study.audit_settings import Part
from pulseveil.study.study import Evaluation
from pulseveil.windows.signals import ALL_SIGNALS

# Stands for a missing part in paths and tables; studies may not give a model this name.
NONE = "none"


class WindowsCell(NamedTuple):
    """Windows of a cohort for `generator` or `detector`; features belong to the windows for detectors."""

    cohort: str
    windows: str

    @property
    def words(self) -> Mapping[str, str]:
        """The wildcards of its files."""
        return self._asdict()

    @classmethod
    def read(cls, words: Any) -> Self:
        """The cell of a job's wildcards."""
        # Files of features have no wildcard `windows`: detectors alone read features.
        return cls(words.cohort, getattr(words, "windows", "detector"))


class Budgets(NamedTuple):
    """Unit and epsilons of a cell: what its budgets protect, and the epsilon of each part."""

    unit: Unit
    epsilon_generator: float
    epsilon_detector: float

    @property
    def is_private(self) -> bool:
        """Whether any part is trained privately."""
        return bool(np.isfinite(self.epsilon_generator) or np.isfinite(self.epsilon_detector))

    def protects(self, train: Train) -> bool:
        """Whether the trained detector is private, which takes a budget of each part that sees real windows.

        Examples:
            >>> Budgets("subject", np.inf, 1.0).protects("real")
            True
            >>> Budgets("subject", np.inf, 1.0).protects("real+synthetic")
            False
        """
        of_detector = train == "synthetic" or np.isfinite(self.epsilon_detector)
        return bool(of_detector and (train == "real" or np.isfinite(self.epsilon_generator)))


class GeneratorCell(NamedTuple):
    """A generator with its budget, trained for each fold and seed of a cohort."""

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
            # One spelling per number, so that 1 and 1.0 are one folder.
            "epsilon_generator": number_label(self.epsilon),
        }

    @classmethod
    def read(cls, words: Any) -> Self:
        """The cell of a job's wildcards."""
        return cls(words.cohort, words.generator, words.unit, parse_number(words.epsilon_generator))


class DetectorCell(NamedTuple):
    """A detector with its budgets, trained for all other axes of a pack."""

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
        """The cell of a job's wildcards."""
        epsilons = (words.epsilon_generator, words.epsilon_detector)
        return cls(words.detector, Budgets(words.unit, *map(parse_number, epsilons)))


class AuditedCell(NamedTuple):
    """An audited generator or detector, which an audit trains many times on all people of a cohort.

    The cell of a generator has no detector. The cell of a detector names the generator from whose windows it
    learns besides real ones, if any. `none` and epsilon infinity stand for a missing part.
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
        """The wildcards of its files."""
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
        """The cell of a job's wildcards, which lack those of a detector where a generator is audited."""
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


class NoisedCell(NamedTuple):
    """An evaluation whose noised windows are attacked as a release."""

    evaluation: str

    @property
    def words(self) -> Mapping[str, str]:
        """The wildcards of its files."""
        return self._asdict()

    @classmethod
    def read(cls, words: Any) -> Self:
        """The cell of a job's wildcards."""
        return cls(words.evaluation)


@dataclass(frozen=True)
class GeneratorPack:
    """Seeds of a generator that one job trains, with all folds of each seed."""

    name: str
    seeds: tuple[int, ...]

    @property
    def axes(self) -> Mapping[str, tuple[str, ...]]:
        """Words in which the files of one job differ."""
        return {"seed": tuple(map(str, self.seeds))}


@dataclass(frozen=True)
class DetectorPack:
    """Trainings of an evaluation that share a process, for each of `detectors` and each of its budgets.

    noise: scales of the input noise. timeline: whether the detectors are rules. signals: what the detectors
    read (`windows.signals`).
    """

    name: str
    evaluation: Evaluation
    detectors: tuple[str, ...]
    generators: tuple[str, ...]
    subjects: tuple[int, ...]
    noise: tuple[float, ...]
    seeds: tuple[int, ...]
    timeline: bool
    signals: tuple[str, ...] = (ALL_SIGNALS,)

    @property
    def axes(self) -> Mapping[str, tuple[str, ...]]:
        """Words in which the files of one job differ."""
        return {
            "evaluation": (self.evaluation.name,),
            "generator": self.generators,
            "subjects": tuple(map(str, self.subjects)),
            "noise": tuple(map(number_label, self.noise)),
            "signals": self.signals,
            "seed": tuple(map(str, self.seeds)),
        }

    @property
    def train(self) -> Train:
        """Training windows of the pack's detectors; rules always learn from real labels."""
        # Synthetic windows have no time, which `elapsed_time` needs, and one rule serves all rows.
        return "real" if self.timeline else self.evaluation.train

    @property
    def noise_on(self) -> NoiseOn:
        """What gets the input noise of the pack's detectors; rules read labels and get no noise."""
        return "features" if self.timeline else self.evaluation.noise_on
