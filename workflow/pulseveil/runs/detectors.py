"""Detector jobs: training and testing, with one run per cell and fold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pulseveil.core import identity, paths, randomness, registry, store, tensorflow
from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.contracts import FeatureSet, Scores, WindowSet
from pulseveil.core.errors import StopRequested, never_requested
from pulseveil.detectors import DetectorKind, Fitted, PublicFeatures, Training
from pulseveil.evaluation import protocols
from pulseveil.evaluation.protocols import ALL, Fold
from pulseveil.privacy.budget import Budget
from pulseveil.runs import training
from pulseveil.runs.run_store import Journal, RunStore, content_hash
from pulseveil.runs.training import Keeping, Run
from pulseveil.study import tasks
from pulseveil.study.cells import DetectorCell
from pulseveil.study.jobs import DetectorJob
from pulseveil.study.plan import Plan
from pulseveil.windows.features import extract_features
from pulseveil.windows.signals import ALL_SIGNALS, of_signals

logger = logging.getLogger(__name__)

# States of networks are large and their steps short: 500 steps of the largest network take half a minute on
# one core.
CHECKPOINT_STEPS = 500

Keys = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Data:
    """Features of a job: real ones for training and testing, and synthetic ones by (generator, seed).

    public: those of the job's `public_cohorts`. windows: of the people of `train`, for a job with noise on
    windows.
    """

    train: FeatureSet
    test: FeatureSet
    synthetic: Callable[[str, int], FeatureSet]
    public: tuple[FeatureSet, ...] = ()
    windows: WindowSet | None = None


class Trained(NamedTuple):
    """One trained cell: its run keys, scores and, if they are kept, detectors of all folds.

    hash: of settings and releases.
    """

    keys: Keys
    scores: Scores
    models: store.Models | None
    hash: str


def synthetic_features(job: DetectorJob, files: Sequence[Path]) -> Callable[[str, int], FeatureSet]:
    """Reader of the synthetic features of a job by generator and seed.

    files: one per generator and seed, with all seeds of a generator in succession.
    """
    by_source = dict(zip(product(job.generators, job.seeds), files, strict=True)) if files else {}

    # Only the last file is kept: features are large, and the runs that share a file follow each other.
    @lru_cache(maxsize=1)
    def read(generator: str, seed: int) -> FeatureSet:
        return store.read_record(by_source[generator, seed], FeatureSet)

    return read


def train_detectors(
    job: DetectorJob,
    data: Data,
    runs: RunStore,
    journal: Journal,
    stop_requested: StopRequested = never_requested,
) -> Iterator[Trained]:
    """Train and test the runs of a job that `runs` lacks.

    Yields:
        One `Trained` per cell.

    Raises:
        Interrupted: a stop was requested; finished runs are stored.
        InputError: another process trains the same private run, or a run cannot be trained.
    """
    kind = registry.load("detectors", job.kind)
    if kind.uses_tensorflow:
        tensorflow.start(job.threads)
    keeping = Keeping(runs, journal, stop_requested, CHECKPOINT_STEPS)
    varied = _varied(job)
    for keys in job.cells():
        logger.info(
            "%s: %s", job.detector, ", ".join(f"{name} {keys[name]}" for name in varied if name in keys)
        )
        hashes = [_run(job, kind, keys, fold, data, keeping) for fold in job.folds]
        parts = [store.read_record(runs.path(run_hash), Scores) for run_hash in hashes]
        scores = _together(parts)
        models = _kept(job, keys, hashes, data, runs) if keys["seed"] in job.kept_seeds else None
        yield Trained(keys, scores, models, public_hash(job, keys, scores.ledger))


def _varied(job: DetectorJob) -> tuple[str, ...]:
    """Run keys in which the cells of a job differ, and the seed."""
    cells = list(job.cells())
    return tuple(
        name for name in cells[-1] if name == "seed" or len({str(keys.get(name)) for keys in cells}) > 1
    )


def own_hashes(plan: Plan, results: Path) -> dict[Path, Callable[[NDArray[np.str_]], str]]:
    """For each score file of a study below `results`, the hash that it must have, given its ledger (m)."""
    found = dict[Path, Callable[[NDArray[np.str_]], str]]()
    for task in tasks.tasks(plan):
        if not isinstance(task.cell, DetectorCell):
            continue
        job = tasks.job(plan, task)
        assert isinstance(job, DetectorJob)
        templates = tasks.outputs(plan, task.rule, task.pack)
        for template, keys in zip(templates, job.cells(), strict=True):
            found[results / paths.fill(template, **task.cell.words)] = partial(public_hash, job, keys)
    return found


def _together(parts: Sequence[Scores]) -> Scores:
    """Scores of all folds, with the ledgers of all folds."""
    ledger = np.concatenate([part.ledger for part in parts])
    return replace(Scores.concatenate([replace(part, ledger=ledger) for part in parts]), ledger=ledger)


def _kept(job: DetectorJob, keys: Keys, hashes: Sequence[str], data: Data, runs: RunStore) -> store.Models:
    """Detectors of all folds of a cell, with what a new recording needs to be scored."""
    parts = [store.read_models(runs.model_path(run_hash), "detectors") for run_hash in hashes]
    description = {
        "job": job.model_dump(mode="json"),
        "keys": dict(keys),
        "form": {
            "statistic_names": list(data.train.statistic_names),
            "spectra": list(data.train.features.shape[1:]),
        },
    }
    return store.Models(
        {fold: arrays for part in parts for fold, arrays in part.arrays.items()},
        description,
        {fold: entries for part in parts for fold, entries in part.ledgers.items()},
    )


def _run(
    job: DetectorJob, kind: type[DetectorKind], keys: Keys, fold: Fold, data: Data, keeping: Keeping
) -> str:
    """Train and test one run unless it is finished, and return its hash."""
    synthetic = None if job.train == "real" else data.synthetic(keys["generator"], keys["seed"])
    rows = protocols.training_rows(
        data.train,
        synthetic,
        fold,
        train=job.train,
        generator_fold=ALL if job.generator_shared else fold.name,
        subjects=keys["subjects"],
    )
    test = protocols.test_rows(data.test, fold)
    signals = keys.get("signals", ALL_SIGNALS)
    stream = job.stream(keys, fold.name)
    on_input = randomness.child(stream, "input_noise")
    if job.noise_on == "windows":
        rows = _of_noised_windows(job, data, fold, keys["noise"], on_input)
    rows, test = (of_signals(each, signals, job.channels) for each in (rows, test))
    public = [of_signals(each, signals, job.channels) for each in data.public]
    fit_stream = randomness.child(stream, "fit")
    run = Run(
        stage="detector",
        hash=_run_hash(job, keys, fold, rows, test, public),
        keys=keys,
        fold=fold,
        settings=job.settings,
        budget=job.budget(job.epsilon_detector, fold),
        noise_mode=job.noise_mode,
        stream=fit_stream,
        keeps_model=keys["seed"] in job.kept_seeds,
    )

    def fit(budget: Budget, checkpoint: Checkpoint) -> Fitted:
        noisy = rows
        if job.noise_on == "features":
            noisy = protocols.with_input_noise(rows, keys["noise"], job.noise_distribution, on_input)
        settings, model = kind.Settings.model_validate(job.settings), registry.model("detectors", job.kind)
        beside = tuple(map(PublicFeatures, job.public_cohorts, public))
        fitted: Fitted = model.fit(settings, Training(noisy, budget, fit_stream, checkpoint, beside))
        return fitted

    def write(path: Path, fitted: Fitted, ledger: NDArray[np.str_]) -> None:
        # Before the scores, whose file says that the run is finished.
        if run.keeps_model:
            ledgers = {fold.name: ledger} if len(ledger) else {}
            models = store.Models({fold.name: fitted.arrays()}, {}, ledgers)
            store.write_models(
                keeping.runs.model_path(run.hash), models, cell_hash=run.hash, group="detectors"
            )
        store.write_record(path, _scores(fitted, test, keys, fold, ledger), cell_hash=run.hash)

    # A hash of weights in the ledger of a detector that is kept. Of others the scores alone leave.
    training.train(run, keeping, fit, write, lambda fitted: fitted.arrays() if run.keeps_model else None)
    return run.hash


def _of_noised_windows(
    job: DetectorJob, data: Data, fold: Fold, scale: float, stream: randomness.Stream
) -> FeatureSet:
    """Features of the windows of a fold's training subjects, with noise on each sample."""
    if data.windows is None:
        raise ValueError("the job has noise on windows, but no windows were given")
    windows = data.windows.take(np.isin(data.windows.subject, fold.train_subjects))
    noised = protocols.with_noised_samples(windows, scale, job.noise_distribution, stream)
    how = job.preparation
    return extract_features(noised, protocol=how.protocol, pairing=how.pairing)


def _scores(fitted: Fitted, test: FeatureSet, keys: Keys, fold: Fold, ledger: NDArray[np.str_]) -> Scores:
    """Scores of a trained detector for the tested rows."""
    outputs = fitted.score(test)
    return Scores(
        subject=test.subject,
        fold=np.full(len(test), fold.name),
        start_s=test.start_s,
        condition=test.condition,
        stress=test.stress,
        score=outputs.score,
        score_rest=outputs.score_rest,
        predicted=outputs.predicted,
        keys=keys,
        ledger=ledger,
    )


def _run_hash(
    job: DetectorJob,
    keys: Keys,
    fold: Fold,
    train: FeatureSet,
    test: FeatureSet,
    public: Sequence[FeatureSet],
) -> str:
    data: dict[str, Any] = {"train": content_hash(train), "test": content_hash(test)}
    if public:
        data["public"] = [content_hash(features) for features in public]
    return identity.cell_hash(_settings(job, keys, fold) | data)


def public_hash(job: DetectorJob, keys: Keys, ledger: NDArray[np.str_]) -> str:
    """Hash of a cell's settings and releases, for files that leave; ledger: entries of all folds (m)."""
    # The runs' hashes would let anybody check a guess of the training data: they stay in the run store.
    folds = [_settings(job, keys, fold) for fold in job.folds]
    return identity.cell_hash({"folds": folds, "ledger": ledger.tolist()})


def _settings(job: DetectorJob, keys: Keys, fold: Fold) -> dict[str, Any]:
    """Settings on which a run depends besides the data."""
    input_noise = [job.noise_distribution, job.noise_on]
    # The key of the stream stands for all axes of the cell and for the fold.
    return {
        "versions": job.versions,
        "kind": job.kind,
        "settings": dict(job.settings),
        "budget": job.budget_settings(job.epsilon_detector, fold),
        "noise": keys["noise"],
        "root_seed": job.root_seed,
        "stream": list(job.stream(keys, fold.name).spawn_key),
        "threads": job.threads,
        # Left out where nothing is public or the noise is as published: the hashes of such runs must stay.
        **({"public_cohorts": list(job.public_cohorts)} if job.public_cohorts else {}),
        **({} if input_noise == ["laplace", "features"] else {"input_noise": input_noise}),
    }
