"""Jobs: the settings of each job script, with all that its runs depend on besides the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from pydantic import PositiveInt, SerializerFunctionWrapHandler, ValidationError, model_serializer

from pulseveil.core import identity, randomness, store
from pulseveil.core.contracts import CHANNEL_SETS
from pulseveil.core.errors import InputError
from pulseveil.core.identity import number_label, require_name
from pulseveil.core.randomness import Stream
from pulseveil.core.settings import (
    Audience,
    Channels,
    LabelRule,
    Pairing,
    Preprocessing,
    ScalingName,
    Settings,
    explain,
)
from pulseveil.evaluation.protocols import Fold, NoiseDistribution, NoiseOn, Train
from pulseveil.privacy.budget import Backend, Budget, NoiseMode, Population, Unit
from pulseveil.study.study import Epsilon
from pulseveil.windows.signals import ALL_SIGNALS


class Job(Settings):
    """Base of all jobs. `versions`: of the stage and of the kind, which rise when values change."""

    study: str = ""
    versions: tuple[int, ...]

    # Version of the stage in this code, which must be that of the plan. None for jobs that train: the hash of
    # their runs holds the versions of the job.
    stage: ClassVar[int | None] = None


class CohortJob(Job):
    """Job of cutting the recordings of a cohort into windows; omitted keys take the protocol's values.

    settings: those of the cohort, with its kind. same_person: names (COHORT/NAME) of people of this cohort in
    other cohorts, by their name in this one. For the other keys see `windows.recipe.Recipe`.
    """

    stage: ClassVar[int | None] = identity.COHORT
    versions: tuple[int, ...] = (identity.COHORT,)
    settings: Mapping[str, Any]
    protocol: Preprocessing
    windows: Audience
    channels: Channels | None = None
    scaling: ScalingName | None = None
    window_s: int | None = None
    stride_s: int | None = None
    calibration_s: int | None = None
    measured: float | None = None
    label_rule: LabelRule = "majority"
    same_person: Mapping[str, tuple[str, ...]] = {}

    @model_serializer(mode="wrap")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # The text of jobs from before there were these keys: another text would cut all windows again.
        values: dict[str, Any] = write(self)
        if self.label_rule == "majority":
            del values["label_rule"]
        if not self.same_person:
            del values["same_person"]
        return values


class FeatureJob(Job):
    """Job of computing features. `pairing`: which sub-window length each signal has (protocol paper)."""

    stage: ClassVar[int | None] = identity.FEATURES
    versions: tuple[int, ...] = (identity.FEATURES,)
    protocol: Preprocessing
    pairing: Pairing = "published"


class SynthesisJob(Job):
    """Job of synthesizing `subjects` subjects with each fold's generator."""

    stage: ClassVar[int | None] = identity.SYNTHESIS
    versions: tuple[int, ...] = (identity.SYNTHESIS,)
    subjects: PositiveInt


class QualityJob(Job):
    """Job of comparing synthetic windows with real ones."""

    stage: ClassVar[int | None] = identity.QUALITY
    versions: tuple[int, ...] = (identity.QUALITY,)


class TrainingJob(Job):
    """Base of jobs that train models.

    versions: of the stage and of the kind; a change of either trains all models again.
    programs: versions of the programs that train privately; a change trains all private models again.
    windows_per_subject, stress_share: public constants of private trainings.
    """

    study: str
    versions: tuple[int, int]
    programs: tuple[int, ...] = ()
    root_seed: int
    threads: int
    unit: Unit
    delta: float
    windows_per_subject: int
    stress_share: float
    noise_mode: NoiseMode
    dp_backend: Backend
    epsilon_generator: Epsilon
    seeds: tuple[int, ...]

    def budget(self, epsilon: float, fold: Fold) -> Budget:
        """Budget of one training of this job, without a source of noise."""
        population = Population(len(fold.train_subjects), self.windows_per_subject, self.stress_share)
        return Budget(epsilon, self.delta, self.unit, population, backend=self.dp_backend)

    def budget_settings(self, epsilon: float, fold: Fold) -> list[Any]:
        """Values of the budget that a training depends on, for the hash of its run."""
        budget = self.budget(epsilon, fold)
        common = [self.unit, self.delta, epsilon]
        # Public constants and noise do not enter a training without privacy: a change must not repeat it.
        if not budget.is_private:
            return common
        known = astuple(budget.known_population())
        return [*common, *known, self.noise_mode, self.dp_backend, list(self.programs)]


class GeneratorJob(TrainingJob):
    """Job of training one generator per fold and seed, on the `train_subjects` of the fold alone.

    cohort_kind: for the cards of releases; empty in models of older versions.
    ledgers: version of the content of private ledgers; 0 without privacy.
    public_cohorts: cohorts of the study whose windows the kind reads as public.
    """

    cohort: str
    cohort_kind: str = ""
    ledgers: int = 0
    generator: str
    kind: str
    settings: Mapping[str, Any]
    classes: int
    folds: tuple[Fold, ...]
    public_cohorts: tuple[str, ...] = ()

    def stream(self, purpose: str, fold: str, seed: int) -> Stream:
        """Random stream of one trained generator."""
        # Keyed without evaluation and detector: all evaluations share the generator.
        return randomness.child(
            randomness.root_stream(self.root_seed),
            *(purpose, self.cohort, self.generator, self.unit, self.epsilon_generator, fold, seed),
        )

    def keys(self, seed: int) -> dict[str, str | int]:
        """Run keys of the file of one seed."""
        return {
            "cohort": self.cohort,
            "generator": self.generator,
            "unit": self.unit,
            "epsilon_generator": number_label(self.epsilon_generator),
            "seed": seed,
        }


class _Form(Settings):
    """Form of the windows in a model's description."""

    channels: tuple[str, ...]
    rate_hz: float
    window_s: float
    stride_s: float
    scaling: ScalingName
    protocol: Preprocessing


class _Description(Settings):
    """Description in a file of trained generators, beside arrays and ledgers."""

    job: GeneratorJob
    seed: int
    form: _Form
    trained_stride_s: float = 1.0
    # Files of older versions have no reach: they bound nothing for a minute of raw seconds.
    trained_reach_s: float | None = None


def read_generators(path: Path) -> store.Models:
    """Read the trained generators in a file.

    Raises:
        InputError: the description of the generators is incomplete, or names unknown channels or an invalid
            fold.
    """
    # Model files can come from elsewhere: everything that later becomes a path, a loop or a class is checked.
    models = store.read_models(path)
    try:
        _Description.model_validate(models.description)
    except ValidationError as error:
        raise InputError(*explain(error, _Description, models.description, str(path))) from None
    channels = tuple(models.description["form"]["channels"])
    if channels not in CHANNEL_SETS.values():
        raise InputError(f"{path}: unknown channels {channels}; train it again")
    for fold in models.arrays:
        require_name(fold, f"{path}: fold")
    return models


class Preparation(Settings):
    """How recordings become the features of a detector; see `windows.recipe.Recipe` and `FeatureJob`."""

    protocol: Preprocessing
    channels: Channels
    scaling: ScalingName
    window_s: PositiveInt
    stride_s: PositiveInt
    calibration_s: PositiveInt
    measured: float | None
    pairing: Pairing


class DetectorJob(TrainingJob):
    """Job of training and testing one detector per cell of its axes, seed and fold.

    signals: what the detectors read of the `channels` of the features. public_cohorts: cohorts of the study
    whose features the kind reads as public. kept_seeds: seeds whose detectors are kept. preparation: for
    whoever uses a kept detector.
    """

    evaluation: str
    detector: str
    kind: str
    settings: Mapping[str, Any]
    train: Train
    epsilon_detector: Epsilon
    generators: tuple[str, ...]
    subjects: tuple[int, ...]
    noise: tuple[float, ...]
    noise_distribution: NoiseDistribution = "laplace"
    noise_on: NoiseOn = "features"
    folds: tuple[Fold, ...]
    generator_shared: bool
    signals: tuple[str, ...] = (ALL_SIGNALS,)
    channels: tuple[str, ...] = ()
    public_cohorts: tuple[str, ...] = ()
    kept_seeds: tuple[int, ...] = ()
    preparation: Preparation

    def kept_cells(self) -> list[dict[str, Any]]:
        """Run keys of each file of kept detectors, in the order of the job's outputs."""
        return [keys for keys in self.cells() if keys["seed"] in self.kept_seeds]

    def cells(self) -> Iterator[dict[str, Any]]:
        """Run keys of each Scores file, in the order of the job's outputs."""
        # In the order of `DetectorPack.axes`, by which the plan names the files of the outputs.
        axes = product(self.generators, self.subjects, self.noise, self.signals, self.seeds)
        for generator, subjects, noise, signals, seed in axes:
            keys = {
                "evaluation": self.evaluation,
                "generator": generator,
                "detector": self.detector,
                "unit": self.unit,
                "epsilon_generator": number_label(self.epsilon_generator),
                "epsilon_detector": number_label(self.epsilon_detector),
                "subjects": subjects,
                "noise": noise,
                "seed": seed,
            }
            # The streams of runs that read all signals must stay: their keys have no `signals`.
            yield keys if signals == ALL_SIGNALS else {**keys, "signals": signals}

    def stream(self, keys: Mapping[str, Any], fold: str) -> Stream:
        """Random stream of one run, keyed by all axes of its cell and its fold."""
        return randomness.child(
            randomness.root_stream(self.root_seed), "detector", *map(str, keys.values()), fold
        )


class _KeptForm(Settings):
    """Form of the features in the description of kept detectors."""

    statistic_names: tuple[str, ...]
    spectra: tuple[int, int]


class _KeptDescription(Settings):
    """Description in a file of kept detectors, beside arrays and ledgers."""

    job: DetectorJob
    keys: Mapping[str, Any]
    form: _KeptForm


def read_detectors(path: Path) -> store.Models:
    """Read the kept detectors in a file.

    Raises:
        InputError: the file is no such file, or its description is incomplete.
    """
    models = store.read_models(path, "detectors")
    try:
        _KeptDescription.model_validate(models.description)
    except ValidationError as error:
        raise InputError(*explain(error, _KeptDescription, models.description, str(path))) from None
    return models
