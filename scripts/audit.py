"""Audit one detector: what an attacker finds out about its people or windows, beside its claimed epsilon."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from pulseveil import job_files, store
from pulseveil.audit.detector_job import audit, require_no_refutation
from pulseveil.audit.job import AuditJob
from pulseveil.contracts import FeatureSet
from pulseveil.errors import run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", type=Path, help="features of the cohort")
    parser.add_argument("--job", required=True, help="the job, as JSON")
    parser.add_argument("--out", type=Path, required=True, help="the table, as CSV")
    options = parser.parse_args()
    started = datetime.now(UTC)
    job_files.log_progress()
    job = job_files.read_job(options.job, AuditJob)
    table = audit(job, store.read_record(options.features, FeatureSet))
    require_no_refutation(table)
    with store.atomic_path(options.out) as temporary:
        table.to_csv(temporary, index=False)
    job_files.write_sidecar(options.out, job.study, started)


if __name__ == "__main__":
    run_command(main)
