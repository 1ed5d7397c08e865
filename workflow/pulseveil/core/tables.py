"""Tables: safe reading of CSV files from outside, and the order of rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pulseveil.core import limits
from pulseveil.core.errors import InputError
from pulseveil.core.identity import falling


def read_table(path: Path, columns: Collection[str], cure: str, **options: Any) -> pd.DataFrame:
    """Read a CSV with at least `columns`; `options` go to `pandas.read_csv`.

    Raises:
        InputError: the file is missing, too large or damaged, or lacks a column; the message ends in `cure`.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; {cure}")
    limits.require_file(path, limits.TABLE_BYTES, f"a table (CSV); {cure}")
    try:
        table: pd.DataFrame = pd.read_csv(path, **options)
    except Exception as error:  # pandas raises many types of errors, depending on the damage
        raise InputError(f"{path}: not a table ({error}); {cure}") from None
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing; {cure}")
    return table


def as_numbers(table: pd.DataFrame, columns: Collection[str], path: Path) -> pd.DataFrame:
    """The table with `columns` as float64.

    Raises:
        InputError: a cell of `columns` is not a number.
    """
    try:
        return table.astype(dict.fromkeys(columns, float))
    except ValueError as error:
        raise InputError(f"{path}: expected numbers in {', '.join(columns)} ({error})") from None


def in_order(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Rows of a table sorted by the columns `by`: epsilons in the order of `falling`, other values rise.

    Rows with equal keys keep their order.
    """
    return table.sort_values(list(by), key=_rank, kind="stable")


def levels(values: pd.Series) -> pd.Index:
    """Distinct values of an axis of the study, in the order of `in_order`."""
    distinct: pd.Index = pd.Index(values.drop_duplicates().sort_values(key=_rank))
    return distinct


def _rank(column: pd.Series) -> pd.Series:
    return falling(column) if str(column.name).startswith("epsilon") else column
