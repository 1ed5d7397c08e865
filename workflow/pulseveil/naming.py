"""One spelling for numbers wherever they become a word: file names, wildcards, table cells, hashes."""

from __future__ import annotations

import math


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
