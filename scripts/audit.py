"""Audit one generator or detector: what an attacker finds out about its people or windows."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from pulseveil import job_files, store
from pulseveil.atomic import atomic_path
from pulseveil.audit import detector_job, generator_job
from pulseveil.audit.job import DetectorAuditJob, GeneratorAuditJob
from pulseveil.audit.refutation import require_no_refutation
from pulseveil.contracts import FeatureSet, WindowSet
from pulseveil.errors import run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("generator", "detector"), help="what is audited")
    parser.add_argument("data", type=Path, help="windows of the cohort, or features for a detector")
    parser.add_argument(
        "--synthetic", type=Path, nargs="*", default=(), help="features that a detector learns from besides"
    )
    parser.add_argument("--job", required=True, help="the job, as JSON")
    parser.add_argument("--out", type=Path, required=True, help="the table, as CSV")
    options = parser.parse_args()
    started = datetime.now(UTC)
    job_files.log_progress()
    table, study = _audit(options)
    require_no_refutation(table)
    with atomic_path(options.out) as temporary:
        table.to_csv(temporary, index=False)
    job_files.write_sidecar(options.out, study, started)


def _audit(options: argparse.Namespace) -> tuple[pd.DataFrame, str]:
    """The table of the audit and the name of its study."""
    if options.part == "generator":
        of_generator = job_files.read_job(options.job, GeneratorAuditJob)
        windows = store.read_record(options.data, WindowSet)
        return generator_job.audit(of_generator, windows), of_generator.study
    of_detector = job_files.read_job(options.job, DetectorAuditJob)
    features = store.read_record(options.data, FeatureSet)
    synthetic = [store.read_record(path, FeatureSet) for path in options.synthetic]
    return detector_job.audit(of_detector, features, *synthetic), of_detector.study


if __name__ == "__main__":
    run_command(main)
