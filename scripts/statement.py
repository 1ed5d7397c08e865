"""A ledger in plain English: what is protected, from whom, at which unit, and what is not."""

from __future__ import annotations

import argparse
from pathlib import Path

from pulseveil.errors import run_command
from pulseveil.privacy.ledger import check_epsilons, read
from pulseveil.privacy.statement import Setting, statement


def main() -> None:
    default = Setting()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ledger", type=Path, help="ledger.json of a study or of one model")
    parser.add_argument("--protocol", choices=("paper", "sound"), default=default.protocol)
    parser.add_argument("--window-s", type=int, default=default.window_s, help="length of a window (60)")
    parser.add_argument(
        "--strides-s",
        type=int,
        nargs=2,
        default=default.strides_s,
        metavar=("GENERATORS", "DETECTORS"),
        help="seconds from one window to the next (30 60)",
    )
    parser.add_argument(
        "--labelled-s", type=int, default=default.labelled_s, help="labelled seconds of a person (2192)"
    )
    parser.add_argument("--folds", type=int, default=default.folds, help="folds that are published (1)")
    parser.add_argument("--seeds", type=int, default=default.seeds, help="seeds that are published (1)")
    options = parser.parse_args()
    entries = read(options.ledger)
    for entry in entries:
        check_epsilons(entry)
    setting = Setting(
        protocol=options.protocol,
        window_s=options.window_s,
        strides_s=tuple(options.strides_s),
        labelled_s=options.labelled_s,
        folds=options.folds,
        seeds=options.seeds,
    )
    print(statement(entries, setting), end="")


if __name__ == "__main__":
    run_command(main)
