"""The life of one training: found finished, or trained with its noise, closed, stored and noted, once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import Interrupted, StopRequested
from pulseveil.core.randomness import Stream
from pulseveil.evaluation.protocols import Fold
from pulseveil.privacy import releases
from pulseveil.privacy.budget import Budget, NoiseMode
from pulseveil.privacy.ledger import Entry
from pulseveil.runs.run_store import Journal, RunStore


class Fitted(Protocol):
    """A trained model with the ledger entries of its training."""

    @property
    def ledger(self) -> tuple[Entry, ...]:
        """One entry per mechanism of a private training; empty where nothing was private."""
        ...


Model = TypeVar("Model", bound=Fitted)


@dataclass(frozen=True)
class Run:
    """One training of a job, by the hash of all that it depends on.

    stage: what the journal calls it; keys: the words of its cell, with the seed; settings: the model's, for
    the ledger; budget: before it has a source of noise; stream: decides a reproducible noise.
    """

    stage: str
    hash: str
    keys: Mapping[str, Any]
    fold: Fold
    settings: Mapping[str, Any]
    budget: Budget
    noise_mode: NoiseMode
    stream: Stream


@dataclass(frozen=True)
class Keeping:
    """Where runs are kept, noted and interrupted; a state is stored every `checkpoint_steps`."""

    runs: RunStore
    journal: Journal
    stop_requested: StopRequested
    checkpoint_steps: int

    def checkpoint(self, run_hash: str) -> Checkpoint:
        """The stored state of a training."""
        path = self.runs.checkpoint_path(run_hash)
        return Checkpoint(path, run_hash, self.checkpoint_steps, self.stop_requested)


def train(
    run: Run,
    keeping: Keeping,
    fit: Callable[[Budget, Checkpoint], Model],
    write: Callable[[Path, Model, NDArray[Any]], None],
    weights: Callable[[Model], Mapping[str, NDArray[Any]] | None],
) -> None:
    """Train a run where it is not finished yet.

    fit(budget, checkpoint): the model, by a budget with its source of noise. write(path, model, ledger):
    stores what is kept of the model, with the closed ledger (m) as JSON; it runs once the key is destroyed.
    weights(model): the arrays that leave with the ledger; None where the model itself does not leave.
    Raises Interrupted, with what is done stored, once a stop is requested; InputError where another
    process trains a private run.
    """
    checkpoint = keeping.checkpoint(run.hash)
    if not keeping.runs.has(run.hash):
        if keeping.stop_requested():
            raise Interrupted(f"stop requested before seed {run.keys['seed']}, fold {run.fold.name}")
        with keeping.runs.alone(run.hash) if run.budget.is_private else nullcontext():
            # Another process may have ended in between.
            if not keeping.runs.has(run.hash):
                started, key_path = time.monotonic(), keeping.runs.key_path(run.hash)
                with releases.with_noise(
                    run.budget, run.noise_mode, key_path, run.stream, checkpoint
                ) as budget:
                    model = fit(budget, checkpoint)
                    entries = model.ledger if budget.is_private else ()
                    ledger = releases.closed_ledger(
                        entries, budget, run.keys, run.fold, run.settings, weights(model) if entries else None
                    )
                    named = releases.journal_keys(run.keys, run.fold, budget)
                write(keeping.runs.path(run.hash), model, ledger)
                keeping.journal.append(run.stage, time.monotonic() - started, named)
    checkpoint.clear()
