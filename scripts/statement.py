"""A ledger in plain English: what is protected, from whom, at which unit, and what is not."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import get_args

from pulseveil.core.errors import InputError, run_command
from pulseveil.core.settings import Channels, Preprocessing, ScalingName
from pulseveil.privacy.ledger import check_epsilons, read
from pulseveil.privacy.statement import Setting, statement
from pulseveil.summary.description import read_setting
from pulseveil.windows.cutting import Recipe
from pulseveil.windows.reach import reach_s


def main() -> None:
    parser = argparse.ArgumentParser(
        description=f"{__doc__} Settings come from study.json beside the ledger, where there is one."
    )
    parser.add_argument("ledger", type=Path, help="ledger.json of a study or of one model")
    parser.add_argument("--protocol", choices=get_args(Preprocessing), help="how windows were cut")
    parser.add_argument("--channels", choices=get_args(Channels), help="those of the protocol")
    parser.add_argument("--scaling", choices=get_args(ScalingName), help="that of the protocol")
    parser.add_argument("--window-s", type=int, help="length of a window (60)")
    parser.add_argument(
        "--strides-s",
        type=int,
        nargs=2,
        metavar=("GENERATORS", "DETECTORS"),
        help="seconds from one window to the next (30 60)",
    )
    parser.add_argument("--labelled-s", type=int, help="labelled seconds of a person (2192)")
    options = parser.parse_args()
    entries = read(options.ledger)
    for entry in entries:
        check_epsilons(entry)
    print(statement(entries, setting(options)), end="")


def setting(options: argparse.Namespace) -> Setting:
    """The setting of the study beside the ledger, else of the options; InputError where these contradict."""
    given = {
        name: value for name in ("window_s", "labelled_s") if (value := getattr(options, name)) is not None
    }
    if options.strides_s is not None:
        given["strides_s"] = tuple(options.strides_s)
    if options.protocol:
        asked = {"channels": options.channels, "scaling": options.scaling}
        recipe = Recipe.with_defaults(options.protocol, "detector", **asked)
        given["scaling"] = recipe.scaling
        given["reach_s"] = reach_s(recipe.protocol, recipe.channels, recipe.scaling)
    study = options.ledger.with_name("study.json")
    if not study.exists():
        if options.protocol is None:
            raise InputError(f"--protocol: expected, since no {study.name} lies beside {options.ledger}")
        return replace(Setting(), **given)
    known = read_setting(study)
    for name, value in given.items():
        if value != getattr(known, name):
            told = f"options: {name.replace('_', ' ')} {value}"
            raise InputError(f"{told} contradicts {study}, which says {getattr(known, name)}; leave it out")
    return known


if __name__ == "__main__":
    run_command(main)
