"""Train the generators of one job: one model per fold and seed."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from pulseveil.core import errors, store
from pulseveil.core.contracts import WindowSet
from pulseveil.core.errors import run_command
from pulseveil.runs import script
from pulseveil.runs.generators import train_generators
from pulseveil.study.jobs import GeneratorJob


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("windows", type=Path, help="window file of prepare_cohort --windows generator")
    parser.add_argument(
        "--public", type=Path, nargs="*", default=(), help="window files of the public cohorts, in order"
    )
    parser.add_argument("--job", required=True, help="the job as one JSON object")
    parser.add_argument("--out", type=Path, nargs="+", required=True, help="one model file per seed")
    options = parser.parse_args()
    started = datetime.now(UTC)
    script.log_progress()
    job = script.read_job(options.job, GeneratorJob)
    script.check_outputs(options.out, len(job.seeds))
    windows = store.read_record(options.windows, WindowSet)
    public = [store.read_record(path, WindowSet) for path in options.public]
    # A cluster announces the end of a job by a signal: the training then stores its state and ends.
    with errors.stop_signals() as stop_requested:
        trained = train_generators(job, windows, *script.stores(job.study), stop_requested, public)
        for path, (_, models, cell_hash) in zip(options.out, trained, strict=True):
            store.write_models(path, models, cell_hash=cell_hash)
            script.write_sidecar(path, job.study, started)


if __name__ == "__main__":
    run_command(main)
