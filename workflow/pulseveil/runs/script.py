"""Common parts of job scripts: reading the job, the stores of its study, checks and sidecars."""

from __future__ import annotations

import argparse
import json
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
    """Add the option `--job` and one option per key of `shorthand`, for jobs that are typed by hand.

    shorthand: help texts by key.
    """
    parser.add_argument(
        "--job", help="the job as one JSON object" + (", or the options below" if shorthand else "")
    )
    for key, text in shorthand.items():
        parser.add_argument(f"--{key.replace('_', '-')}", dest=key, help=text)


def job_of(options: argparse.Namespace, kind: type[AnyJob], values: Mapping[str, Any]) -> AnyJob:
    """Job of a script's options: the job in `--job`, or a job of the shorthand `values`.

    Raises:
        InputError: a key is wrong (the message names it), or both forms are given.
    """
    given = {key: value for key, value in values.items() if value is not None}
    if options.job is None:
        try:
            return kind.model_validate(given)
        except ValidationError as error:
            raise InputError(*explain(error, kind, given, "options")) from None
    if given:
        raise InputError(
            f"--job: expected all keys of the job in its JSON, found options for {', '.join(given)} too; "
            "leave the options out"
        )
    return read_job(options.job, kind)


def read_job(text: str, kind: type[AnyJob]) -> AnyJob:
    """Read a job from its JSON.

    Raises:
        InputError: a key is wrong (the message names it), or another version of the code made the plan.
    """
    try:
        job = kind.model_validate_json(text)
    except ValidationError as error:
        raise InputError(*explain(error, kind, None, "--job")) from None
    # The output would be recorded under the plan's version and would not be made again.
    if kind.stage is not None and job.versions[0] != kind.stage:
        raise InputError(
            f"--job: versions: expected version {kind.stage} of the stage, as in this code, found "
            f"{job.versions[0]}; plan with the same code"
        )
    return job


def json_object(option: str, text: str) -> dict[str, Any]:
    """The JSON object that an option holds.

    Raises:
        InputError: `text` is no JSON object.
    """
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{option}: expected a JSON object ({error})") from None
    if not isinstance(found, dict):
        raise InputError(f"{option}: expected a JSON object, found {text!r}")
    return found


def stores(study: str) -> tuple[RunStore, Journal]:
    """Run store and journal of a study, below the working directory."""
    return RunStore(paths.run_store(study)), Journal(paths.journal(study))


def check_outputs(outputs: list[Path], expected: int, option: str = "--out") -> None:
    """Check the number of output files that `option` names.

    Raises:
        InputError: it is not the number of cells of the job.
    """
    if len(outputs) != expected:
        raise InputError(
            f"{option}: expected {expected} files, one per cell of the job, found {len(outputs)}"
        )


def write_sidecar(path: Path, study: str, started: datetime) -> None:
    """Write the sidecar of an output: study, code version, times and machine."""
    # Beside the output and not in it: its bytes must not depend on time and machine.
    write_json(store.sidecar_path(path), identity.describe_run(study, started))


def log_progress() -> None:
    """Print the library's progress lines on standard error, with the time of day."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
