"""Audit one generator or detector: what an attacker finds out about its people or windows."""

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
from pulseveil.study.jobs import DetectorAuditJob, GeneratorAuditJob


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
    script.log_progress()
    table, study = _audit(options)
    require_no_refutation(table)
    with atomic_path(options.out) as temporary:
        table.to_csv(temporary, index=False)
    script.write_sidecar(options.out, study, started)


def _audit(options: argparse.Namespace) -> tuple[pd.DataFrame, str]:
    """The table of the audit and the name of its study."""
    if options.part == "generator":
        of_generator = script.read_job(options.job, GeneratorAuditJob)
        windows = store.read_record(options.data, WindowSet)
        return audits.audit_generator(of_generator, windows), of_generator.study
    of_detector = script.read_job(options.job, DetectorAuditJob)
    features = store.read_record(options.data, FeatureSet)
    synthetic = [store.read_record(path, FeatureSet) for path in options.synthetic]
    return audits.audit_detector(of_detector, features, *synthetic), of_detector.study


if __name__ == "__main__":
    run_command(main)
