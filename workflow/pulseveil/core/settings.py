"""Base class of all typed settings, and messages for failed checks.

Settings are frozen, refuse unknown keys and bound their numbers. Each fault has one sentence that names the
file, the key, what was expected, and the nearest known name.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

# Closed lists of a study, each defined only here.
Preprocessing = Literal["paper", "sound"]
Channels = Literal["published", "physiological"]
ScalingName = Literal["min-max", "calibration", "public"]
Pairing = Literal["published", "intended"]
Audience = Literal["generator", "detector"]
LabelRule = Literal["majority", "any"]

# Range of the numbers of a study: none is meaningful beyond it, and sizes, powers and sums could overflow.
SMALLEST, LARGEST = 1e-12, 1e9
# Of a value that a message quotes.
_LONGEST_VALUE = 80


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
) -> tuple[str, ...]:
    """One sentence per fault in `values`, which were checked against `model`; unknown keys come first."""
    faults: dict[tuple[str | int, ...], list[Any]] = {}
    for fault in error.errors():
        faults.setdefault(_strip_union_tags(fault["loc"], values), []).append(fault)
    unknown = [place for place, found in faults.items() if found[0]["type"] == "extra_forbidden"]
    # A key that is missing because its name is misspelt is one fault and not two.
    meant = {(*at[:-1], name) for at in unknown for name in _close(at[-1], _keys_at(model, at[:-1]))}
    # A list of wrong entries counts as too short.
    inner = {at[:i] for at in faults for i in range(len(at))}
    told = [
        at
        for at, found in faults.items()
        if at not in unknown
        and not (found[0]["type"] == "missing" and at in meant)
        and not (found[0]["type"] == "too_short" and at in inner)
    ]
    return tuple(
        f"{source}: {_dotted(prefix, at)}: {_sentence(faults[at], model, at)}" for at in (*unknown, *told)
    )


def explain_choice(source: str, key: str, found: Any, allowed: Sequence[str]) -> str:
    """Message for a value that is not one of the allowed names, with the nearest of them.

    Examples:
        >>> print(explain_choice("demo.yaml", "unit", "subjects", ["subject", "window"]))
        demo.yaml: unit: expected one of subject, window; found 'subjects' (did you mean 'subject'?)
    """
    expected = f"expected one of {', '.join(allowed)}"
    return f"{source}: {key}: {expected}; found {_spelled(found)}{nearest(found, allowed)}"


def nearest(found: Any, allowed: Iterable[str]) -> str:
    """Hint at the allowed name that is most similar to `found`; empty if none is similar."""
    close = _close(found, allowed)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _close(found: Any, allowed: Iterable[str]) -> list[str]:
    """The allowed name that is most similar to `found`, or none."""
    return difflib.get_close_matches(str(found), list(allowed), n=1)


def _sentence(found: Sequence[Any], model: type[BaseModel], location: Sequence[str | int]) -> str:
    """What is wrong at one place; `found`: the errors there, several if the key allows several types."""
    first = found[0]
    match first["type"]:
        case "extra_forbidden":
            keys = _keys_at(model, location[:-1])
            return f"unknown key{nearest(location[-1], keys) or '; allowed: ' + ', '.join(keys)}"
        case "missing":
            field = _fields_at(model, location[:-1]).get(str(location[-1]))
            meaning = f" ({field.description})" if field is not None and field.description else ""
            return f"this key is missing{meaning}"
        case "value_error":
            return str(first["ctx"]["error"])
    value = first["input"]
    expected = " or ".join(dict.fromkeys(_expected(error) for error in found))
    names = [
        name
        for error in found
        if error["type"] == "literal_error"
        for name in _names(error["ctx"]["expected"])
    ]
    return f"expected {expected}; found {_spelled(value)}{nearest(value, names)}"


# What pydantic's types of errors expect, in words of a study file.
_EXPECTED: Mapping[str, str] = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number, such as 5"),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), "a number, such as 0.5"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type"), "keys with values, such as {{key: value}}"),
    "model_attributes_type": "keys with values, such as {{key: value}}",
    "string_type": "a text",
    "path_type": "a path, such as data/WESAD",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "literal_error": "{expected}",
    "too_short": "a list with at least {min_length} of its entries",
    "too_long": "a list with at most {max_length} entries",
}


def _expected(error: Any) -> str:
    value, kind = error["input"], error["type"]
    if kind in ("tuple_type", "list_type"):
        if isinstance(value, Mapping):
            return "a list of entries, each with '- ' before its first key"
        return f"a list, such as [{value}]" if isinstance(value, str) else "a list, such as [first, second]"
    if kind == "too_short" and not value:
        return "at least one entry"
    if kind == "string_pattern_mismatch":
        return _of_pattern(str(error["ctx"]["pattern"]), str(value))
    if kind in _EXPECTED:
        return _EXPECTED[kind].format(**error.get("ctx", {}))
    message = str(error["msg"]).removeprefix("Input should be ")
    return f"{message[0].lower()}{message[1:]}"


def _of_pattern(pattern: str, value: str) -> str:
    """A pattern of sets of characters in words, with the nearest allowed text.

    Examples:
        >>> _of_pattern("^[A-Za-z0-9.+-]+$", "CC BY 4.0")
        "letters, digits and . + - only, such as 'CC-BY-4.0'"
    """
    allowed = pattern.rsplit("[", 1)[-1].split("]")[0]
    marks = allowed.replace("A-Za-z0-9", "")
    filled = re.sub(f"[^{allowed}]+", "_" if "_" in marks else "-", value).strip("_-") or "name"
    return f"letters, digits and {' '.join(marks)} only, such as {filled!r}"


def _names(expected: str) -> list[str]:
    return [part.strip(" '") for part in expected.replace(" or ", ", ").split(",")]


def _spelled(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, (list, tuple)) and not value:
        return "an empty list"
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _keys_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    return list(_fields_at(model, location))


def _fields_at(model: type[BaseModel], location: Sequence[str | int]) -> Mapping[str, FieldInfo]:
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            inner = _inner_model(model.model_fields[part].annotation)
            if inner is not None:
                model = inner
    return model.model_fields


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
