"""What a job is told: everything that its runs depend on besides the data, checked when it is read.

Jobs of audits stand here, too: a plan reads them and must import no statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from pydantic import PositiveInt, ValidationError

from pulseveil.core import identity, randomness, store
from pulseveil.core.contracts import CHANNEL_SETS
from pulseveil.core.errors import InputError
from pulseveil.core.identity import number_label, require_name
from pulseveil.core.randomness import Stream
from pulseveil.core.settings import Audience, Channels, Pairing, Preprocessing, ScalingName, Settings, explain
from pulseveil.evaluation.protocols import Fold, Train
from pulseveil.privacy.budget import Backend, Budget, NoiseMode, Population, Unit
from pulseveil.study.audit_settings import AuditSettings, Part
from pulseveil.study.study import Epsilon


class Job(Settings):
    """What all jobs know: the study, and the versions of stage and kind, which rise when values change."""

    study: str = ""
    versions: tuple[int, ...]

    # The version of the stage in this code; None where the runs hash what the job says.
    stage: ClassVar[int | None] = None


class CohortJob(Job):
    """Cut the recordings of a cohort into windows; keys left out have the protocol's values.

    `settings`: the cohort's, with its kind; see `windows.cutting.Recipe` for the others.
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


class FeatureJob(Job):
    """Make features of windows. `pairing`: which sub-window length belongs to which signal (paper)."""

    stage: ClassVar[int | None] = identity.FEATURES
    versions: tuple[int, ...] = (identity.FEATURES,)
    protocol: Preprocessing
    pairing: Pairing = "published"


class SynthesisJob(Job):
    """Synthesize `subjects` subjects with each fold's generator."""

    stage: ClassVar[int | None] = identity.SYNTHESIS
    versions: tuple[int, ...] = (identity.SYNTHESIS,)
    subjects: PositiveInt


class QualityJob(Job):
    """Compare synthetic windows with real ones."""

    stage: ClassVar[int | None] = identity.QUALITY
    versions: tuple[int, ...] = (identity.QUALITY,)


class TrainingJob(Job):
    """What jobs that train know of their study; a new version of stage or model trains everything again.

    `programs`: versions of what trains privately; a new one trains private models again.
    `windows_per_subject` and `stress_share` are what a private training takes for public.
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
        """The budget of one training of this job, before it has a source of noise."""
        population = Population(len(fold.train_subjects), self.windows_per_subject, self.stress_share)
        return Budget(epsilon, self.delta, self.unit, population, backend=self.dp_backend)

    def budget_settings(self, epsilon: float, fold: Fold) -> list[Any]:
        """All that a training of this job depends on in its budget."""
        budget = self.budget(epsilon, fold)
        common = [self.unit, self.delta, epsilon]
        if not budget.is_private:
            return common
        known = astuple(budget.known_population())
        return [*common, *known, self.noise_mode, self.dp_backend, list(self.programs)]


class GeneratorJob(TrainingJob):
    """Train one generator for each fold and seed; a fold's `train_subjects` are all that it may see.

    `cohort_kind` is for the cards; it is empty in models of older versions. `ledgers` is the version of what
    the ledgers of a private training say.
    """

    cohort: str
    cohort_kind: str = ""
    ledgers: int = 0
    generator: str
    kind: str
    settings: Mapping[str, Any]
    classes: int
    folds: tuple[Fold, ...]

    def stream(self, purpose: str, fold: str, seed: int) -> Stream:
        """The stream of one trained generator, keyed by what it is, not by where it is used."""
        return randomness.child(
            randomness.root_stream(self.root_seed),
            *(purpose, self.cohort, self.generator, self.unit, self.epsilon_generator, fold, seed),
        )

    def keys(self, seed: int) -> dict[str, str | int]:
        """The run keys of the file of one seed."""
        return {
            "cohort": self.cohort,
            "generator": self.generator,
            "unit": self.unit,
            "epsilon_generator": number_label(self.epsilon_generator),
            "seed": seed,
        }


class _Form(Settings):
    """What the windows of a model's description share."""

    channels: tuple[str, ...]
    rate_hz: float
    window_s: float
    stride_s: float
    scaling: ScalingName
    protocol: Preprocessing


class _Description(Settings):
    """What a file of trained generators says of them, beside arrays and ledgers."""

    job: GeneratorJob
    seed: int
    form: _Form
    trained_stride_s: float = 1.0
    trained_reach_s: float | None = None


def read_generators(path: Path) -> store.Models:
    """The trained generators in a file; raises InputError where it does not say well what they are."""
    models = store.read_models(path)
    try:
        _Description.model_validate(models.description)
    except ValidationError as error:
        raise InputError(explain(error, _Description, models.description, str(path))) from None
    channels = tuple(models.description["form"]["channels"])
    if channels not in CHANNEL_SETS.values():
        raise InputError(f"{path}: channels {channels} are none that are known; train it again")
    for fold in models.arrays:
        require_name(fold, f"{path}: fold")
    return models


class DetectorJob(TrainingJob):
    """Train and test one detector for each generator, number of subjects, noise level, seed and fold."""

    evaluation: str
    detector: str
    kind: str
    settings: Mapping[str, Any]
    train: Train
    epsilon_detector: Epsilon
    generators: tuple[str, ...]
    subjects: tuple[int, ...]
    noise: tuple[float, ...]
    folds: tuple[Fold, ...]
    generator_shared: bool

    def cells(self) -> Iterator[dict[str, Any]]:
        """The run keys of each Scores file, in the order of the job's outputs."""
        axes = product(self.generators, self.subjects, self.noise, self.seeds)
        for generator, subjects, noise, seed in axes:
            yield {
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

    def stream(self, keys: Mapping[str, Any], fold: str) -> Stream:
        """The stream of one run: a path of all its axes."""
        return randomness.child(
            randomness.root_stream(self.root_seed), "detector", *map(str, keys.values()), fold
        )


class AuditJob(TrainingJob):
    """Audit one part of a cell on all people of a cohort.

    `kind` and `settings` are those of the audited model, `audits` is how many verdicts of the study can fail.
    `synthetic_subjects`: how many an audited generator releases, or an audited detector learns from.
    """

    part: ClassVar[Part]
    cohort: str
    generator: str
    detector: str
    kind: str
    settings: Mapping[str, Any]
    epsilon_detector: Epsilon
    subjects: tuple[str, ...]
    synthetic_subjects: int
    audit: AuditSettings
    audits: int

    @property
    def model(self) -> str:
        """The name of the audited model."""
        return self.generator if self.part == "generator" else self.detector

    @property
    def epsilon(self) -> float:
        """The epsilon that the audited part claims."""
        return self.epsilon_generator if self.part == "generator" else self.epsilon_detector

    def keys(self) -> dict[str, Any]:
        """The columns that name the audited model in a table."""
        return {
            "cohort": self.cohort,
            "part": self.part,
            "generator": self.generator,
            "detector": self.detector,
            "unit": self.unit,
            "epsilon_generator": self.epsilon_generator,
            "epsilon_detector": self.epsilon_detector,
        }

    def stream(self) -> Stream:
        """The stream of all trainings of this audit."""
        return randomness.child(randomness.root_stream(self.root_seed), "audit", *self.keys().values())

    def fold(self, *, with_canaries: bool) -> Fold:
        """Whom the plan takes a training to see: everybody, and the canaries beside them.

        A record that is left out contributes zero; the public number of records stays.
        """
        extra = self.audit.canary_people(self.unit) if with_canaries else 0
        canaries = tuple(f"canary {i}" for i in range(extra))
        return Fold(name="audit", train_subjects=(*self.subjects, *canaries), test_subjects=())

    def budgets(self) -> tuple[Budget, Budget]:
        """The budget that is claimed, and the one of trainings that have capacity for canaries."""
        plain, wider = (self.budget(self.epsilon, self.fold(with_canaries=flag)) for flag in (False, True))
        return plain, wider


class GeneratorAuditJob(AuditJob):
    """Audit a generator of `classes` conditions by releases of `synthetic_subjects`."""

    part: ClassVar[Part] = "generator"
    classes: int


class DetectorAuditJob(AuditJob):
    """Audit a detector of real windows, beside synthetic ones of `generator_fold` unless that is empty."""

    part: ClassVar[Part] = "detector"
    generator_fold: str = ""
