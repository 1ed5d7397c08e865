"""Audit one generator or detector, or noised windows: attack, and fail if a bound refutes a claim."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from pulseveil.audit.tables import require_no_refutation
from pulseveil.core import store
from pulseveil.core.atomic import atomic_path
from pulseveil.core.contracts import FeatureSet, WindowSet
from pulseveil.core.errors import run_command
from pulseveil.runs import audits, script
from pulseveil.study.audit_jobs import DetectorAuditJob, GeneratorAuditJob, NoisedAuditJob


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("generator", "detector", "noised"), help="what is attacked")
    parser.add_argument("data", type=Path, help="windows of the cohort; for a detector features")
    parser.add_argument(
        "--synthetic",
        type=Path,
        nargs="*",
        default=(),
        help="features of synthetic windows from which a detector learns too",
    )
    parser.add_argument(
        "--public", type=Path, nargs="*", default=(), help="windows of the public cohorts of a generator"
    )
    parser.add_argument("--job", required=True, help="the job as one JSON object")
    parser.add_argument("--out", type=Path, required=True, help="CSV file for the table of attacks")
    options = parser.parse_args()
    started = datetime.now(UTC)
    script.log_progress()
    table, study = _audit(options)
    # Before the table is written, so that Snakemake takes no output of a refuted claim for a result.
    if options.part != "noised":
        require_no_refutation(table)
    with atomic_path(options.out) as temporary:
        table.to_csv(temporary, index=False)
    script.write_sidecar(options.out, study, started)


def _audit(options: argparse.Namespace) -> tuple[pd.DataFrame, str]:
    """Table of the audit, and name of its study."""
    if options.part == "generator":
        of_generator = script.read_job(options.job, GeneratorAuditJob)
        windows = store.read_record(options.data, WindowSet)
        public = [store.read_record(path, WindowSet) for path in options.public]
        return audits.audit_generator(of_generator, windows, public), of_generator.study
    if options.part == "noised":
        of_windows = script.read_job(options.job, NoisedAuditJob)
        return audits.audit_noised(of_windows, store.read_record(options.data, WindowSet)), of_windows.study
    of_detector = script.read_job(options.job, DetectorAuditJob)
    features = store.read_record(options.data, FeatureSet)
    synthetic = [store.read_record(path, FeatureSet) for path in options.synthetic]
    return audits.audit_detector(of_detector, features, *synthetic), of_detector.study


if __name__ == "__main__":
    run_command(main)
