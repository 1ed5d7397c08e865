"""Releases: one model of a study, trained on all people of a cohort with one seed, and its bundle.

No model of a fold and no key is kept: each would spend more of the same people's budget, or void it.
Source: PRIVACY rules of composition, "one model, all people, one seed".
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import pandas as pd

from pulseveil.cohorts import origin_of
from pulseveil.core import paths, registry, store
from pulseveil.core.contracts import FeatureSet, SyntheticSet, WindowSet
from pulseveil.core.errors import InputError, StopRequested, never_requested
from pulseveil.core.identity import number_label
from pulseveil.evaluation.protocols import ALL, Fold
from pulseveil.privacy import ledger
from pulseveil.privacy.budget import Unit
from pulseveil.release import bundle, cards, croissant, portable
from pulseveil.release.claims import ReleaseClaim, judge
from pulseveil.release.exits import leaving_name, require_leave
from pulseveil.release.export import Form, data_set
from pulseveil.runs import cohort as cohorts
from pulseveil.runs.detectors import Data, train_detectors
from pulseveil.runs.generators import synthesize_fold, train_generators
from pulseveil.runs.run_store import Journal, RunStore
from pulseveil.study import spending, tasks
from pulseveil.study.cells import NONE, AuditedCell, Budgets, DetectorPack, GeneratorCell, WindowsCell
from pulseveil.study.jobs import CohortJob, DetectorJob, FeatureJob, GeneratorJob
from pulseveil.study.licence import require_licence
from pulseveil.study.plan import Plan
from pulseveil.windows.features import extract_features


class Wanted(NamedTuple):
    """The model of a study to release; None: whatever the study has, if it has one only."""

    model: str
    cohort: str | None = None
    unit: Unit | None = None
    epsilon: float | None = None
    seed: int = 0


class _Choice(NamedTuple):
    """One model of a study that could be released, and the pack of a detector."""

    cohort: str
    unit: Unit
    epsilon: float
    pack: DetectorPack | None = None

    def describe(self) -> str:
        """The choice as options of the command."""
        return f"--cohort {self.cohort} --unit {self.unit} --epsilon {number_label(self.epsilon)}"


def release_job(plan: Plan, wanted: Wanted) -> GeneratorJob | DetectorJob:
    """Job of one training on all people of the cohort, without test subjects.

    Raises:
        InputError: the study has no such model, or several; or its delta is too large for all people.
    """
    choice = _choose(plan, wanted)
    people = tuple(plan.outlines[choice.cohort])
    job: GeneratorJob | DetectorJob
    if choice.pack is None:
        cell = GeneratorCell(choice.cohort, wanted.model, choice.unit, choice.epsilon)
        job = plan.generator_job(cell, (wanted.seed,))
        job = job.model_copy(update={"folds": (Fold(name=ALL, train_subjects=people, test_subjects=()),)})
    else:
        budgets = Budgets(choice.unit, math.inf, choice.epsilon)
        job = plan.detector_job(replace(choice.pack, seeds=(wanted.seed,)), wanted.model, budgets)
        # The job of a study tests what it trains. The scores of these people are thrown away with its store.
        fold = Fold(name=ALL, train_subjects=people, test_subjects=people)
        job = job.model_copy(update={"folds": (fold,), "kept_seeds": (wanted.seed,)})
    if math.isfinite(epsilon := epsilon_of(job)):
        kind = registry.load("generators" if choice.pack is None else "detectors", job.kind)
        settings = kind.Settings.model_validate(job.settings)
        mechanisms = kind.mechanisms(settings, job.budget(epsilon, job.folds[0]))
        spending.require_small_delta(plan.study.protocol, job.delta, mechanisms)
    return job


def epsilon_of(job: GeneratorJob | DetectorJob) -> float:
    """Epsilon of the model that a release trains."""
    return job.epsilon_generator if isinstance(job, GeneratorJob) else job.epsilon_detector


def _choose(plan: Plan, wanted: Wanted) -> _Choice:
    name = wanted.model
    found = [
        _Choice(cell.cohort, cell.unit, cell.epsilon)
        for cell in plan.generator_cells()
        if cell.generator == name
    ]
    packs = [p for p in plan.detector_packs if name in p.detectors and p.train == "real"]
    for pack in packs:
        for privacy in plan.privacies(pack, name):
            choice = _Choice(pack.evaluation.cohort, privacy.unit, privacy.epsilon_detector, pack)
            # Evaluations that train on the same people in the same way release the same model.
            if choice[:3] not in {known[:3] for known in found}:
                found.append(choice)
    if not found:
        known = (*(m.name for m in plan.study.generators), *(m.name for m in plan.study.detectors))
        raise InputError(
            f"--model: expected a generator of study {plan.study.name}, or a detector that an evaluation "
            f"trains on real windows ({', '.join(known)}), found {name}"
        )
    fitting = [
        choice
        for choice in found
        if wanted.cohort in (None, choice.cohort)
        and wanted.unit in (None, choice.unit)
        and wanted.epsilon in (None, choice.epsilon)
    ]
    if len(fitting) != 1:
        listed = "; ".join(choice.describe() for choice in found)
        raise InputError(f"{name}: expected options for one of these models: {listed}")
    return fitting[0]


def train(
    plan: Plan,
    job: GeneratorJob | DetectorJob,
    folder: Path,
    stop_requested: StopRequested = never_requested,
) -> store.Models:
    """Train the model of a release; `folder` holds the state of the training, for a resumption.

    Raises:
        Interrupted: a stop was requested; the state is stored.
        InputError: the recordings cannot be used, or the model cannot be trained.
    """
    runs, journal = RunStore(folder), Journal(folder / "journal.jsonl")
    if isinstance(job, GeneratorJob):
        windows = _windows(plan, job.cohort, "generator")
        public = [_windows(plan, name, "generator") for name in job.public_cohorts]
        ((_, models, _),) = train_generators(job, windows, runs, journal, stop_requested, public)
        return models
    evaluation = next(e for e in plan.study.evaluations if e.name == job.evaluation)
    how = tasks.job(plan, tasks.Task("extract_features", WindowsCell(evaluation.cohort, "detector")))
    assert isinstance(how, FeatureJob)
    windows = _windows(plan, evaluation.cohort, "detector")
    features = extract_features(windows, protocol=how.protocol, pairing=how.pairing)
    (cell,) = train_detectors(job, Data(features, features, _no_synthetic), runs, journal, stop_requested)
    assert cell.models is not None
    return cell.models


def _windows(plan: Plan, cohort: str, audience: Literal["generator", "detector"]) -> WindowSet:
    job = tasks.job(plan, tasks.Task("prepare_cohort", WindowsCell(cohort, audience)))
    assert isinstance(job, CohortJob)
    return cohorts.prepare(job, f"cohort {cohort}").windows


def _no_synthetic(generator: str, seed: int) -> FeatureSet:
    raise AssertionError("a release trains on real windows")


@dataclass(frozen=True, eq=False)
class Release:
    """A trained model with its claim: what is needed to write its bundle.

    audit: attacks of the study on models with the same settings; empty if the study has none.
    """

    plan: Plan
    job: GeneratorJob | DetectorJob
    models: store.Models
    claim: ReleaseClaim
    audit: pd.DataFrame

    @classmethod
    def of(cls, plan: Plan, job: GeneratorJob | DetectorJob, models: store.Models, folder: Path) -> Release:
        """The release of trained models, with the claim that ledger, plan and audit allow.

        folder: where the study ran; its results are below `results`.

        Raises:
            InputError: the table of the study's audit is damaged.
        """
        audit = cards.read_audit(folder / _audit_path(plan, job))
        return cls(plan, job, models, cards.after_audit(judge(models, (ALL,)), audit), audit)

    def files(
        self, subjects: Sequence[int], published: date, *, not_private: bool = False
    ) -> dict[str, bytes]:
        """All files of the bundle by name; subjects: sizes of the data sets that a generator synthesizes.

        Each name of a release that is not private begins with NOT-PRIVATE.

        Raises:
            InputError: the model is not private, and `not_private` is False.
        """
        require_leave(self.claim, not_private=not_private)
        with tempfile.TemporaryDirectory() as folder:
            files = self._files(Path(folder), subjects, published)
        return bundle.with_proof(files)

    def _name(self, name: str) -> str:
        # `files` has refused before what nobody allowed to leave.
        return leaving_name(name, self.claim, not_private=True)

    def _files(self, folder: Path, subjects: Sequence[int], published: date) -> dict[str, bytes]:
        group: store.Group = "generators" if isinstance(self.job, GeneratorJob) else "detectors"
        model = folder / "model.h5"
        store.write_models(model, self.models, cell_hash="", group=group)
        files = {"model.h5": model.read_bytes(), "statement.txt": self.claim.statement.encode()}
        if self.claim.entries:
            entries = [ledger.as_json_values(entry) for entry in self.claim.entries]
            files["ledger.json"] = (json.dumps(entries, indent=2) + "\n").encode()
        if isinstance(self.job, GeneratorJob):
            files |= self._data(model, subjects, published)
        else:
            files |= self._detector(self.job)
        files["README.md"] = self._readme(files).encode()
        return {self._name(name): content for name, content in files.items()}

    def _data(self, model: Path, subjects: Sequence[int], published: date) -> dict[str, bytes]:
        """Data sets of a generator with their cards and metadata, and its model card."""
        facts = replace(cards.gather(model, self.models, (ALL,)), claim=self.claim, audit=self.audit)
        files = {"model_card.md": cards.model_card(facts).encode()}
        sets = []
        for count in subjects:
            name, synthetic = f"subjects-{count}", self.synthesize(count)
            request = {"Drawn by": f"scripts/release.py, {count} subjects of the published size"}
            contents = {f"{name}.{form}": data_set(synthetic, form) for form in get_args(Form)}
            named = {self._name(path): content for path, content in contents.items()}
            card = cards.data_card(facts, synthetic, request, bundle.hashes(named))
            files |= contents | {f"{name}.data_card.md": card.encode()}
            sets.append(croissant.DataSet(name, synthetic, request, named))
        if sets:
            study = self.plan.study
            files[croissant.NAME] = croissant.croissant(
                self._name(f"{study.name}_{facts.generator}".replace(" ", "-")),
                facts,
                sets,
                croissant.licence(facts.origin, require_licence(study)),
                published,
            )
        return files

    def synthesize(self, subjects: int) -> SyntheticSet:
        """Synthetic subjects of the release; fewer subjects are the first of more."""
        assert isinstance(self.job, GeneratorJob)
        stream = self.job.stream("sample", ALL, self.job.seeds[0])
        return synthesize_fold(self.models, ALL, subjects=subjects, stream=stream)

    def _detector(self, job: DetectorJob) -> dict[str, bytes]:
        """Card of a detector and, if it is linear, its forms for other programs."""
        cohort = _cohort(self.plan, job)
        origin = origin_of(self.plan.study.cohort_settings[cohort].kind)
        files = {"model_card.md": cards.detector_card(job, cohort, origin, self.claim, self.audit).encode()}
        try:
            arrays = portable.linear(job.kind, self.models.arrays[ALL])
        except InputError:
            return files
        values = portable.as_json(arrays, job.preparation.model_dump(mode="json"))
        files["detector.json"] = (
            json.dumps(values | {"claim": self.claim.headline}, indent=2) + "\n"
        ).encode()
        files["detector.onnx"] = portable.as_onnx(arrays, self.claim.headline).SerializeToString()
        return files

    def _readme(self, files: Mapping[str, Any]) -> str:
        named = "\n".join(f"- `{self._name(name)}`: {_MEANING[_ending(name)]}" for name in sorted(files))
        left_out = "\n".join(f"- {what}" for what in _LEFT_OUT)
        return (
            f"# Release of `{self.plan.study.name}`\n\n**{self.claim.headline}**\n\n{named}\n"
            f"- `{bundle.VERIFY}`: checks all files and epsilons: `pip install dp-accounting`, then "
            f"`python {bundle.VERIFY}`\n\n## Left out, and why\n\n{left_out}\n"
        )


def _cohort(plan: Plan, job: GeneratorJob | DetectorJob) -> str:
    """Name of the cohort whose people train the model of a release."""
    if isinstance(job, GeneratorJob):
        return job.cohort
    return next(e.cohort for e in plan.study.evaluations if e.name == job.evaluation)


def _audit_path(plan: Plan, job: GeneratorJob | DetectorJob) -> str:
    """Path of the study's audit of models with the settings of a release."""
    cohort, study = _cohort(plan, job), plan.study.name
    if isinstance(job, GeneratorJob):
        of_generator = GeneratorCell(cohort, job.generator, job.unit, job.epsilon_generator)
        return paths.fill(paths.GENERATOR_AUDIT, study=study, **of_generator.words)
    cell = AuditedCell("detector", cohort, NONE, job.detector, job.unit, math.inf, job.epsilon_detector)
    return paths.fill(paths.DETECTOR_AUDIT, study=study, **cell.words)


def _ending(name: str) -> str:
    return "subjects" + name[name.index(".") :] if name.startswith("subjects-") else name


_MEANING = {
    "model.h5": "the trained model, for PulseVeil",
    "model_card.md": "origin, training, claim and limits of the model",
    "statement.txt": "the ledger in plain English",
    "ledger.json": "each private mechanism as it ran, and its epsilons",
    "subjects.csv": "synthetic subjects, one row per second",
    "subjects.parquet": "the same rows without rounding",
    "subjects.h5": "the same synthetic subjects as windows",
    "croissant.json": "the data sets for machines: files, columns, origin, limits and privacy (Croissant)",
    "subjects.data_card.md": "columns, origin, claim and limits of the data",
    "detector.json": "all numbers of the detector, for a reader",
    "detector.onnx": "the detector for ONNX: statistics of windows to probabilities of stress",
}
_LEFT_OUT = (
    "models of folds and of other seeds: each would spend the budget of the same people again",
    "keys of the noise: whoever has one can remove the noise",
    "scores and quality on the real people: they are computed without noise",
    "recordings, windows and features of the real people",
)
