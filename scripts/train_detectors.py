"""Train and test the detectors of one job: one model per cell and fold, and scores of every tested window."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from pulseveil.core import errors, store
from pulseveil.core.contracts import FeatureSet, WindowSet
from pulseveil.core.errors import run_command
from pulseveil.runs import script
from pulseveil.runs.detectors import Data, synthetic_features, train_detectors
from pulseveil.study.jobs import DetectorJob


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True, help="features of the training cohort")
    parser.add_argument("--test", type=Path, required=True, help="features of the tested cohort")
    parser.add_argument(
        "--synthetic", type=Path, nargs="*", default=[], help="synthetic features by generator, then by seed"
    )
    parser.add_argument(
        "--public", type=Path, nargs="*", default=[], help="features of the public cohorts, in order"
    )
    parser.add_argument(
        "--windows", type=Path, nargs="*", default=[], help="windows of the training cohort, to be noised"
    )
    parser.add_argument("--job", required=True, help="the job as one JSON object")
    parser.add_argument("--out", type=Path, nargs="+", required=True, help="one Scores file per cell")
    parser.add_argument(
        "--detectors", type=Path, nargs="*", default=[], help="one file of detectors per kept cell"
    )
    options = parser.parse_args()
    started = datetime.now(UTC)
    script.log_progress()
    job = script.read_job(options.job, DetectorJob)
    script.check_outputs(options.out, len(list(job.cells())))
    kept = iter(options.detectors)
    script.check_outputs(options.detectors, len(job.kept_cells()), "--detectors")
    data = Data(
        store.read_record(options.train, FeatureSet),
        store.read_record(options.test, FeatureSet),
        synthetic_features(job, options.synthetic),
        tuple(store.read_record(path, FeatureSet) for path in options.public),
        *(store.read_record(path, WindowSet) for path in options.windows),
    )
    # A cluster announces the end of a job by a signal: the training then stores its state and ends.
    with errors.stop_signals() as stop_requested:
        trained = train_detectors(job, data, *script.stores(job.study), stop_requested)
        for path, cell in zip(options.out, trained, strict=True):
            if cell.models is not None:
                store.write_models(next(kept), cell.models, cell_hash=cell.hash, group="detectors")
            store.write_record(path, cell.scores, cell_hash=cell.hash)
            script.write_sidecar(path, job.study, started)


if __name__ == "__main__":
    run_command(main)
