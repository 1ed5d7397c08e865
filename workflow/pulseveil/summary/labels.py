"""How names, keys and numbers are spelled for readers."""

from __future__ import annotations

import math

from pulseveil.core.identity import number_label

MINUS = "\N{MINUS SIGN}"


def evaluation(name: str) -> str:
    """The reader's name of an evaluation, a role or a column."""
    return name.replace("_", " ")


def level(value: float | str) -> str:
    """A value of an axis; infinity is ∞."""
    if isinstance(value, str):
        return value
    return "∞" if math.isinf(value) else number_label(value)


def number(value: float, digits: int = 3) -> str:
    """A rounded number, or nothing where there is none."""
    return "" if math.isnan(value) else f"{value:.{digits}f}".replace("-", MINUS)


def epsilon(value: float) -> str:
    """An epsilon with three digits, or nothing where there is none."""
    return "" if math.isnan(value) else f"{value:.3g}"


def signed(value: float, digits: int = 3) -> str:
    """A rounded difference with its sign, or nothing where there is none; 0 has no sign."""
    if math.isnan(value):
        return ""
    text = f"{value:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", MINUS)


def p_value(p: float) -> str:
    """A p value with two digits, or nothing where there is none."""
    if math.isnan(p):
        return ""
    return "p<0.001" if p < 0.001 else f"p={p:.3f}" if p < 0.01 else f"p={p:.2f}"


def with_interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """A mean with its interval: 0.881 [0.823, 0.931]; the mean alone where all subjects are equal."""
    if math.isnan(low) or low == high:
        return number(value)
    return f"{number(value)} [{number(low, digits)}, {number(high, digits)}]"
