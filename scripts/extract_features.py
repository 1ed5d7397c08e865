"""Extract the features that detectors read from files of real or synthetic windows."""

from __future__ import annotations

import argparse
import logging
from datetime import UTC, datetime
from pathlib import Path

from pulseveil.core.contracts import SyntheticSet, WindowSet
from pulseveil.core.errors import InputError, run_command
from pulseveil.core.identity import cell_hash
from pulseveil.core.store import read_cell_hash, read_record, record_kind, write_record
from pulseveil.runs import script
from pulseveil.study.jobs import FeatureJob
from pulseveil.windows.features import extract_features, feature_settings

SHORTHAND = {
    "protocol": "paper or sound",
    "pairing": "which sub-window length each signal has: published or intended (protocol paper)",
    "study": "name of the study, for the sidecar of the file",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("windows", type=Path, nargs="+", help="files of prepare_cohort or synthesize")
    script.add_job_options(parser, SHORTHAND)
    parser.add_argument("--out", type=Path, nargs="+", required=True, help="one HDF5 file per input")
    options = parser.parse_args()
    started = datetime.now(UTC)
    script.log_progress()
    job = script.job_of(options, FeatureJob, {key: getattr(options, key) for key in SHORTHAND})
    script.check_outputs(options.out, len(options.windows))
    for source, target in zip(options.windows, options.out, strict=True):
        features = extract_features(read_windows(source), protocol=job.protocol, pairing=job.pairing)
        settings = feature_settings(job.protocol, job.pairing)
        settings |= {"windows": read_cell_hash(source), "version": job.versions[0]}
        write_record(target, features, cell_hash=cell_hash(settings))
        script.write_sidecar(target, job.study, started)
        logging.info("%s: %d windows, %d bins", target, len(features), features.features.shape[2])


def read_windows(path: Path) -> WindowSet | SyntheticSet:
    """Read the real or synthetic windows in a file.

    Raises:
        InputError: the file holds something else.
    """
    kind = record_kind(path)
    if kind is WindowSet:
        return read_record(path, WindowSet)
    if kind is SyntheticSet:
        return read_record(path, SyntheticSet)
    raise InputError(f"{path}: expected windows of prepare_cohort or synthesize, found {kind.__name__}")


if __name__ == "__main__":
    run_command(main)
