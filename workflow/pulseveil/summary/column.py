"""A column of a table: key, title, unit, meaning and form; and keys, titles and order of several columns."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from pulseveil.summary.labels import evaluation as in_words

Form = Literal[
    "name", "axis", "count", "number", "signed", "epsilon", "interval", "marked", "difference", "text"
]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    title: heading in printed tables and the report, by default the key in words. short: heading in the
    terminal. form: how `printing` writes a value. example: a value as in the file, but rounded. optional: the
    column is printed only if a row has a value. sometimes: some studies lack the column.
    """

    key: str
    meaning: str
    unit: str = ""
    title: str = ""
    short: str = ""
    form: Form = "text"
    example: str = ""
    optional: bool = False
    sometimes: bool = False

    @property
    def heading(self) -> str:
        """The title, or the key in words if there is none."""
        return self.title or in_words(self.key)


YES = '"yes", "no", or empty if not applicable'
SHARE = "share, 0 to 1"
P_VALUE = "two-sided p value of the difference, by the same test as the interval; not corrected"
TWO_PEOPLE = (
    "whether the interval without the two most or the two least favourable people lies on another side of 0: "
    f"{YES}"
)


def keys_of(columns: Collection[Column]) -> list[str]:
    """Keys of `columns`, in order."""
    return [column.key for column in columns]


def by_key(columns: Collection[Column]) -> dict[str, Column]:
    """Columns of a table by key."""
    return {column.key: column for column in columns}


def title_of(key: str, columns: Collection[Column]) -> str:
    """Title of one of `columns` for readers.

    Examples:
        >>> title_of("n_seeds", [Column("n_seeds", "number of seeds averaged", title="Seeds")])
        'Seeds'
    """
    return by_key(columns)[key].heading


def in_declared_order(table: pd.DataFrame, columns: Collection[Column]) -> pd.DataFrame:
    """`table` with its columns in the declared order.

    Raises:
        ValueError: a column is not declared, or a declared column is missing.
    """
    declared = by_key(columns)
    found = set(map(str, table))
    # The selection below would drop an undeclared column without a word.
    undeclared = found - set(declared)
    missing = {key for key, column in declared.items() if not column.sometimes} - found
    if undeclared or missing:
        raise ValueError(
            f"table: undeclared columns {sorted(undeclared)}, missing columns {sorted(missing)}; "
            "declare each column in pulseveil.summary.columns or main_columns"
        )
    return table[[key for key in declared if key in table]]


def titled(table: pd.DataFrame, columns: Collection[Column]) -> pd.DataFrame:
    """`table` with titles in place of keys."""
    return table.rename(columns={column.key: column.heading for column in columns})
