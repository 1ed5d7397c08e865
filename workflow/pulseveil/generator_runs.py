"""Train the generators of a job, one run a fold and seed, and synthesize subjects with them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseveil import provenance, registry, releases, store, tensorflow_runtime
from pulseveil.checkpoints import Checkpoint
from pulseveil.contracts import STRESS, SyntheticSet, WindowSet
from pulseveil.errors import InputError
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.interruption import Interrupted, Told, never
from pulseveil.jobs import GeneratorJob
from pulseveil.privacy.budget import Budget
from pulseveil.protocols import Fold
from pulseveil.randomness import Stream
from pulseveil.runs import Journal, RunStore, content_hash

logger = logging.getLogger(__name__)

CHECKPOINT_STEPS = 1000


def train_generators(
    job: GeneratorJob, windows: WindowSet, runs: RunStore, journal: Journal, told: Told = never
) -> Iterator[tuple[int, store.Models, str]]:
    """Train what `runs` does not have yet, each run stored as it ends; yields (seed, models, hash).

    Raises Interrupted, with what is done stored, once the job was `told` to end.
    """
    _start(job)
    for seed in job.seeds:
        hashes = [_train_fold(job, fold, seed, windows, runs, journal, told) for fold in job.folds]
        parts = [store.read_models(runs.path(run_hash)) for run_hash in hashes]
        arrays = {fold: values for part in parts for fold, values in part.arrays.items()}
        ledgers = {fold: entries for part in parts for fold, entries in part.ledgers.items()}
        description = {
            "job": job.model_dump(mode="json"),
            "seed": seed,
            "form": _form(windows),
            "trained_stride_s": windows.stride_s,
        }
        yield seed, store.Models(arrays, description, ledgers), _models_hash(hashes, ledgers)


def _models_hash(hashes: Sequence[str], ledgers: Mapping[str, NDArray[np.str_]]) -> str:
    """The hash of a seed's models; that of private ones knows their releases only, not their data."""
    named = {fold: list(entries) for fold, entries in ledgers.items()}
    return provenance.cell_hash(named if named else {"runs": hashes})


def synthesize(models: store.Models, subjects: int) -> SyntheticSet:
    """`subjects` synthetic subjects from the model of each fold; fewer are a prefix of more."""
    job = GeneratorJob.model_validate(models.description["job"])
    seed = int(models.description["seed"])
    return SyntheticSet.concatenate(
        [
            synthesize_fold(models, fold, subjects=subjects, stream=job.stream("sample", fold, seed))
            for fold in models.arrays
        ]
    )


def synthesize_fold(
    models: store.Models,
    fold: str,
    *,
    subjects: int,
    stream: Stream,
    windows_per_condition: Sequence[int] | None = None,
) -> SyntheticSet:
    """`subjects` synthetic subjects from the model of one fold, as `synthetic_subjects` draws them."""
    job = GeneratorJob.model_validate(models.description["job"])
    seed = int(models.description["seed"])
    kind = _start(job)
    logger.info("synthesize %s, seed %d, fold %s: %d subjects", job.generator, seed, fold, subjects)
    made = synthetic_subjects(
        kind.from_arrays(kind.Settings.model_validate(job.settings), models.arrays[fold]),
        subjects=subjects,
        classes=job.classes,
        stream=stream,
        windows_per_condition=windows_per_condition,
    )
    form = models.description["form"]
    return SyntheticSet(
        windows=made.windows,
        condition=made.condition,
        stress=made.condition == STRESS,
        subject=made.subject,
        fold=np.full(len(made.subject), fold),
        generator=job.generator,
        unit=job.unit,
        epsilon_generator=job.epsilon_generator,
        seed=seed,
        **(form | {"channels": tuple(form["channels"])}),
    )


def condition_codes(windows: WindowSet, classes: int) -> NDArray[np.int8]:
    """The classes that a generator learns (n): the three conditions, or stress and not stress."""
    return windows.condition if classes == 3 else (windows.condition == STRESS).astype(np.int8)


def _start(job: GeneratorJob) -> Any:
    """The job's kind of generator, with TensorFlow started on the job's threads where it is needed."""
    kind = registry.load("generators", job.kind)
    if kind.uses_tensorflow:
        tensorflow_runtime.start(job.threads)
    return kind


def _train_fold(
    job: GeneratorJob,
    fold: Fold,
    seed: int,
    windows: WindowSet,
    runs: RunStore,
    journal: Journal,
    told: Told,
) -> str:
    kind = registry.load("generators", job.kind)
    settings = kind.Settings.model_validate(job.settings)
    missing = set(fold.train_subjects) - set(windows.subject)
    if missing:
        raise InputError(f"fold {fold.name}: no windows of subject {min(missing)}; rerun prepare_cohort")
    rows = windows.take(np.isin(windows.subject, fold.train_subjects))
    run_hash = _run_hash(job, settings, fold, seed, rows)
    if runs.has(run_hash):
        return run_hash
    if told():
        raise Interrupted(f"told to end before seed {seed}, fold {fold.name}")
    logger.info("train %s, seed %d, fold %s: %d windows", job.generator, seed, fold.name, len(rows))
    started = time.monotonic()
    path = runs.path(run_hash)
    checkpoint = Checkpoint(runs.checkpoint_path(run_hash), run_hash, CHECKPOINT_STEPS, told)
    stream = job.stream("generator", fold.name, seed)
    budget = job.budget(job.epsilon_generator, fold)
    resumes = checkpoint.load() is not None
    with releases.with_noise(
        budget, job.noise_mode, runs.key_path(run_hash), stream, resumes=resumes
    ) as budget:
        model = kind.fit(
            settings,
            rows.windows,
            condition_codes(rows, job.classes),
            classes=job.classes,
            budget=budget,
            stream=stream,
            checkpoint=checkpoint,
            subject=rows.subject,
        )
        ledgers = _ledgers(job, fold, seed, model, budget)
    store.write_models(path, store.Models({fold.name: model.arrays()}, {}, ledgers), cell_hash=run_hash)
    checkpoint.clear()
    journal.append("generator", run_hash, time.monotonic() - started, {**job.keys(seed), "fold": fold.name})
    return run_hash


def _ledgers(
    job: GeneratorJob, fold: Fold, seed: int, model: Any, budget: Budget
) -> dict[str, NDArray[np.str_]]:
    """The closed ledger of one fold's training by fold; none where it is not private."""
    if not budget.is_private:
        return {}
    inputs = {**job.keys(seed), "fold": fold.name, "settings": releases.settings_hash(job.settings)}
    return {fold.name: releases.closed_ledger(model.ledger, budget, inputs)}


def _run_hash(job: GeneratorJob, settings: Any, fold: Fold, seed: int, rows: WindowSet) -> str:
    return provenance.cell_hash(
        {
            "versions": job.versions,
            "kind": job.kind,
            "settings": settings.model_dump(mode="json"),
            "classes": job.classes,
            "budget": job.budget_settings(job.epsilon_generator, fold),
            "root_seed": job.root_seed,
            "stream": list(job.stream("generator", fold.name, seed).spawn_key),
            "threads": job.threads,
            "windows": content_hash(rows),
        }
    )


def _form(windows: WindowSet) -> dict[str, Any]:
    """What synthetic windows share with the real ones that they imitate."""
    return {
        "channels": windows.channels,
        "rate_hz": windows.rate_hz,
        "window_s": windows.window_s,
        "stride_s": windows.window_s,
        "scaling": windows.scaling,
        "protocol": windows.protocol,
    }
