"""Which trained models there are, and what each of them may claim."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from pulseveil.core import paths, store
from pulseveil.core.contracts import subject_order
from pulseveil.core.errors import InputError
from pulseveil.core.identity import number_label, parse_number
from pulseveil.evaluation.protocols import ALL
from pulseveil.release.cards import Facts, gather
from pulseveil.study.jobs import GeneratorJob, read_generators

_ANY = ("study", "cohort", "generator", "unit", "epsilon_generator", "seed")


@dataclass(frozen=True, order=True)
class ModelFile:
    """A file of trained generators, as its path names it: one model a fold."""

    study: str
    cohort: str
    generator: str
    unit: str
    epsilon: float
    seed: int
    path: Path

    @property
    def model(self) -> str:
        """The generator and what it learned from."""
        return f"{self.generator} on {self.cohort}"

    @property
    def budget(self) -> str:
        """The budget that it was trained for; whether it was kept, only its ledger can say."""
        if math.isinf(self.epsilon):
            return "no budget (not private)"
        return f"epsilon {number_label(self.epsilon)} for a {self.unit}"


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """The model of one fold, and all that is known of it."""

    models: store.Models
    fold: str
    facts: Facts

    @property
    def job(self) -> GeneratorJob:
        """The job of its training."""
        return GeneratorJob.model_validate(self.models.description["job"])


def find_models(folder: Path) -> tuple[ModelFile, ...]:
    """The model files below `folder`/results: trained with a budget first; reads none of them."""
    pattern = paths.fill(paths.MODELS, **dict.fromkeys(_ANY, "*"))
    found = [_named(path) for path in folder.glob(pattern)]
    return tuple(sorted(found, key=lambda file: (math.isinf(file.epsilon), file)))


def fold_names(file: ModelFile) -> tuple[str, ...]:
    """The folds that a file holds models of: that of all people first, then in numeric order."""
    names = read_generators(file.path).arrays
    return tuple(sorted(names, key=lambda name: (name != ALL, subject_order(name))))


def open_model(file: ModelFile, fold: str) -> TrainedModel:
    """The model of a fold with its claim; raises InputError where the file is not what its path says."""
    models = read_generators(file.path)
    if fold not in models.arrays:
        raise InputError(f"{file.path}: no model of fold {fold!r}; it has {', '.join(models.arrays)}")
    job = GeneratorJob.model_validate(models.description["job"])
    seed = int(models.description["seed"])
    recorded = (job.study, job.cohort, job.generator, job.unit, job.epsilon_generator, seed)
    location = (file.study, file.cohort, file.generator, file.unit, file.epsilon, file.seed)
    if recorded != location:
        raise InputError(
            f"{file.path}: it was made as {' / '.join(map(str, recorded))}; put it back where it was made"
        )
    return TrainedModel(models, fold, gather(file.path, models, (fold,)))


def _named(path: Path) -> ModelFile:
    found = paths.words(paths.MODELS, path)
    assert found is not None
    words = found[1]
    try:
        epsilon, seed = parse_number(words["epsilon_generator"]), int(words["seed"])
    except ValueError:
        raise InputError(
            f"{path}: expected numbers after epsilon_generator= and seed=; put it back where it was made"
        ) from None
    return ModelFile(words["study"], words["cohort"], words["generator"], words["unit"], epsilon, seed, path)
