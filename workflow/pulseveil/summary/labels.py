"""Text of names, keys and numbers for readers."""

from __future__ import annotations

import math

from pulseveil.core.identity import number_label

MINUS = "\N{MINUS SIGN}"


def evaluation(name: str) -> str:
    """Name of an evaluation, a role or a column with blanks for underscores."""
    return name.replace("_", " ")


def level(value: float | str) -> str:
    """A value of an axis; infinity is ∞.

    Examples:
        >>> level(float("inf")), level(10.0), level("subject")
        ('∞', '10', 'subject')
    """
    if isinstance(value, str):
        return value
    return "∞" if math.isinf(value) else number_label(value)


def signals(name: str) -> str:
    """The signals of a row, in words.

    Examples:
        >>> signals("without_eda_level+activity")
        'without EDA level + activity'
    """
    return name.replace("_", " ").replace("+", " + ").replace("eda", "EDA")


def number(value: float, digits: int = 3) -> str:
    """A number with `digits` decimals; empty for NaN."""
    return "" if math.isnan(value) else f"{value:.{digits}f}".replace("-", MINUS)


def epsilon(value: float) -> str:
    """An epsilon with three significant digits; empty for NaN."""
    return "" if math.isnan(value) else f"{value:.3g}"


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign and `digits` decimals; 0 has no sign; empty for NaN.

    Examples:
        >>> signed(0.0421), signed(-0.0001)
        ('+0.042', '0.000')
    """
    if math.isnan(value):
        return ""
    text = f"{value:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", MINUS)


def p_value(p: float) -> str:
    """A p value with two decimals, with three below 0.01, as a bound below 0.001; empty for NaN.

    Examples:
        >>> p_value(0.0312), p_value(0.00004)
        ('p=0.03', 'p<0.001')
    """
    if math.isnan(p):
        return ""
    return "p<0.001" if p < 0.001 else f"p={p:.3f}" if p < 0.01 else f"p={p:.2f}"


def with_interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """A mean with its interval; the mean alone if the interval is a point or undefined.

    Examples:
        >>> with_interval(0.8812, 0.8231, 0.9309)
        '0.881 [0.823, 0.931]'
    """
    if math.isnan(low) or low == high:
        return number(value)
    return f"{number(value)} [{number(low, digits)}, {number(high, digits)}]"
