"""Export a linear detector that a study has kept: readable JSON (.json), or ONNX (.onnx).

    python scripts/export_detector.py results/STUDY/detectors/.../seed=0.h5 --fold S2 --out detector.json

Linear are logistic and class_means with a budget, class_means without one, and the literature rules.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pulseveil.core.atomic import atomic_path, write_json
from pulseveil.core.errors import InputError, run_command
from pulseveil.privacy import ledger
from pulseveil.release import portable
from pulseveil.release.claims import judge
from pulseveil.release.exits import leaving_name
from pulseveil.runs.scoring import choose_fold
from pulseveil.study.jobs import DetectorJob, read_detectors


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="file of kept detectors")
    parser.add_argument("--fold", help="fold of the detector, if the file has several")
    parser.add_argument("--out", type=Path, required=True, help="file to write: .json or .onnx")
    parser.add_argument(
        "--not-private",
        action="store_true",
        help="also a detector without a valid budget, marked in its name",
    )
    options = parser.parse_args()
    if options.out.suffix not in (".json", ".onnx"):
        raise InputError(f"--out: expected a name that ends in .json or .onnx, found {options.out}")
    models = read_detectors(options.model)
    fold = choose_fold(options.model, models, options.fold)
    job = DetectorJob.model_validate(models.description["job"])
    arrays = portable.linear(job.kind, models.arrays[fold])
    claim = judge(models, [fold])
    out = options.out.with_name(leaving_name(options.out.name, claim, not_private=options.not_private))
    if out.suffix == ".json":
        values = portable.as_json(arrays, job.preparation.model_dump(mode="json"))
        entries = [ledger.as_json_values(entry) for entry in claim.entries]
        write_json(out, values | {"claim": claim.headline, "ledger": entries})
    else:
        model = portable.as_onnx(arrays, claim.headline)
        with atomic_path(out) as temporary:
            temporary.write_bytes(model.SerializeToString(deterministic=True))
    print(f"{out}: {claim.headline}")


if __name__ == "__main__":
    run_command(main)
