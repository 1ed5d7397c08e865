"""What every job script does around its work: read the job, find its stores, write sidecars."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from pulseveil.core import identity, paths, store
from pulseveil.core.atomic import write_json
from pulseveil.core.errors import InputError
from pulseveil.core.settings import explain
from pulseveil.runs.run_store import Journal, RunStore
from pulseveil.study.jobs import Job

AnyJob = TypeVar("AnyJob", bound=Job)


def add_job_options(parser: argparse.ArgumentParser, shorthand: Mapping[str, str]) -> None:
    """Give a script `--job` and, for a job typed by hand, one option per key of `shorthand` with its help."""
    parser.add_argument("--job", help="the job as one JSON object" + (", or:" if shorthand else ""))
    for key, text in shorthand.items():
        parser.add_argument(f"--{key.replace('_', '-')}", dest=key, help=text)


def job_of(options: argparse.Namespace, kind: type[AnyJob], values: Mapping[str, Any]) -> AnyJob:
    """The job of a script's options: that of `--job`, or one of the `values` of its shorthand.

    Raises InputError with the key that is wrong, and where both are given.
    """
    given = {key: value for key, value in values.items() if value is not None}
    if options.job is None:
        try:
            return kind.model_validate(given)
        except ValidationError as error:
            raise InputError(explain(error, kind, given, "options")) from None
    if given:
        raise InputError(f"--job: holds all keys of the job; leave out the options for {', '.join(given)}")
    return read_job(options.job, kind)


def read_job(text: str, kind: type[AnyJob]) -> AnyJob:
    """A job from its JSON; raises InputError with the key that is wrong, and for another code's job."""
    try:
        job = kind.model_validate_json(text)
    except ValidationError as error:
        raise InputError(explain(error, kind, None, "--job")) from None
    if kind.stage is not None and job.versions[0] != kind.stage:
        raise InputError(
            f"--job: versions: this code has version {kind.stage} of the stage, the plan asks for "
            f"{job.versions[0]}; plan with the same code"
        )
    return job


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
    write_json(store.sidecar_path(path), identity.describe_run(study, started))


def log_progress() -> None:
    """Send the library's progress lines to standard error, with the time of day."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
