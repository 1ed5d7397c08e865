"""Restore a study from an archive, so that it resumes; a file that is there already stays as it is.

pulseveil restore config/paper-one.yaml NOT-PRIVATE_paper-one.tar.xz
pulseveil run config/paper-one.yaml
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pulseveil.core.errors import run_command
from pulseveil.runs import archive
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import read_study


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="study file")
    parser.add_argument("archive", type=Path, help="file that `pulseveil archive` wrote")
    parser.add_argument("--results", type=Path, default=Path(), help="folder for results/ of the study")
    options = parser.parse_args()
    found = archive.restore(make_plan(read_study(options.study)), options.archive, options.results)
    print(f"{options.archive}: {found.written} files restored, {found.kept} were there and stay")


if __name__ == "__main__":
    run_command(main)
