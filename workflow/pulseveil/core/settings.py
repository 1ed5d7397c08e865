"""Base class of all typed settings, and messages for failed checks.

Settings are frozen, refuse unknown keys and bound their numbers. A message is one sentence that names the
file, the key, what was expected, and the nearest known name.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

# Closed lists of a study, each defined only here.
Preprocessing = Literal["paper", "sound"]
Channels = Literal["published", "physiological"]
ScalingName = Literal["min-max", "calibration", "public"]
Pairing = Literal["published", "intended"]
Audience = Literal["generator", "detector"]
LabelRule = Literal["majority", "any"]

# Range of the numbers of a study: none is meaningful beyond it, and sizes, powers and sums could overflow.
SMALLEST, LARGEST = 1e-12, 1e9


class Settings(BaseModel):
    """Settings of one part of a study; an unknown key, a wrong type or an extreme number is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)

    @model_validator(mode="after")
    def _within_range(self) -> Self:
        for name, value in self:
            for number in _numbers(value):
                if math.isfinite(number) and number and not SMALLEST <= abs(number) <= LARGEST:
                    # A seed is the label of a random stream, not a quantity.
                    if "seed" in name and number >= 0:
                        continue
                    raise ValueError(
                        f"{name}: expected 0 or a number from {SMALLEST:g} to {LARGEST:g}, found {number:.6g}"
                    )
        return self


def _numbers(value: Any) -> Iterator[float]:
    """The numbers in a value or in a list of values."""
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, (int, float)):
            yield item


def explain(
    error: ValidationError, model: type[BaseModel], values: Any, source: str, *, prefix: str = ""
) -> str:
    """Message of one sentence for the first error in `values`, which were checked against `model`."""
    first = error.errors()[0]
    location = _strip_union_tags(first["loc"], values)
    key = _dotted(prefix, location)
    rest = len({str(e["loc"]) for e in error.errors()}) - 1
    more = f" (and {rest} more)" if rest and first["type"] == "extra_forbidden" else ""
    return f"{source}: {key}: {_expected(first, model, location)}{more}"


def explain_choice(source: str, key: str, found: Any, allowed: Sequence[str]) -> str:
    """Message for a value that is not one of the allowed names, with the nearest of them.

    Examples:
        >>> print(explain_choice("demo.yaml", "unit", "subjects", ["subject", "window"]))
        demo.yaml: unit: expected one of subject, window; found 'subjects' (did you mean 'subject'?)
    """
    return f"{source}: {key}: expected one of {', '.join(allowed)}; found {found!r}{nearest(found, allowed)}"


def nearest(found: Any, allowed: Iterable[str]) -> str:
    """Hint at the allowed name that is most similar to `found`; empty if none is similar."""
    close = difflib.get_close_matches(str(found), list(allowed), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _expected(error: Any, model: type[BaseModel], location: Sequence[str | int]) -> str:
    found = error["input"]
    match error["type"]:
        case "extra_forbidden":
            keys = _keys_at(model, location[:-1])
            allowed = ", ".join(keys)
            return f"unknown key{nearest(location[-1], keys)}; allowed: {allowed}"
        case "missing":
            return "this key is missing"
        case "literal_error":
            allowed_text = str(error["ctx"]["expected"])
            names = [part.strip(" '") for part in allowed_text.replace(" or ", ", ").split(",")]
            return f"expected {allowed_text}; found {found!r}{nearest(found, names)}"
        case "too_short":
            return "expected at least one entry; found an empty list"
        case "value_error":
            return str(error["ctx"]["error"])
        case _:
            message = str(error["msg"])
            return f"{message[0].lower()}{message[1:]}; found {found!r}"


def _keys_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            inner = _inner_model(model.model_fields[part].annotation)
            if inner is not None:
                model = inner
    return list(model.model_fields)


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for m in map(_inner_model, get_args(annotation)) if m is not None), None)


def _strip_union_tags(location: Sequence[str | int], values: Any) -> tuple[str | int, ...]:
    """The location of an error in the user's file, without the names of unions that Pydantic inserts."""
    kept: list[str | int] = []
    for i, part in enumerate(location):
        if isinstance(values, dict) and (part in values or i == len(location) - 1):
            kept.append(part)
            values = values.get(part)
        elif isinstance(values, (list, tuple)) and isinstance(part, int) and part < len(values):
            kept.append(part)
            values = values[part]
    return tuple(kept) or tuple(location)


def _dotted(prefix: str, location: Sequence[str | int]) -> str:
    text = prefix
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the study"
