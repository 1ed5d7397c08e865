"""Catalogue of trained models below a folder, and the claim of each model."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from pulseveil.core import paths, registry, store
from pulseveil.core.contracts import subject_order
from pulseveil.core.errors import InputError
from pulseveil.core.identity import falling, number_label, parse_number
from pulseveil.evaluation.protocols import ALL
from pulseveil.release.cards import Facts, gather
from pulseveil.runs.scoring import choose_fold
from pulseveil.study.jobs import GeneratorJob, read_generators

_ANY = ("study", "cohort", "generator", "unit", "epsilon_generator", "seed")


@dataclass(frozen=True)
class ModelFile:
    """A file of trained generators, one model per fold; all fields come from its path."""

    study: str
    cohort: str
    generator: str
    unit: str
    epsilon: float
    seed: int
    path: Path

    @property
    def model(self) -> str:
        """Generator, by the title of its kind if it has the name of a kind, and training cohort as text."""
        known = self.generator in registry.names("generators")
        title = registry.load("generators", self.generator).title if known else self.generator
        return f"{title} on {self.cohort}"

    @property
    def budget(self) -> str:
        """Budget in the file's path as text; only the ledger shows whether the training kept it."""
        if math.isinf(self.epsilon):
            return "no budget (not private)"
        return f"epsilon {number_label(self.epsilon)} for a {self.unit}"


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """The model of one fold, with its facts."""

    models: store.Models
    fold: str
    facts: Facts

    @property
    def job(self) -> GeneratorJob:
        """The job that trained the model."""
        return GeneratorJob.model_validate(self.models.description["job"])


def find_models(folder: Path) -> tuple[ModelFile, ...]:
    """Model files below `folder`/results, those with a budget first; no file is read.

    Raises:
        InputError: a path has no numbers for epsilon and seed.
    """
    pattern = paths.fill(paths.MODELS, **dict.fromkeys(_ANY, "*"))
    found = [_named(path) for path in folder.glob(pattern)]
    return tuple(sorted(found, key=_rank))


def _rank(file: ModelFile) -> tuple[Any, ...]:
    own = astuple(replace(file, epsilon=falling(file.epsilon)))
    # The page shows the first model: nobody must meet an unprotected one unasked.
    return math.isinf(file.epsilon), *own


def fold_names(file: ModelFile) -> tuple[str, ...]:
    """Folds of a model file: first the fold that trains on all people, then in numeric order."""
    names = read_generators(file.path).arrays
    return tuple(sorted(names, key=lambda name: (name != ALL, subject_order(name))))


def open_model(file: ModelFile, fold: str) -> TrainedModel:
    """Read the model of a fold, and check its claim.

    Raises:
        InputError: the file is damaged, has no such fold, or is not the file that its path names.
    """
    models = read_generators(file.path)
    if fold not in models.arrays:
        raise InputError(f"{file.path}: no model of fold {fold!r}; it has {', '.join(models.arrays)}")
    job = GeneratorJob.model_validate(models.description["job"])
    seed = int(models.description["seed"])
    # A moved file would appear under the budget of its new path, which its training may not have kept.
    recorded = (job.study, job.cohort, job.generator, job.unit, job.epsilon_generator, seed)
    location = (file.study, file.cohort, file.generator, file.unit, file.epsilon, file.seed)
    if recorded != location:
        raise InputError(
            f"{file.path}: the model was trained as {' / '.join(map(str, recorded))}; move the file back"
        )
    return TrainedModel(models, fold, gather(file.path, models, (fold,)))


def open_path(path: Path, fold: str | None = None) -> TrainedModel:
    """Read a model from a study's folders or from a release; fold: which one, if the file has several.

    Raises:
        InputError: as in `open_model`, or the file has several folds and none is named.
    """
    models = read_generators(path)
    chosen = choose_fold(path, models, fold)
    if paths.words(paths.MODELS, path) is not None:
        return open_model(_named(path), chosen)
    return TrainedModel(models, chosen, gather(path, models, (chosen,)))


def _named(path: Path) -> ModelFile:
    found = paths.words(paths.MODELS, path)
    # `find_models` lists only paths of this pattern.
    assert found is not None
    words = found[1]
    try:
        epsilon, seed = parse_number(words["epsilon_generator"]), int(words["seed"])
    except ValueError:
        raise InputError(
            f"{path}: expected numbers after epsilon_generator= and seed=; move the file back to its folder"
        ) from None
    return ModelFile(words["study"], words["cohort"], words["generator"], words["unit"], epsilon, seed, path)
