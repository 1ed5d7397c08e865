"""Recordings of a cohort -> its labelled windows, and a table of what was read, mended and cut."""

from __future__ import annotations

import argparse
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pulseveil.core.atomic import write_json
from pulseveil.core.errors import InputError, run_command
from pulseveil.core.identity import describe_run
from pulseveil.core.store import sidecar_path, write_record
from pulseveil.runs import script
from pulseveil.runs.cohort import check_settings, prepare_cohort, render, summarize
from pulseveil.study.jobs import CohortJob
from pulseveil.windows.cutting import Recipe

COHORT_KEYS = {
    "kind": "wesad, empatica, simulated, or another registered kind of cohort",
    "data": "folder of the recordings",
    "labels": "CSV of labelled intervals (empatica)",
    "subjects": "number of subjects (simulated)",
    "seed": "seed of the subjects (simulated)",
}
SHORTHAND = {
    "settings": "settings of any kind of cohort as one JSON object, or:",
    **COHORT_KEYS,
    "protocol": "paper or sound",
    "windows": "for whom: generator or detector",
    "channels": "published or physiological",
    "scaling": "min-max, calibration or public",
    "window_s": "length of a window (60)",
    "stride_s": "from one start to the next (30 or 60)",
    "calibration_s": "seconds that `calibration` takes (300)",
    "study": "name of the study, for the provenance beside the file",
}
RECIPE = ("channels", "scaling", "window_s", "stride_s", "calibration_s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    script.add_job_options(parser, SHORTHAND)
    parser.add_argument("--out", type=Path, required=True, help="window file to write (HDF5)")
    options = parser.parse_args()
    started = datetime.now(UTC)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    job = script.job_of(options, CohortJob, job_values(options))
    source = "options" if options.job is None else "--job"
    settings = check_settings(job.settings, source)
    recipe = Recipe.with_defaults(job.protocol, job.windows, **{key: getattr(job, key) for key in RECIPE})
    prepared = prepare_cohort(settings, recipe)
    summary = summarize(prepared.subjects)
    write_record(options.out, prepared.windows, cell_hash=prepared.cell_hash)
    sidecar = {**describe_run(job.study, started), "cohort": [row.as_json() for row in summary]}
    write_json(sidecar_path(options.out), sidecar)
    print(render(summary))
    print(f"\n{options.out}: {len(prepared.windows)} windows of {recipe.window_s} s")


def job_values(options: argparse.Namespace) -> dict[str, Any]:
    """The job's keys from the shorthand options; the cohort's settings are JSON or options of their own."""
    values = {key: getattr(options, key) for key in SHORTHAND if key not in COHORT_KEYS}
    short = {key: value for key in COHORT_KEYS if (value := getattr(options, key)) is not None}
    if values["settings"] is None:
        return values | {"settings": short if short or options.job is None else None}
    if short:
        raise InputError(f"--settings: holds all settings of the cohort; leave out --{', --'.join(short)}")
    try:
        settings = json.loads(values["settings"])
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"--settings: expected a JSON object ({error})") from None
    if not isinstance(settings, dict):
        raise InputError(f"--settings: expected a JSON object, found {values['settings']!r}")
    return values | {"settings": settings}


if __name__ == "__main__":
    run_command(main)
