"""Score new recordings with a detector that a study has kept: one row per window.

    pulseveil score results/STUDY/detectors/.../seed=0.h5 recordings --kind empatica \\
        --labels labels.csv --fold S2 --out scores.csv

The labels need only a rest per person, from which the scaling `calibration` takes the person's own level.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import pandas as pd

from pulseveil.core.atomic import atomic_path
from pulseveil.core.errors import run_command
from pulseveil.runs import script
from pulseveil.runs.cohort import check_settings
from pulseveil.runs.scoring import read_detector, score_people


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="file of kept detectors")
    parser.add_argument("recordings", nargs="?", help="folder of the recordings; none for kind simulated")
    parser.add_argument("--kind", required=True, help="registered kind of cohort that reads the recordings")
    parser.add_argument("--labels", help="CSV of labelled intervals, for kinds that need one")
    parser.add_argument("--settings", default="{}", help="other settings of the cohort as one JSON object")
    parser.add_argument("--fold", help="fold whose detector scores, if the file has several")
    parser.add_argument(
        "--stride-s", type=int, help="seconds between the starts of two windows; default: those of the study"
    )
    parser.add_argument("--out", type=Path, required=True, help="CSV for the scores")
    options = parser.parse_args()
    script.log_progress()
    given = {"kind": options.kind, "data": options.recordings, "labels": options.labels}
    values = {key: value for key, value in given.items() if value is not None}
    settings = check_settings(values | script.json_object("--settings", options.settings), "options")
    detector = read_detector(options.model, options.fold)
    scores = pd.concat(score_people(detector, settings, options.stride_s))
    with atomic_path(options.out) as temporary:
        scores.to_csv(temporary, index=False)
    stress = (scores.predicted == 1).sum()
    logging.info("%s: %d windows, %d of them with stress", options.out, len(scores), stress)


if __name__ == "__main__":
    run_command(main)
