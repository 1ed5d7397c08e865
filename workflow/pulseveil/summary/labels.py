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
    """A p value with three decimals, from 0.1 on with two, as a bound below 0.001; empty for NaN.

    It is rounded up: 0.0502, with which nothing is shown, must not be printed as 0.05.

    Examples:
        >>> p_value(0.0312), p_value(0.00004), p_value(0.0502), p_value(0.2)
        ('p=0.032', 'p<0.001', 'p=0.051', 'p=0.20')
    """
    if math.isnan(p):
        return ""
    digits = 3 if p < 0.1 else 2
    # 0.05 has no exact double: without the slack its last digit would be rounded up.
    up = math.ceil(p * 10**digits - 1e-9) / 10**digits
    return "p<0.001" if p < 0.001 else f"p={up:.{digits}f}"


def with_interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """A mean with its interval; the mean alone if the interval is a point or undefined.

    Examples:
        >>> with_interval(0.8812, 0.8231, 0.9309)
        '0.881 [0.823, 0.931]'
    """
    if math.isnan(low) or low == high:
        return number(value)
    return f"{number(value)} [{number(low, digits)}, {number(high, digits)}]"


def difference_with_interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """A difference with its interval of `digits` decimals; the difference alone if the interval is undefined.

    Limits keep their sign: a limit that is rounded to 0 says on which side of 0 it lies.

    Examples:
        >>> difference_with_interval(0.1652, 0.0004, 0.2331)
        '+0.165 [+0.000, +0.233]'
    """
    if math.isnan(low):
        return signed(value)
    limits = ", ".join(f"{limit:+.{digits}f}" if limit else number(0.0, digits) for limit in (low, high))
    return f"{signed(value)} [{limits.replace('-', MINUS)}]"
