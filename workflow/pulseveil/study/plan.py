"""Plans: the folds, cells, packs and jobs of a study, computed without TensorFlow or recordings.

A run is one trained model that is tested on one fold. A pack is a set of runs that share a process. A plan is
a pure function of the study file, so that two machines plan the same jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from pulseveil.core import identity, registry
from pulseveil.core.contracts import CHANNEL_SETS
from pulseveil.core.errors import InputError
from pulseveil.core.identity import number_label
from pulseveil.evaluation.protocols import (
    ALL,
    EvaluationProtocol,
    Fold,
    Outline,
    People,
)
from pulseveil.privacy.budget import Unit
from pulseveil.study import persons
from pulseveil.study.cells import Budgets, DetectorPack, GeneratorCell, GeneratorPack
from pulseveil.study.jobs import DetectorJob, GeneratorJob, Preparation
from pulseveil.study.packs import all_budgets, blocks, detector_packs
from pulseveil.study.sharing import SharedCells, Shares, share
from pulseveil.study.study import Evaluation, Model, Study

RUN_KEYS = (
    *("evaluation", "generator", "detector", "unit", "epsilon_generator", "epsilon_detector"),
    *("subjects", "noise", "signals", "seed"),
)


@dataclass(frozen=True)
class Plan:
    """A study with the outlines of its cohorts, from which all folds, cells, packs and jobs follow."""

    study: Study
    outlines: Mapping[str, Outline]

    @cached_property
    def is_private(self) -> bool:
        """Whether any training of the study has a budget."""
        packs = ((pack, detector) for pack in self.detector_packs for detector in pack.detectors)
        return any(privacy.is_private for cell in packs for privacy in self.privacies(*cell))

    def generator_packs(self) -> tuple[GeneratorPack, ...]:
        """Packs of each generator of the study."""
        seeds = blocks(range(self.study.seeds), self.study.pack.generator_seeds)
        return tuple(GeneratorPack(f"seeds_{i}", block) for i, block in enumerate(seeds))

    def quality_packs(self) -> tuple[GeneratorPack, ...]:
        """Generator packs, reduced to the seeds whose quality is assessed; packs without any are left out."""
        seeds = range(self._quality_seeds)
        cut = (
            replace(pack, seeds=tuple(s for s in pack.seeds if s in seeds)) for pack in self.generator_packs()
        )
        return tuple(pack for pack in cut if pack.seeds)

    def generator_cells(self) -> tuple[GeneratorCell, ...]:
        """Cells of all generators that an evaluation needs."""
        # A dict keeps the order of the study; a set would not, and plans must be the same everywhere.
        cells = {
            GeneratorCell(pack.evaluation.cohort, generator, unit, epsilon): None
            for pack in self.detector_packs
            if pack.train != "real"
            for detector in pack.detectors
            for unit, epsilon, _ in self.privacies(pack, detector)
            for generator in pack.generators
        }
        return tuple(cells)

    def generator_folds(self, cohort: str) -> tuple[Fold, ...]:
        """Folds of a cohort's generators: a single shared one, or each fold of the cohort's evaluations.

        Raises:
            InputError: two evaluations have folds of one name with different training subjects.
        """
        if self.study.generator_shared:
            subjects = tuple(self.outlines[cohort])
            return (Fold(name=ALL, train_subjects=subjects, test_subjects=subjects),)
        folds: dict[str, Fold] = {}
        for evaluation in self.study.evaluations:
            if evaluation.cohort == cohort and evaluation.train != "real":
                for fold in self.folds(evaluation):
                    # Generators are named by their fold: another training set would be taken for this one.
                    if folds.get(fold.name, fold).train_subjects != fold.train_subjects:
                        raise InputError(
                            f"evaluation {evaluation.name}, cohort {cohort}: fold {fold.name} trains on "
                            "other subjects than the fold of that name in an earlier evaluation; put one of "
                            "the evaluations into a study of its own"
                        )
                    folds[fold.name] = fold
        return tuple(folds.values())

    def synthetic_subjects(self, cohort: str) -> int:
        """Synthetic subjects per fold of a cohort: the largest number that an evaluation uses."""
        # Evaluations with fewer use the first of them.
        return max(
            subjects
            for evaluation in self.study.evaluations
            if evaluation.cohort == cohort and evaluation.train != "real"
            for subjects in evaluation.synthetic_subjects
        )

    def folds(self, evaluation: Evaluation) -> tuple[Fold, ...]:
        """Folds of an evaluation, by its protocol.

        Raises:
            InputError: the protocol has no folds for the people of the evaluation.
        """
        with errors_of(evaluation):
            folds = _protocol(evaluation).folds(self.people(evaluation))
            return persons.apart(self.study.same_people, folds, evaluation.cohort, evaluation.tested_cohort)

    def persons(self, cohort: str) -> frozenset[str]:
        """Names and marks (`same_person`) of a cohort's people; cohorts share people if these sets meet."""
        return persons.marked(self.study.same_people, cohort, self.outlines[cohort])

    def cohorts_before(self, cohort: str) -> tuple[str, ...]:
        """Cohorts that are read before a cohort, which is searched for copies of their recordings."""
        names = tuple(self.study.cohorts)
        return names[: names.index(cohort)]

    def detector_folds(self, pack: DetectorPack) -> tuple[Fold, ...]:
        """Folds of a pack, which a protocol may merge where only the windows of a shared generator train.

        Raises:
            InputError: the protocol has no folds for the people of the evaluation.
        """
        if not self.learns_of_all(pack):
            return self.folds(pack.evaluation)
        with errors_of(pack.evaluation):
            return _protocol(pack.evaluation).shared_folds(self.people(pack.evaluation))

    def learns_of_all(self, pack: DetectorPack) -> bool:
        """Whether the pack's detectors learn from windows of a generator of the whole cohort alone."""
        return pack.train == "synthetic" and self.study.generator_shared

    def learns(self, generator: str) -> bool:
        """Whether a generator reads the windows of its training, instead of public knowledge alone."""
        return bool(_kind("generators", self.study.generator(generator)).learns)

    def public_cohorts(self, generator: str) -> tuple[str, ...]:
        """Cohorts whose windows a generator reads as public."""
        model = self.study.generator(generator)
        uses = _kind("generators", model).uses_public_people(model.settings)
        return self.study.public_cohorts if uses else ()

    def public_cohorts_of_detector(self, detector: str) -> tuple[str, ...]:
        """Cohorts whose features a detector reads as public."""
        model = self.study.detector(detector)
        uses = _kind("detectors", model).uses_public_people(model.settings)
        return self.study.public_cohorts if uses else ()

    def people(self, evaluation: Evaluation) -> People:
        """People on whom an evaluation can train, and people whom it can test."""
        train, test = self.outlines[evaluation.cohort], self.outlines[evaluation.tested_cohort]
        return People(train, test, self.study.folds)

    @cached_property
    def detector_packs(self) -> tuple[DetectorPack, ...]:
        """Packs of all evaluations, without the cells that an earlier evaluation asks for too."""
        return self._shares.packs

    @cached_property
    def shared(self) -> tuple[SharedCells, ...]:
        """Cells that an earlier evaluation trains: each equal cell of several evaluations is trained once."""
        return self._shares.shared

    def privacies(self, pack: DetectorPack, detector: str) -> tuple[Budgets, ...]:
        """Budgets of the cells of a detector that a pack trains; see `shared` for the others."""
        elsewhere = self._trained_in.get((pack.name, detector), {})
        asked = all_budgets(self.study, pack, detector)
        return tuple(budgets for budgets in asked if budgets not in elsewhere)

    @cached_property
    def _trained_in(self) -> Mapping[tuple[str, str], Mapping[Budgets, str]]:
        return {(cells.pack.name, cells.detector): cells.trained_in for cells in self.shared}

    @cached_property
    def _shares(self) -> Shares:
        packs = [list(detector_packs(self.study, evaluation)) for evaluation in self.study.evaluations]
        return share(packs, partial(all_budgets, self.study))

    def generator_job(self, cell: GeneratorCell, seeds: tuple[int, ...]) -> GeneratorJob:
        """Job that trains a generator with some seeds for all folds of a cohort."""
        model = self.study.generator(cell.generator)
        return GeneratorJob(
            **self._job(seeds, cell.unit, cell.epsilon, self.study.stride_s.generator),
            versions=(identity.GENERATORS, _kind("generators", model).version),
            programs=programs(_kind("generators", model), cell.epsilon),
            cohort=cell.cohort,
            cohort_kind=self.study.cohort_settings[cell.cohort].kind,
            # A new version of the ledgers concerns private models alone: others keep their runs.
            ledgers=identity.LEDGERS if np.isfinite(cell.epsilon) else 0,
            generator=cell.generator,
            kind=model.kind,
            settings=model.settings.model_dump(mode="json"),
            classes=self.study.classes,
            folds=self.generator_folds(cell.cohort),
            public_cohorts=self.public_cohorts(cell.generator),
        )

    def detector_job(self, pack: DetectorPack, detector: str, privacy: Budgets) -> DetectorJob:
        """Job that trains and tests the cells of a pack for one detector and one pair of budgets."""
        model = self.study.detector(detector)
        return DetectorJob(
            **self._job(pack.seeds, privacy.unit, privacy.epsilon_generator, self.study.stride_s.detector),
            versions=(identity.DETECTORS, _kind("detectors", model).version),
            programs=programs(_kind("detectors", model), privacy.epsilon_detector),
            evaluation=pack.evaluation.name,
            detector=detector,
            kind=model.kind,
            settings=model.settings.model_dump(mode="json"),
            train=pack.train,
            epsilon_detector=privacy.epsilon_detector,
            generators=pack.generators,
            subjects=pack.subjects,
            noise=pack.noise,
            noise_distribution=pack.evaluation.noise_distribution,
            noise_on=pack.noise_on,
            signals=pack.signals,
            channels=CHANNEL_SETS[self.study.channels],
            public_cohorts=self.public_cohorts_of_detector(detector),
            folds=self.detector_folds(pack),
            generator_shared=self.study.generator_shared,
            kept_seeds=self.kept_seeds(pack.seeds),
            preparation=Preparation(
                protocol=self.study.protocol,
                channels=self.study.channels,
                scaling=self.study.scaling,
                window_s=self.study.window_s,
                stride_s=self.study.stride_s.detector,
                calibration_s=self.study.calibration_s,
                measured=self.study.measured,
                pairing=self.study.pairing,
            ),
        )

    def kept_seeds(self, seeds: tuple[int, ...]) -> tuple[int, ...]:
        """Those of `seeds` whose detectors are kept."""
        kept = {"none": (), "first_seed": (0,), "all": seeds}[self.study.keep]
        return tuple(seed for seed in seeds if seed in kept)

    @cached_property
    def shared_cells(self) -> pd.DataFrame:
        """Table of the cells that an earlier evaluation trains: the run keys, and `trained_in`."""
        rows = [
            (*_run_keys(cells.pack, cells.detector, budgets, axes), trained_in)
            for cells in self.shared
            for budgets, trained_in in cells.trained_in.items()
            for axes in _run_axes(cells.pack)
        ]
        return pd.DataFrame(rows, columns=[*RUN_KEYS, "trained_in"])

    @cached_property
    def cells(self) -> pd.DataFrame:
        """Table with one row per Scores file: the run keys, the pack, and the number of folds."""
        rows = [
            (*_run_keys(pack, detector, privacy, axes), pack.name, folds)
            for pack in self.detector_packs
            for folds in [len(self.detector_folds(pack))]
            for detector in pack.detectors
            for privacy in self.privacies(pack, detector)
            for axes in _run_axes(pack)
        ]
        return pd.DataFrame(rows, columns=[*RUN_KEYS, "pack", "folds"])

    def runs(self) -> pd.DataFrame:
        """Table with one row per detector run: the run keys of its cell, the pack, and the fold.

        Examples:
            >>> study = {
            ...     "name": "small", "seed": 1, "seeds": 1, "protocol": "sound",
            ...     "cohorts": {"people": {"kind": "simulated", "subjects": 3}},
            ...     "detectors": ["logistic"],
            ...     "evaluations": [{"name": "real", "cohort": "people", "train": "real"}],
            ... }
            >>> from pulseveil.study.checks import make_plan
            >>> from pulseveil.study.reading import check_study
            >>> make_plan(check_study(study, "example")).runs()[["detector", "seed", "fold"]]
               detector  seed fold
            0  logistic     0   S1
            1  logistic     0   S2
            2  logistic     0   S3
        """
        names = {pack.name: [fold.name for fold in self.detector_folds(pack)] for pack in self.detector_packs}
        cells = self.cells
        table = cells.loc[cells.index.repeat(cells["folds"])].drop(columns=["folds"])
        table["fold"] = np.concatenate([names[pack] for pack in cells["pack"]])
        return table.reset_index(drop=True)

    @property
    def _quality_seeds(self) -> int:
        return min(self.study.quality_seeds or self.study.seeds, self.study.seeds)

    def _job(
        self, seeds: tuple[int, ...], unit: Unit, epsilon_generator: float, stride_s: int
    ) -> dict[str, Any]:
        public = self.study.public.population(1, stride_s)
        return {
            "study": self.study.name,
            "root_seed": self.study.seed,
            "threads": self.study.threads,
            "unit": unit,
            "delta": self.study.delta,
            "windows_per_subject": public.windows_per_subject,
            "stress_share": public.stress_share,
            "noise_mode": self.study.privacy_noise,
            "dp_backend": self.study.dp_backend,
            "epsilon_generator": epsilon_generator,
            "seeds": seeds,
        }


def _run_axes(pack: DetectorPack) -> Iterator[tuple[Any, ...]]:
    """Values of the axes of each Scores file of a pack, in the order of its job's outputs."""
    return product(pack.generators, pack.subjects, pack.noise, pack.signals, pack.seeds)


def _run_keys(pack: DetectorPack, detector: str, budgets: Budgets, axes: tuple[Any, ...]) -> tuple[Any, ...]:
    """Values of `RUN_KEYS` of one Scores file; axes: as of `_run_axes`."""
    generator, subjects, noise, signals, seed = axes
    epsilons = map(number_label, (budgets.epsilon_generator, budgets.epsilon_detector))
    words = (pack.evaluation.name, generator, detector, budgets.unit, *epsilons)
    return (*words, subjects, number_label(noise), signals, seed)


def programs(kind: Any, epsilon: float) -> tuple[int, ...]:
    """Versions of the programs that train a kind within `epsilon`; empty where that is not private."""
    return kind.programs if np.isfinite(epsilon) else ()


def _kind(group: registry.Group, model: Model) -> Any:
    return registry.load(group, model.kind)


def _protocol(evaluation: Evaluation) -> type[EvaluationProtocol]:
    kind: type[EvaluationProtocol] = registry.load("protocols", evaluation.test)
    return kind


@contextmanager
def errors_of(evaluation: Evaluation) -> Iterator[None]:
    """Prefix an InputError with evaluation, cohort and protocol."""
    try:
        yield
    except InputError as error:
        raise InputError(
            f"evaluation {evaluation.name}, cohort {evaluation.cohort}: test {evaluation.test}: {error}"
        ) from None
