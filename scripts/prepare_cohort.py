"""Recordings of a cohort -> its labelled windows, and a table of what was read, mended and cut."""

from __future__ import annotations

import argparse
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pulseveil.core.errors import InputError, run_command
from pulseveil.core.identity import COHORT, describe_run
from pulseveil.core.store import sidecar_path, write_json, write_record
from pulseveil.runs.cohort import check_settings, prepare_cohort, render, summarize
from pulseveil.windows.cutting import Recipe

SHORTHAND = ("kind", "data", "labels", "subjects", "seed")
RECIPE = ("channels", "scaling", "window_s", "stride_s", "calibration_s")


def main() -> None:
    options = parser().parse_args()
    if options.version != COHORT:
        raise InputError(
            f"--version: this code prepares cohorts {COHORT}, the plan asks for {options.version}"
        )
    started = datetime.now(UTC)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    settings = check_settings(cohort_values(options), "--settings" if options.settings else "options")
    recipe = Recipe.with_defaults(
        options.protocol, options.windows, **{name: getattr(options, name) for name in RECIPE}
    )
    prepared = prepare_cohort(settings, recipe)
    summary = summarize(prepared.subjects)
    write_record(options.out, prepared.windows, cell_hash=prepared.cell_hash)
    sidecar = {**describe_run(options.study, started), "cohort": [row.as_json() for row in summary]}
    write_json(sidecar_path(options.out), sidecar)
    print(render(summary))
    print(f"\n{options.out}: {len(prepared.windows)} windows of {recipe.window_s} s")


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__)
    cohort = options.add_argument_group("cohort")
    cohort.add_argument("--settings", help="settings of any kind of cohort as one JSON object, or:")
    cohort.add_argument("--kind", help="wesad, empatica, simulated, or another registered kind")
    cohort.add_argument("--data", help="folder of the recordings")
    cohort.add_argument("--labels", help="CSV of labelled intervals (empatica)")
    cohort.add_argument("--subjects", type=int, help="number of subjects (simulated)")
    cohort.add_argument("--seed", type=int, help="seed of the subjects (simulated)")
    options.add_argument("--protocol", choices=("paper", "sound"), required=True)
    options.add_argument("--windows", choices=("generator", "detector"), required=True, help="for whom")
    options.add_argument("--channels", choices=("published", "physiological"))
    options.add_argument("--scaling", choices=("min-max", "calibration", "public"))
    options.add_argument("--window-s", type=int, help="length of a window (60)")
    options.add_argument("--stride-s", type=int, help="from one start to the next (30 or 60)")
    options.add_argument("--calibration-s", type=int, help="seconds that `calibration` takes (300)")
    options.add_argument("--out", type=Path, required=True, help="window file to write (HDF5)")
    options.add_argument("--study", default="", help="name of the study, for the provenance beside the file")
    options.add_argument(
        "--version", type=int, default=COHORT, help="version of this stage that the plan was made for"
    )
    return options


def cohort_values(options: argparse.Namespace) -> dict[str, Any]:
    """The cohort's settings, from JSON or from the shorthand options."""
    short = {name: value for name in SHORTHAND if (value := getattr(options, name)) is not None}
    if options.settings is None:
        return short
    if short:
        raise InputError(f"--settings: holds all settings of the cohort; leave out --{', --'.join(short)}")
    try:
        values = json.loads(options.settings)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"--settings: expected a JSON object ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"--settings: expected a JSON object, found {options.settings!r}")
    return values


if __name__ == "__main__":
    run_command(main)
