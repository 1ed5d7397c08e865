"""Training of one run: skipped if finished; otherwise fitted, its ledger closed, stored and recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from numpy.typing import NDArray

from pulseveil.core import registry
from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError, Interrupted, StopRequested
from pulseveil.core.randomness import Stream
from pulseveil.evaluation.protocols import Fold
from pulseveil.privacy import releases
from pulseveil.privacy.budget import Budget, NoiseMode
from pulseveil.privacy.ledger import Entry
from pulseveil.runs.run_store import Journal, RunStore
from pulseveil.study.jobs import DetectorJob, GeneratorJob


class WithLedger(Protocol):
    """A trained model with the ledger entries of its training."""

    @property
    def ledger(self) -> tuple[Entry, ...]:
        """One entry per mechanism of a private training; empty where nothing was private."""
        ...


Model = TypeVar("Model", bound=WithLedger)


@dataclass(frozen=True)
class Run:
    """One training of a job.

    stage: name of the training's kind in the journal. hash: of all that the training depends on. keys: words
    of its cell, with the seed. settings: those of the model, for the ledger. budget: without a source of
    noise. stream: source of reproducible noise. keeps_model: whether a finished run has a detector beside its
    scores.
    """

    stage: str
    hash: str
    keys: Mapping[str, Any]
    fold: Fold
    settings: Mapping[str, Any]
    budget: Budget
    noise_mode: NoiseMode
    stream: Stream
    keeps_model: bool = False


@dataclass(frozen=True)
class Keeping:
    """Run store, journal, and request to stop, for the trainings of a job.

    checkpoint_steps: number of steps after which a training stores its state.
    """

    runs: RunStore
    journal: Journal
    stop_requested: StopRequested
    checkpoint_steps: int

    def checkpoint(self, run_hash: str) -> Checkpoint:
        """Checkpoint of a run."""
        path = self.runs.checkpoint_path(run_hash)
        return Checkpoint(path, run_hash, self.checkpoint_steps, self.stop_requested)


def restored(
    group: Literal["generators", "detectors"],
    job: GeneratorJob | DetectorJob,
    arrays: Mapping[str, NDArray[Any]],
    source: str,
) -> Any:
    """Trained model of a job with the state `arrays`; `source` names the file or fold in messages.

    Raises:
        InputError: the arrays are not those of a model of the job's kind.
    """
    kind, model = registry.load(group, job.kind), registry.model(group, job.kind)
    try:
        return model.from_arrays(kind.Settings.model_validate(job.settings), arrays)
    # Files can come from elsewhere: kinds raise any of these for arrays that are missing or have other
    # shapes.
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{source}: the arrays are not those of a {group.removesuffix('s')} of kind {job.kind} "
            f"({error}); train it again"
        ) from None


def train(
    run: Run,
    keeping: Keeping,
    fit: Callable[[Budget, Checkpoint], Model],
    write: Callable[[Path, Model, NDArray[Any]], None],
    weights: Callable[[Model], Mapping[str, NDArray[Any]] | None],
) -> None:
    """Train and store a run unless it is finished.

    Args:
        fit: trains the model, with a budget that has its source of noise, and a checkpoint.
        write: stores the model in a file, with its closed ledger (m) as JSON texts.
        weights: the arrays that leave with the ledger; None where the model itself does not leave.

    Raises:
        Interrupted: a stop was requested; the state of the training is stored.
        InputError: another process trains the same private run.
    """
    checkpoint = keeping.checkpoint(run.hash)

    def finished() -> bool:
        return keeping.runs.has(run.hash, with_model=run.keeps_model)

    if not finished():
        if keeping.stop_requested():
            raise Interrupted(f"stop requested before seed {run.keys['seed']}, fold {run.fold.name}")
        # Without privacy two processes may train the same run: both write the same results, atomically.
        with keeping.runs.alone(run.hash) if run.budget.is_private else nullcontext():
            # Another process may have finished the run before this one got the lock.
            if not finished():
                started, key_path = time.monotonic(), keeping.runs.key_path(run.hash)
                with releases.with_noise(
                    run.budget, run.noise_mode, key_path, run.stream, checkpoint
                ) as budget:
                    model = fit(budget, checkpoint)
                    entries = model.ledger if budget.is_private else ()
                    ledger = releases.closed_ledger(
                        entries, budget, run.keys, run.fold, run.settings, weights(model) if entries else None
                    )
                    # Before the key is destroyed, because the name of the release is derived from it.
                    named = releases.journal_keys(run.keys, run.fold, budget)
                # After the key is destroyed: a stored model can never be trained further with its key.
                write(keeping.runs.path(run.hash), model, ledger)
                keeping.journal.append(run.stage, time.monotonic() - started, named)
    # Also for a finished run: a process that was killed after the write leaves its state.
    checkpoint.clear()
