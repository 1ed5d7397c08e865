"""Archive the finished runs of a study, with all that its tables are computed from, in one compressed file.

    pulseveil archive config/paper-one.yaml NOT-PRIVATE_paper-one.tar.xz --not-private
    pulseveil restore config/paper-one.yaml NOT-PRIVATE_paper-one.tar.xz

A study that runs after `restore` trains only what the archive lacks. Recordings, windows and features are not
in an archive.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pulseveil.core.errors import InputError, run_command
from pulseveil.runs import archive
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import read_study


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="study file")
    parser.add_argument("archive", type=Path, help="file to write, NOT-PRIVATE_NAME.tar.xz")
    parser.add_argument(
        "--not-private",
        action="store_true",
        help="confirm that scores of each person and models without a budget may leave",
    )
    parser.add_argument("--results", type=Path, default=Path(), help="folder with results/ of the study")
    options = parser.parse_args()
    if not options.not_private:
        raise InputError(
            "an archive holds scores of each tested person and models without a budget: no guarantee covers "
            "it; confirm that you know it (--not-private)"
        )
    found = archive.write(make_plan(read_study(options.study)), options.results, options.archive)
    print(
        f"{options.archive}: {found.runs} finished runs, {found.scores} of {found.all_scores} score files, "
        f"{found.size / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    run_command(main)
