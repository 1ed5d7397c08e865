"""Synthesize subjects with trained generators; fewer subjects are the first of more subjects."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from pulseveil.core import identity, store
from pulseveil.core.errors import run_command
from pulseveil.runs import script
from pulseveil.runs.generators import synthesize
from pulseveil.study.jobs import SynthesisJob, read_generators


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", help="model files of train_generator")
    script.add_job_options(parser, {"subjects": "number of synthetic subjects per fold"})
    parser.add_argument("--out", type=Path, nargs="+", required=True, help="one HDF5 file per model file")
    options = parser.parse_args()
    started = datetime.now(UTC)
    script.log_progress()
    job = script.job_of(options, SynthesisJob, {"subjects": options.subjects})
    script.check_outputs(options.out, len(options.models))
    for i, path in enumerate(options.models):
        models = read_generators(path)
        synthetic = synthesize(models, job.subjects)
        settings = {
            "models": store.read_cell_hash(path),
            "subjects": job.subjects,
            "version": job.versions[0],
        }
        store.write_record(options.out[i], synthetic, cell_hash=identity.cell_hash(settings))
        script.write_sidecar(options.out[i], models.description["job"]["study"], started)


if __name__ == "__main__":
    run_command(main)
