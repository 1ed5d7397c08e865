"""JSON schema and key table of study files, generated from the typed settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from pulseveil.core import registry
from pulseveil.study.resources import Energy, Pack, Resources
from pulseveil.study.study import Audit, Evaluation, Model, PublicConstants, Strides, Study

# Required fields that a study file may omit: their default follows from `protocol` or from the name.
_DERIVED = {"Study": {"channels", "scaling", "generator_shared"}, "Model": {"kind", "settings"}}


def json_schema() -> dict[str, Any]:
    """JSON schema of a study file, with the settings of every registered kind."""
    schema = Study.model_json_schema()
    definitions = schema["$defs"]
    # The typed model is that of a filled study. A study file may also omit derived keys and name a model by a
    # text, and the settings of a kind are `Any` to the typed model.
    for owner, keys in (("Study", schema), ("Model", definitions["Model"])):
        keys["required"] = [key for key in keys["required"] if key not in _DERIVED[owner]]
    for group in ("generators", "detectors"):
        schema["properties"][group]["items"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Model"}]}
    settings = [name for group in ("generators", "detectors") for name in _define(definitions, group)]
    definitions["Model"]["properties"]["settings"]["anyOf"] = _references(settings)
    definitions["Evaluation"]["properties"]["test"]["enum"] = list(registry.names("protocols"))
    cohorts = _define(definitions, "cohorts")
    schema["properties"]["cohorts"]["additionalProperties"] = {"anyOf": _references(cohorts)}
    return schema


def key_table() -> str:
    """Keys of a study as Markdown tables with key, type, default and meaning."""
    parts: list[tuple[str, type[BaseModel]]] = [
        ("Study", Study),
        ("`stride_s`", Strides),
        ("Entries of `generators` and `detectors`", Model),
        ("Entries of `evaluations`", Evaluation),
        ("`public`", PublicConstants),
        ("`audit`", Audit),
        ("`pack`", Pack),
        ("`resources`", Resources),
        ("`energy`", Energy),
    ]
    for group in ("cohorts", "generators", "detectors"):
        for name in registry.names(group):
            settings = registry.load(group, name).Settings
            title = f"{group[:-1].capitalize()} `{name}`"
            parts += [(title, settings), *((f"{title}: `{key}`", inner) for key, inner in _inner(settings))]
    tables = [*(line for title, model in parts for line in _table(title, model)), *_protocols()]
    return "\n".join(tables)


def _inner(settings: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The keys of `settings` whose values are settings themselves."""
    for key, field in settings.model_fields.items():
        # Optional settings are in the arguments of a union.
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield key, kind


def _table(title: str, model: type[BaseModel]) -> Iterator[str]:
    if not model.model_fields:
        yield from (f"### {title}", "", "No settings.", "")
        return
    yield from (f"### {title}", "", "| key | type | default | meaning |", "|---|---|---|---|")
    for name, field in model.model_fields.items():
        default = _default(model, name)
        # An unescaped bar would end the cell of the table.
        meaning = (field.description or "").replace("|", "\\|")
        yield f"| `{name}` | {_type_name(field.annotation)} | {default} | {meaning} |"
    yield ""


def _protocols() -> Iterator[str]:
    """Table of the registered protocols, the values of `test` in an evaluation."""
    yield from ("### Protocols: values of `test`", "", "| name | tests |", "|---|---|")
    for name in registry.names("protocols"):
        yield f"| `{name}` | {registry.load('protocols', name).title} |"
    yield ""


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if name in _DERIVED.get(model.__name__, set()):
        return "see meaning"
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "see below"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def _type_name(annotation: Any) -> str:
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    text = str(annotation).replace("typing.", "").replace("collections.abc.", "")
    inner = [a for a in get_args(annotation) if a is not Ellipsis]
    if type(None) in inner:
        return " or ".join(_type_name(a) for a in inner if a is not type(None))
    if text.startswith("Literal"):
        return " \\| ".join(f"`{value}`" for value in inner)
    if text.startswith("tuple"):
        return f"list of {_type_name(inner[0])}"
    if text.startswith("Annotated"):
        return _type_name(inner[0])
    if text.startswith("Mapping"):
        return f"mapping of {_type_name(inner[-1])}"
    if annotation is Any:
        return "mapping"
    return " or ".join(map(_type_name, inner)) or text


def _define(definitions: dict[str, Any], group: registry.Group) -> list[str]:
    names = []
    for kind in registry.names(group):
        schema = registry.load(group, kind).Settings.model_json_schema()
        definitions |= schema.pop("$defs", {})
        names.append(f"{group}-{kind}")
        definitions[names[-1]] = schema
    return names


def _references(names: list[str]) -> list[dict[str, str]]:
    return [{"$ref": f"#/$defs/{name}"} for name in names]
