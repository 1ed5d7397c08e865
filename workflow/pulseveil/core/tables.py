"""Tables from elsewhere: CSV files within the limits, with the columns that a reader needs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from pulseveil.core import limits
from pulseveil.core.errors import InputError


def read_table(path: Path, columns: Collection[str], cure: str, **options: Any) -> pd.DataFrame:
    """A CSV with at least `columns`, read by pandas with `options`.

    Raises InputError, which ends in `cure`, for any other file.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; {cure}")
    limits.require_file(path, limits.TABLE_BYTES, f"a table (CSV); {cure}")
    try:
        table: pd.DataFrame = pd.read_csv(path, **options)
    except Exception as error:  # pandas raises much, depending on the damage
        raise InputError(f"{path}: not a table ({error}); {cure}") from None
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing; {cure}")
    return table


def as_numbers(table: pd.DataFrame, columns: Collection[str], path: Path) -> pd.DataFrame:
    """The table with numbers in `columns`; raises InputError where a cell is none."""
    try:
        return table.astype(dict.fromkeys(columns, float))
    except ValueError as error:
        raise InputError(f"{path}: expected numbers in {', '.join(columns)} ({error})") from None
