"""Train the generators of one job: one model a fold and seed."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from pulseveil import interruption, job_files, store
from pulseveil.contracts import WindowSet
from pulseveil.errors import run_command
from pulseveil.generator_runs import train_generators
from pulseveil.jobs import GeneratorJob


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("windows", type=Path, help="windows of prepare_cohort --windows generator")
    parser.add_argument("--job", required=True, help="the job, as JSON")
    parser.add_argument("--out", type=Path, nargs="+", required=True, help="one model file a seed")
    options = parser.parse_args()
    started = datetime.now(UTC)
    job_files.log_progress()
    job = job_files.read_job(options.job, GeneratorJob)
    job_files.check_outputs(options.out, len(job.seeds))
    windows = store.read_record(options.windows, WindowSet)
    with interruption.listening() as told:
        trained = train_generators(job, windows, *job_files.stores(job.study), told)
        for path, (_, models, cell_hash) in zip(options.out, trained, strict=True):
            store.write_models(path, models, cell_hash=cell_hash)
            job_files.write_sidecar(path, job.study, started)


if __name__ == "__main__":
    run_command(main)
