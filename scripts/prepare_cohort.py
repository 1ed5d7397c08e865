"""Cut the recordings of a cohort into labelled windows, and print a summary of each subject."""

from __future__ import annotations

import argparse
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pulseveil.cohorts import copies, origin_of
from pulseveil.core import paths
from pulseveil.core.atomic import atomic_path, write_json
from pulseveil.core.errors import InputError, run_command
from pulseveil.core.identity import describe_run
from pulseveil.core.store import sidecar_path, write_record
from pulseveil.runs import script
from pulseveil.runs.cohort import prepare, read_pieces, render, summarize, table
from pulseveil.study.jobs import CohortJob
from pulseveil.summary.cohort_page import cohort_page
from pulseveil.summary.printing import write_text

COHORT_KEYS = {
    "kind": "wesad, empatica, embraceplus, simulated, or another registered kind of cohort",
    "data": "folder of the recordings",
    "labels": "CSV of labelled intervals (empatica, embraceplus)",
    "subjects": "number of subjects (simulated)",
    "seed": "seed of the subjects (simulated)",
}
SHORTHAND = {
    "settings": "settings of any kind of cohort as one JSON object, or the options below",
    **COHORT_KEYS,
    "protocol": "paper or sound",
    "windows": "generator or detector: the models for which windows are cut",
    "channels": "published or physiological",
    "scaling": "min-max, calibration or public",
    "window_s": "length of a window in seconds (60)",
    "stride_s": "seconds between the starts of two windows (30 for generators, 60 for detectors)",
    "calibration_s": "seconds that scaling calibration uses (300)",
    "measured": "least share of a window that each sensor measured (0.5; 0 in protocol paper)",
    "label_rule": "condition of a window: majority (default), or any: stress if any second has stress",
    "study": "name of the study, for the sidecar of the file",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    script.add_job_options(parser, SHORTHAND)
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file for the windows")
    parser.add_argument("--report", type=Path, help="HTML file for a page with figures of each person")
    parser.add_argument("--pieces", type=Path, help="JSON file for pieces of the signals, to find copies")
    parser.add_argument(
        "--beside", type=Path, nargs="*", default=[], help="pieces of other cohorts, to find copies"
    )
    options = parser.parse_args()
    started = datetime.now(UTC)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    job = script.job_of(options, CohortJob, job_values(options))
    source = "options" if options.job is None else "--job"
    others = {cohort_of(path): read_pieces(path) for path in options.beside}
    prepared = prepare(job, source, copies.Seen(others, job.same_person))
    summary = summarize(prepared.subjects)
    write_record(options.out, prepared.windows, cell_hash=prepared.cell_hash)
    sidecar = {**describe_run(job.study, started), "cohort": [row.as_json() for row in summary]}
    write_json(sidecar_path(options.out), sidecar)
    if options.pieces is not None:
        with atomic_path(options.pieces) as temporary:
            temporary.write_text(json.dumps(prepared.pieces))
    if options.report is not None:
        kind = job.settings["kind"]
        origin = origin_of(kind)
        page = cohort_page(kind, origin.source, prepared.subjects, recorded=not origin.simulated)
        write_text(options.report, page)
    # In a study the windows for detectors, of the same recordings, tell repairs and notes.
    print(table(summary) if job.study and job.windows == "generator" else render(summary))
    print(f"\n{options.out}: {len(prepared.windows)} windows of {prepared.windows.window_s:g} s")


def cohort_of(path: Path) -> str:
    """Name of the cohort in the path of a file of pieces."""
    found = paths.words(paths.PIECES, path)
    return found[1]["cohort"] if found else path.stem


def job_values(options: argparse.Namespace) -> dict[str, Any]:
    """Keys of the job from the shorthand options, with the cohort's settings from JSON or single options.

    Raises:
        InputError: `--settings` is no JSON object, or is given together with options for single settings.
    """
    values = {key: getattr(options, key) for key in SHORTHAND if key not in COHORT_KEYS}
    short = {key: value for key in COHORT_KEYS if (value := getattr(options, key)) is not None}
    if values["settings"] is None:
        return values | {"settings": short if short or options.job is None else None}
    if short:
        raise InputError(
            f"--settings: expected all settings of the cohort in its JSON, found --{', --'.join(short)} too; "
            "leave these options out"
        )
    return values | {"settings": script.json_object("--settings", values["settings"])}


if __name__ == "__main__":
    run_command(main)
