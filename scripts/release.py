"""Release one model of a study: trained on all people with one seed, as a folder and a zip with its proof.

    pulseveil release config/demo.yaml --model posterior --unit subject --epsilon 10 \\
        --subjects 28 --out release/posterior
    pulseveil release config/private.yaml --model logistic --unit subject --epsilon 1 \\
        --out release/logistic

A study on recordings of people must name the licence of its results (`license`).
`python release/posterior/verify.py` then checks all files and epsilons.
"""

from __future__ import annotations

import argparse
import math
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from pulseveil.core import errors
from pulseveil.core.errors import InputError, run_command
from pulseveil.core.identity import parse_number
from pulseveil.privacy.budget import Unit
from pulseveil.release import bundle
from pulseveil.runs import script
from pulseveil.runs.releasing import Release, Wanted, epsilon_of, release_job, train
from pulseveil.study.checks import make_plan
from pulseveil.study.licence import require_licence
from pulseveil.study.reading import read_study

_NO_BUDGET = "nothing is written: release a model with a budget, or add --not-private"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="study file")
    parser.add_argument("--model", required=True, help="generator or detector of the study")
    parser.add_argument("--cohort", help="cohort whose people train, if the study has several")
    parser.add_argument("--unit", choices=get_args(Unit), help="what the budget protects")
    parser.add_argument("--epsilon", type=parse_number, help="epsilon of the model; inf: not private")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training (0)")
    parser.add_argument(
        "--subjects", type=int, nargs="+", default=[], help="sizes of the data sets of a generator"
    )
    parser.add_argument(
        "--not-private", action="store_true", help="write a release without a budget, marked in every name"
    )
    parser.add_argument("--results", type=Path, default=Path(), help="folder with results/ of the study")
    parser.add_argument("--out", type=Path, required=True, help="new folder; the zip file lies beside it")
    options = parser.parse_args()
    script.log_progress()
    bundle.require_new(options.out)
    plan = make_plan(read_study(options.study))
    wanted = Wanted(options.model, options.cohort, options.unit, options.epsilon, options.seed)
    job = release_job(plan, wanted)
    require_licence(plan.study)
    if any(count < 1 for count in options.subjects):
        raise InputError(f"--subjects: expected numbers above 0, found {options.subjects}")
    if not (options.not_private or math.isfinite(epsilon_of(job))):
        raise InputError(f"{options.model}: {_NO_BUDGET}")
    # The state of the training, so that the same command resumes it; nothing of it stays after a release.
    folder = options.out.with_name(f".{options.out.name}.training")
    with errors.stop_signals() as stop_requested:
        models = train(plan, job, folder, stop_requested)
    release = Release.of(plan, job, models, options.results)
    today = datetime.now(UTC).date()
    files = release.files(options.subjects, today, not_private=options.not_private)
    archive = bundle.write(options.out, files)
    shutil.rmtree(folder)
    print(f"{options.out} and {archive.name}: {release.claim.headline}")


if __name__ == "__main__":
    run_command(main)
