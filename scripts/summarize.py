"""Tables, figures and report of a study, from its score files; prints the main table."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from rich.console import Console

from pulseveil.errors import InputError, run_command
from pulseveil.summary.description import read_description
from pulseveil.summary.published import read_published
from pulseveil.summary.summarize import summarize
from pulseveil.summary.terminal import WIDTH, terminal_summary

PUBLISHED = Path(__file__).resolve().parents[1] / "config" / "published.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--description", type=Path, required=True, help="description of the study (JSON)")
    parser.add_argument("--scores-list", type=Path, required=True, help="file with one score file a line")
    parser.add_argument("--out-dir", type=Path, required=True, help="folder of the study, as results/STUDY")
    parser.add_argument("--published", type=Path, default=PUBLISHED, help="published results (CSV)")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("pulseveil").setLevel(logging.INFO)

    description = read_description(options.description)
    summary = summarize(
        description,
        read_list(options.scores_list),
        options.out_dir,
        published=read_published(options.published),
    )
    Console(width=WIDTH).print(terminal_summary(summary.main, summary.files), highlight=False)


def read_list(path: Path) -> list[Path]:
    """The paths in a file, one a line; blank lines are skipped."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; write one path of a score file a line") from None
    return [Path(line.strip()) for line in lines if line.strip()]


if __name__ == "__main__":
    run_command(main)
