"""Compare the main tables of two studies, or of a study and its earlier self: print them, and write a CSV.

pulseveil compare demo people
pulseveil compare demo --history                     the earlier results of the demo that are kept
pulseveil compare demo --with 2026-11-28T10:00       the demo now, beside its results of that time (UTC)
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from pulseveil.core.errors import InputError, run_command
from pulseveil.core.paths import results
from pulseveil.summary import history
from pulseveil.summary.printing import write_csv
from pulseveil.summary.terminal import WIDTH, compare_tables, read_main_table, terminal_comparison


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", help="name of a study with finished tables, or path of its main.csv")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("second", nargs="?", help="the same of another study")
    other.add_argument("--with", dest="time", help="time of earlier results of the first study, or its begin")
    other.add_argument("--history", action="store_true", help="list the earlier results of the first study")
    parser.add_argument("--out", type=Path, help="CSV file; default: results/compare/FIRST-SECOND.csv")
    options = parser.parse_args()
    table = main_table(options.first)
    if options.history:
        print(list_of_entries(table))
    elif options.time is not None:
        entry = history.find(folder_of_results(table), options.time)
        name = f"{study_name(table)}-{entry.folder.name}"
        compare((entry.table, table), ("then", "now"), options.out or results("compare") / f"{name}.csv")
    elif options.second is not None:
        other_table = main_table(options.second)
        names = (study_name(table), study_name(other_table))
        out = options.out or results("compare") / f"{names[0]}-{names[1]}.csv"
        compare((table, other_table), names, out)
    else:
        raise InputError("expected a second study, --with TIME or --history; see --help")


def compare(tables: tuple[Path, Path], names: tuple[str, str], out: Path) -> None:
    """Print and write the comparison of two main tables."""
    compared = compare_tables(*map(read_main_table, tables))
    write_csv(out, compared)
    console = Console(width=WIDTH)
    console.print(terminal_comparison(compared, names), highlight=False)
    console.print(str(out), highlight=False)


def list_of_entries(table: Path) -> str:
    """The entries of a study's history as text; table: its main table.

    Raises:
        InputError: there is no entry.
    """
    folder = folder_of_results(table)
    if not (found := history.entries(folder)):
        raise InputError(f"{folder}: no history; each summary of a study adds to it, run the study first")
    return history.describe(found)


def folder_of_results(table: Path) -> Path:
    """Folder of the results to which a main table belongs.

    >>> folder_of_results(Path("results/demo/tables/main.csv")).as_posix()
    'results/demo'
    """
    return table.parents[1]


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
