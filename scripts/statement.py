"""Print the privacy statement of a ledger: what is protected, from whom, at which unit, and what is not."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import get_args

from pulseveil.core.errors import InputError, run_command
from pulseveil.core.settings import Channels, Preprocessing, ScalingName
from pulseveil.privacy.ledger import check_epsilons, read
from pulseveil.privacy.models import Setting
from pulseveil.privacy.statement import statement
from pulseveil.summary.description import read_setting
from pulseveil.windows.reach import reach_s
from pulseveil.windows.recipe import Recipe


def main() -> None:
    parser = argparse.ArgumentParser(
        description=f"{__doc__} Settings come from study.json beside the ledger if that file exists."
    )
    parser.add_argument("ledger", type=Path, help="ledger.json of a study or of one model")
    parser.add_argument("--protocol", choices=get_args(Preprocessing), help="pre-processing of the windows")
    parser.add_argument("--channels", choices=get_args(Channels), help="default: those of the protocol")
    parser.add_argument("--scaling", choices=get_args(ScalingName), help="default: that of the protocol")
    parser.add_argument("--window-s", type=int, help="length of a window in seconds (60)")
    parser.add_argument(
        "--strides-s",
        type=int,
        nargs=2,
        metavar=("GENERATORS", "DETECTORS"),
        help="seconds between the starts of two windows (30 60)",
    )
    parser.add_argument("--labelled-s", type=int, help="labelled seconds per person (2192)")
    options = parser.parse_args()
    entries = read(options.ledger)
    # A ledger can come from elsewhere: its epsilons are recomputed, not believed.
    for entry in entries:
        check_epsilons(entry)
    print(statement(entries, setting(options)), end="")


def setting(options: argparse.Namespace) -> Setting:
    """Setting of the study beside the ledger, otherwise of the options.

    Raises:
        InputError: there is neither study.json nor `--protocol`, or an option contradicts study.json.
    """
    given = {
        name: value for name in ("window_s", "labelled_s") if (value := getattr(options, name)) is not None
    }
    if options.strides_s is not None:
        given["strides_s"] = tuple(options.strides_s)
    if options.protocol:
        wanted = {"channels": options.channels, "scaling": options.scaling}
        recipe = Recipe.with_defaults(options.protocol, "detector", **wanted)
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
            option = f"options: {name.replace('_', ' ')} {value}"
            raise InputError(
                f"{option} contradicts {study}, which has {getattr(known, name)}; leave the option out"
            )
    return known


if __name__ == "__main__":
    run_command(main)
