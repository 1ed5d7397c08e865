"""Words of file names, wildcards, table cells and hashes: one spelling for numbers, safe names."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pulseveil.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# A brace is a wildcard, a slash a folder, a quote or $ ends a word of a shell, and = + - @ begin a formula.
_NAME = re.compile(r"\w[\w .,:;()#&-]{0,63}")

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def parse_number(text: str | float) -> float:
    """Read a number; YAML hands over `1e-3` and `inf` as strings.

    Raises ValueError when `text` is not a number or is NaN.
    """
    if isinstance(text, bool):
        raise ValueError(f"expected a number, got {text!r}")
    value = float(text)
    if math.isnan(value):
        raise ValueError("expected a number, got NaN")
    return value


def number_label(value: float) -> str:
    """The one spelling of a number: 1 and 1.0 are `1`, infinity is `inf`, 0.1 is `0.1`."""
    number = parse_number(value)
    if math.isinf(number):
        return "inf" if number > 0 else "-inf"
    return str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)


def require_name(name: str, what: str) -> None:
    """Raise InputError unless a name from elsewhere can be a word of a path, a command and a table."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise InputError(
            f"{what}: {name[:80]!r} is no name; expected a letter or digit, then up to 63 letters, digits, "
            "blanks or any of _ - . , : ; ( ) # &; rename it"
        )


def require_no_formulas(table: pd.DataFrame, path: Path) -> None:
    """Raise InputError where a text of a table to be written as CSV would be a formula in a spreadsheet."""
    texts = [(str(name), str(name)) for name in table.columns]
    texts += [
        (str(name), text)
        for name in table.columns
        if table[name].dtype.kind not in "biufM"
        for text in map(str, table[name].unique())
    ]
    for name, text in texts:
        if text.startswith(_FORMULA) and not _is_number(text):
            raise InputError(
                f"{path}: column {name!r}: {text!r} would be a formula in a spreadsheet; rename it"
            )


def _is_number(text: str) -> bool:
    try:
        parse_number(text)
    except ValueError:
        return False
    return True


def require_plain_path(path: Path, what: str) -> None:
    """Raise InputError for a path that Snakemake would take for a pattern, or that is more than one line."""
    if not str(path).isprintable() or set(str(path)) & set("{}"):
        raise InputError(
            f"{what}: {str(path)!r} holds a brace, a wildcard to Snakemake, or a line break; rename it"
        )
