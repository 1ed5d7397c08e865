"""What every job script does around its work: read the job, find its stores, write sidecars."""

from __future__ import annotations

import logging
import sys
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from pulseveil.core import identity, paths, store
from pulseveil.core.errors import InputError
from pulseveil.core.settings import explain
from pulseveil.runs.run_store import Journal, RunStore
from pulseveil.study.jobs import Job

AnyJob = TypeVar("AnyJob", bound=Job)


def read_job(text: str, kind: type[AnyJob]) -> AnyJob:
    """A job from its JSON; raises InputError with the key that is wrong."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise InputError(explain(error, kind, None, "--job")) from None


def stores(study: str) -> tuple[RunStore, Journal]:
    """The run store and the journal of a study, below the working directory."""
    return RunStore(paths.run_store(study)), Journal(paths.journal(study))


def check_outputs(outputs: list[Path], expected: int) -> None:
    """Raise InputError unless there is one output file for each cell of the job."""
    if len(outputs) != expected:
        raise InputError(
            f"--out: expected {expected} files, one for each cell of the job; found {len(outputs)}"
        )


def write_sidecar(path: Path, study: str, started: datetime) -> None:
    """Write study, code version, times and machine beside an output."""
    store.write_json(store.sidecar_path(path), identity.describe_run(study, started))


def log_progress() -> None:
    """Send the library's progress lines to standard error, with the time of day."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
