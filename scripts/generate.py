"""Synthesize people with a trained generator: a zip file with data, cards, statement, ledger and verify.py.

    pulseveil generate results/demo/release/posterior/model.h5 --subjects 20
    pulseveil generate results/STUDY/generators/.../seed=0.h5 --fold S2 --shares 0.5 0.5 --seed 7

The same request gives the same windows. A model without a budget needs --not-private, and its files say so.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import get_args

from pulseveil.app import catalogue, export, synthesis
from pulseveil.core.atomic import atomic_path
from pulseveil.core.errors import run_command
from pulseveil.release.export import Form
from pulseveil.runs import script


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = synthesis.usual_request(2)
    parser.add_argument("model", type=Path, help="file of trained generators, of a study or of a release")
    parser.add_argument("--fold", help="fold of the model, if the file has several")
    parser.add_argument("--subjects", type=int, default=usual.subjects, help="synthetic people (1)")
    parser.add_argument("--windows", type=int, default=usual.windows, help="windows of each of them (36)")
    parser.add_argument(
        "--shares", type=float, nargs="+", help="share of each class, in the order of their codes (0.7 0.3)"
    )
    parser.add_argument("--seed", type=int, default=usual.seed, help="another seed gives other people (0)")
    parser.add_argument("--form", choices=get_args(Form), default="csv", help="form of the data (csv)")
    parser.add_argument(
        "--not-private",
        action="store_true",
        help="also for a model without a valid budget, marked in each name",
    )
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the zip file")
    options = parser.parse_args()
    script.log_progress()
    trained = catalogue.open_path(options.model, options.fold)
    request = replace(
        synthesis.usual_request(trained.job.classes),
        subjects=options.subjects,
        windows=options.windows,
        seed=options.seed,
    )
    if options.shares is not None:
        request = replace(request, shares=tuple(options.shares))
    confirmed = options.not_private
    made = synthesis.make(trained, request, confirmed_not_private=confirmed)
    exported = export.export(made, options.form, confirmed_not_private=confirmed)
    with atomic_path(options.out / exported.name) as temporary:
        temporary.write_bytes(exported.content)
    print(f"{options.out / exported.name}: {trained.facts.claim.headline}")


if __name__ == "__main__":
    run_command(main)
