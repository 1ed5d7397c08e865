"""Generator jobs: training, with one run per fold and seed, and synthesis of subjects."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pulseveil.core import identity, registry, store, tensorflow
from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.contracts import STRESS, SyntheticSet, WindowSet
from pulseveil.core.errors import InputError, Interrupted, StopRequested, never_requested
from pulseveil.core.randomness import Stream
from pulseveil.evaluation.protocols import Fold
from pulseveil.generators import FitsTogether, PublicPeople, Training
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.privacy.budget import NOT_PRIVATE, Budget
from pulseveil.runs import training
from pulseveil.runs.run_store import Journal, RunStore, content_hash
from pulseveil.runs.training import Keeping
from pulseveil.study.jobs import GeneratorJob
from pulseveil.windows.reach import reach_of

logger = logging.getLogger(__name__)

CHECKPOINT_STEPS = 1000


class _Run(NamedTuple):
    """One training of a job: its fold and seed, its training windows, and its hash."""

    fold: Fold
    seed: int
    rows: WindowSet
    hash: str


def train_generators(
    job: GeneratorJob,
    windows: WindowSet,
    runs: RunStore,
    journal: Journal,
    stop_requested: StopRequested = never_requested,
    public: Sequence[WindowSet] = (),
) -> Iterator[tuple[int, store.Models, str]]:
    """Train the runs of a job that `runs` lacks, and store each run as it ends.

    public: windows of the job's `public_cohorts`.

    Yields:
        One tuple (seed, models of all folds, hash) per seed. The hash covers settings and releases.

    Raises:
        Interrupted: a stop was requested; finished runs are stored.
        InputError: a subject of a fold has no windows, another process trains the same private run, or a run
            cannot be trained.
    """
    kind = _start(job)
    rows = {fold.name: _training_windows(fold, windows) for fold in job.folds}
    planned = {
        seed: [_run(job, fold, seed, rows[fold.name], public) for fold in job.folds] for seed in job.seeds
    }
    keeping = Keeping(runs, journal, stop_requested, CHECKPOINT_STEPS)
    if _trains_together(kind, job):
        train_together(job, [run for of_seed in planned.values() for run in of_seed], keeping)
    for seed in job.seeds:
        for run in planned[seed]:
            _train(job, run, keeping, public)
        hashes = [run.hash for run in planned[seed]]
        parts = [store.read_models(runs.path(run_hash)) for run_hash in hashes]
        arrays = {fold: values for part in parts for fold, values in part.arrays.items()}
        ledgers = {fold: entries for part in parts for fold, entries in part.ledgers.items()}
        description = {
            "job": job.model_dump(mode="json"),
            "seed": seed,
            "form": _form(windows),
            "trained_stride_s": windows.stride_s,
            "trained_reach_s": reach_s if math.isfinite(reach_s := reach_of(windows)) else None,
        }
        yield seed, store.Models(arrays, description, ledgers), _models_hash(job, planned[seed], ledgers)


def _models_hash(job: GeneratorJob, planned: Sequence[_Run], ledgers: Mapping[str, NDArray[np.str_]]) -> str:
    """Hash of the settings and releases of a seed's models, for files that leave."""
    # The runs' hashes would let anybody check a guess of the training data: they stay in the run store.
    folds = [_settings(job, run.fold, run.seed) for run in planned]
    named = {fold: list(entries) for fold, entries in ledgers.items()}
    return identity.cell_hash({"folds": folds, "ledgers": named})


def synthesize(models: store.Models, subjects: int) -> SyntheticSet:
    """Synthesize `subjects` subjects with the model of each fold; fewer subjects are the first of more.

    Raises:
        InputError: the arrays of a fold are not those of a generator of this kind.
    """
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
    """Synthesize `subjects` subjects with the model of one fold (see `synthetic_subjects`).

    Raises:
        InputError: the arrays of the fold are not those of a generator of this kind.
    """
    job = GeneratorJob.model_validate(models.description["job"])
    seed = int(models.description["seed"])
    _start(job)
    logger.info("synthesize %s, seed %d, fold %s: %d subjects", job.generator, seed, fold, subjects)
    model = training.restored("generators", job, models.arrays[fold], f"fold {fold}")
    synthetic = synthetic_subjects(
        model,
        subjects=subjects,
        classes=job.classes,
        stream=stream,
        windows_per_condition=windows_per_condition,
    )
    form = models.description["form"]
    return SyntheticSet(
        windows=synthetic.windows,
        condition=synthetic.condition,
        stress=synthetic.condition == STRESS,
        subject=synthetic.subject,
        fold=np.full(len(synthetic.subject), fold),
        generator=job.generator,
        unit=job.unit,
        epsilon_generator=job.epsilon_generator,
        seed=seed,
        **(form | {"channels": tuple(form["channels"])}),
    )


def condition_codes(windows: WindowSet, classes: int) -> NDArray[np.int8]:
    """Class codes (n) int8 for a generator: the three conditions, or 1 for stress and 0 for the others."""
    return windows.condition if classes == 3 else (windows.condition == STRESS).astype(np.int8)


def public_people(cohorts: Sequence[str], windows: Sequence[WindowSet]) -> tuple[PublicPeople, ...]:
    """The public people of a training: `windows` of each of `cohorts`."""
    return tuple(
        PublicPeople(cohort, rows.windows, rows.condition == STRESS, rows.subject)
        for cohort, rows in zip(cohorts, windows, strict=True)
    )


def as_training(
    rows: WindowSet,
    classes: int,
    budget: Budget,
    stream: Stream,
    checkpoint: Checkpoint | None = None,
    public: tuple[PublicPeople, ...] = (),
) -> Training:
    """Training of a generator on `rows`, beside the windows of public people."""
    codes = condition_codes(rows, classes)
    return Training(
        rows.windows,
        codes,
        rows.subject,
        classes,
        budget,
        stream,
        checkpoint,
        channels=tuple(rows.channels),
        rate_hz=rows.rate_hz,
        scaling=rows.scaling,
        public=public,
    )


def _start(job: GeneratorJob) -> Any:
    """The job's kind of generator, after the start of TensorFlow on the job's threads if the kind uses it."""
    kind = registry.load("generators", job.kind)
    if kind.uses_tensorflow:
        tensorflow.start(job.threads)
    return kind


def _trains_together(kind: Any, job: GeneratorJob) -> bool:
    """Whether the job's models train in one program."""
    # A single model leaves a GPU idle. A CPU is busy with one model: several take no less time there
    # (tests/benchmarks/cgan.py), and more work is lost when the job is ended. Private trainings are always
    # alone, each with its own secret key and ledger.
    several = len(job.seeds) * len(job.folds) > 1
    return (
        several
        and not np.isfinite(job.epsilon_generator)
        and issubclass(kind, FitsTogether)
        and tensorflow.has_gpu()
    )


def train_together(job: GeneratorJob, planned: Sequence[_Run], keeping: Keeping) -> None:
    """Train all `planned` runs in one program unless all are stored, and store the missing ones.

    Raises:
        Interrupted: a stop was requested; the state of the program is stored.
    """
    runs = keeping.runs
    # Stored runs train again with the missing ones: the program's models are those of the job, so that the
    # rounding of a run does not depend on earlier interruptions.
    if all(runs.has(run.hash) for run in planned):
        return
    if keeping.stop_requested():
        raise Interrupted(f"stop requested before {len(planned)} models of {job.generator}")
    logger.info("train %s: %d models in one program", job.generator, len(planned))
    started = time.monotonic()
    kind = registry.load("generators", job.kind)
    together = identity.cell_hash({"runs": [run.hash for run in planned]})
    checkpoint = keeping.checkpoint(together)
    models = registry.model("generators", job.kind).fit_together(
        kind.Settings.model_validate(job.settings),
        [
            as_training(run.rows, job.classes, NOT_PRIVATE, job.stream("generator", run.fold.name, run.seed))
            for run in planned
        ],
        checkpoint,
    )
    seconds = (time.monotonic() - started) / len(planned)
    for run, model in zip(planned, models, strict=True):
        if not runs.has(run.hash):
            named = {**job.keys(run.seed), "fold": run.fold.name}
            _write(runs.path(run.hash), run, model, {})
            keeping.journal.append("generator", seconds, named)
    checkpoint.clear()


def _training_windows(fold: Fold, windows: WindowSet) -> WindowSet:
    missing = set(fold.train_subjects) - set(windows.subject)
    if missing:
        raise InputError(f"fold {fold.name}: no windows of subject {min(missing)}; rerun prepare_cohort")
    return windows.take(np.isin(windows.subject, fold.train_subjects))


def _run(job: GeneratorJob, fold: Fold, seed: int, rows: WindowSet, public: Sequence[WindowSet]) -> _Run:
    known = _settings(job, fold, seed) | {"windows": content_hash(rows)}
    if public:
        known["public"] = [content_hash(windows) for windows in public]
    return _Run(fold, seed, rows, identity.cell_hash(known))


def _train(job: GeneratorJob, run: _Run, keeping: Keeping, public: Sequence[WindowSet]) -> None:
    """Train and store one run unless it is finished."""
    fold, seed, rows, run_hash = run
    stream = job.stream("generator", fold.name, seed)
    kind = registry.load("generators", job.kind)

    def fit(budget: Budget, checkpoint: Checkpoint) -> Any:
        logger.info("train %s, seed %d, fold %s", job.generator, seed, fold.name)
        return registry.model("generators", job.kind).fit(
            kind.Settings.model_validate(job.settings),
            as_training(
                rows,
                job.classes,
                budget,
                stream,
                checkpoint,
                public_people(job.public_cohorts, public),
            ),
        )

    def write(path: Path, model: Any, ledger: NDArray[np.str_]) -> None:
        _write(path, run, model, {fold.name: ledger} if len(ledger) else {})

    training.train(
        training.Run(
            stage="generator",
            hash=run_hash,
            keys=job.keys(seed),
            fold=fold,
            settings=job.settings,
            budget=job.budget(job.epsilon_generator, fold),
            noise_mode=job.noise_mode,
            stream=stream,
        ),
        keeping,
        fit,
        write,
        lambda model: model.arrays(),
    )


def _write(path: Path, run: _Run, model: Any, ledgers: dict[str, NDArray[np.str_]]) -> None:
    """Store a trained run with its ledger by fold."""
    store.write_models(path, store.Models({run.fold.name: model.arrays()}, {}, ledgers), cell_hash=run.hash)


def _settings(job: GeneratorJob, fold: Fold, seed: int) -> dict[str, Any]:
    """Settings on which a run depends besides the data."""
    # Validated, so that omitted keys and written-out defaults give the same hash.
    settings = registry.load("generators", job.kind).Settings.model_validate(job.settings)
    return {
        "versions": [*job.versions, job.ledgers] if job.ledgers else job.versions,
        "kind": job.kind,
        "settings": settings.model_dump(mode="json"),
        "classes": job.classes,
        "budget": job.budget_settings(job.epsilon_generator, fold),
        "root_seed": job.root_seed,
        "stream": list(job.stream("generator", fold.name, seed).spawn_key),
        "threads": job.threads,
    }


def _form(windows: WindowSet) -> dict[str, Any]:
    """Form of synthetic windows: that of the real windows, except the stride."""
    # Synthetic windows do not overlap, so that their stride is a whole window.
    return {
        "channels": windows.channels,
        "rate_hz": windows.rate_hz,
        "window_s": windows.window_s,
        "stride_s": windows.window_s,
        "scaling": windows.scaling,
        "protocol": windows.protocol,
    }
