"""Compare the main tables of two studies: print the comparison, and write it as CSV."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from pulseveil.core.errors import run_command
from pulseveil.core.paths import results
from pulseveil.summary.printing import write_csv
from pulseveil.summary.terminal import WIDTH, compare_tables, read_main_table, terminal_comparison


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("first", "second"):
        parser.add_argument(name, help="name of a study with finished tables, or path of its main.csv")
    parser.add_argument("--out", type=Path, help="CSV file; default: results/compare/FIRST-SECOND.csv")
    options = parser.parse_args()
    files = [main_table(options.first), main_table(options.second)]
    names = (study_name(files[0]), study_name(files[1]))
    out = options.out or results("compare") / f"{names[0]}-{names[1]}.csv"

    compared = compare_tables(read_main_table(files[0]), read_main_table(files[1]))
    write_csv(out, compared)
    console = Console(width=WIDTH)
    console.print(terminal_comparison(compared, names), highlight=False)
    console.print(str(out), highlight=False)


def main_table(study: str) -> Path:
    """Path of a study's main.csv, from the study's name or from that path.

    >>> main_table("demo").as_posix()
    'results/demo/tables/main.csv'
    """
    return Path(study) if study.endswith(".csv") else results(study) / "tables" / "main.csv"


def study_name(path: Path) -> str:
    """Name of the study in `results/STUDY/tables/main.csv`; for other paths the name of the file.

    >>> study_name(Path("results/demo/tables/main.csv")), study_name(Path("before.csv"))
    ('demo', 'before')
    """
    parts = path.resolve().parts
    return parts[-3] if len(parts) > 2 and parts[-2] == "tables" else path.stem


if __name__ == "__main__":
    run_command(main)
