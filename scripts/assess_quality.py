"""Compare synthetic windows with the real windows from which their generator learned."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from pulseveil.core import identity, store
from pulseveil.core.atomic import atomic_path
from pulseveil.core.contracts import SyntheticSet, WindowSet
from pulseveil.core.errors import run_command
from pulseveil.runs import script
from pulseveil.runs.quality import assess, portrait
from pulseveil.study.jobs import QualityJob, read_generators


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("synthetic", type=Path, nargs="+", help="synthetic files of synthesize")
    parser.add_argument(
        "--models", type=Path, nargs="+", required=True, help="model files of the inputs, in the same order"
    )
    parser.add_argument(
        "--windows", type=Path, required=True, help="window file from which the generators learned"
    )
    parser.add_argument("--out", type=Path, nargs="+", required=True, help="one CSV file per input")
    parser.add_argument(
        "--portrait", type=Path, nargs="*", default=[], help="file for the figures of the first input"
    )
    script.add_job_options(parser, {})
    options = parser.parse_args()
    started = datetime.now(UTC)
    script.log_progress()
    job = script.job_of(options, QualityJob, {})
    script.check_outputs(options.out, len(options.synthetic))
    script.check_outputs(options.models, len(options.synthetic))
    windows = store.read_record(options.windows, WindowSet)
    for i, path in enumerate(options.synthetic):
        models = read_generators(options.models[i])
        synthetic = store.read_record(path, SyntheticSet)
        table = assess(models, synthetic, windows)
        with atomic_path(options.out[i]) as temporary:
            table.to_csv(temporary, index=False)
        script.write_sidecar(options.out[i], models.description["job"]["study"], started)
        # Figures show one seed: the workflow asks for them in the pack with seed 0 alone.
        for out in options.portrait if i == 0 else []:
            settings = {
                "synthetic": store.read_cell_hash(path),
                "version": job.versions[0],
            }
            record = portrait(models, synthetic, windows)
            store.write_record(out, record, cell_hash=identity.cell_hash(settings))
            script.write_sidecar(out, models.description["job"]["study"], started)


if __name__ == "__main__":
    run_command(main)
