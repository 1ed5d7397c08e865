"""Registry of cohorts, generators, detectors and protocols by name, from the entry points of all packages.

A class is checked against its protocol when it is loaded, so that a class that does not fit is refused before
any work and not by a traceback in the middle of a study. The checks are derived from the protocols.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module, metadata
from types import FunctionType
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from pulseveil.core.errors import InputError

Group = Literal["cohorts", "generators", "detectors", "protocols"]
Method = TypeVar("Method", bound=Callable[..., Any])
_PRIVATE = "_of_private_kinds"
# Per group: module and protocol that a class must fit. If a kind names its model as another class, which
# plans do not import, the second protocol holds for the kind and the third for the model. Names instead of
# imports, because some of these modules import this one.
_PROTOCOLS: dict[Group, tuple[str, ...]] = {
    "cohorts": ("pulseveil.cohorts", "Cohort"),
    "generators": ("pulseveil.generators", "Generator", "GeneratorKind", "GeneratorModel"),
    "detectors": ("pulseveil.detectors", "Detector", "DetectorKind", "DetectorModel"),
    "protocols": ("pulseveil.evaluation.protocols", "EvaluationProtocol"),
}


def of_private_kinds(method: Method) -> Method:
    """Mark a default of a protocol that kinds with `private_units` must override."""
    setattr(method, _PRIVATE, True)
    return method


@cache
def names(group: Group) -> tuple[str, ...]:
    """Registered names of a group, sorted.

    Raises:
        InputError: the installation registers no class of this group.
    """
    found = tuple(sorted(entry.name for entry in metadata.entry_points(group=f"pulseveil.{group}")))
    if not found:
        # An editable installation runs the current code with the entry points of the day of installation.
        raise InputError(
            f"no {group} are registered: the installed PulseVeil is older than this code; run `make dryrun` "
            "or `pip install --no-deps -e .`"
        )
    return found


@cache
def load(group: Group, name: str) -> Any:
    """The kind registered under `name`: a class that needs no TensorFlow.

    Raises:
        KeyError: no class has this name.
        InputError: the class cannot be imported or does not fit its protocol.
    """
    for entry in metadata.entry_points(group=f"pulseveil.{group}"):
        if entry.name == name:
            kind = _loaded(entry)
            if _names_model(kind):
                _check(entry, kind, kind, _protocol(group, "kind"), further=False)
            else:
                _check(entry, kind, kind, _protocol(group, "whole"))
            return kind
    raise KeyError(name)


@cache
def model(group: Group, name: str) -> Any:
    """The model of the kind registered under `name`: the class that it names, or the kind itself.

    Raises:
        KeyError: no class has this name.
        InputError: a class cannot be imported or does not fit its protocol.
    """
    kind = load(group, name)
    if not _names_model(kind):
        return kind
    entry = metadata.EntryPoint(name, kind.model, f"pulseveil.{group}")
    found = _loaded(entry)
    _check(entry, found, kind, _protocol(group, "model"))
    return found


def _names_model(kind: Any) -> bool:
    named = getattr(kind, "model", "")
    return isinstance(named, str) and bool(named)


def _protocol(group: Group, part: Literal["whole", "kind", "model"]) -> type:
    module, *protocols = _PROTOCOLS[group]
    found: type = getattr(import_module(module), protocols[("whole", "kind", "model").index(part)])
    return found


def _source(entry: metadata.EntryPoint) -> str:
    return f"entry point {entry.name} = {entry.value} of {entry.group}"


def _loaded(entry: metadata.EntryPoint) -> Any:
    try:
        return entry.load()
    # The module can belong to any package, and its import can raise anything.
    except Exception as error:
        raise InputError(
            f"{_source(entry)}: cannot be loaded ({type(error).__name__}: {error}); "
            "mend its package or uninstall it"
        ) from error


def _check(
    entry: metadata.EntryPoint, found: Any, kind: Any, expected: type, *, further: bool = True
) -> None:
    """Raise InputError if the class `found` of `kind` has `_faults`."""
    faults = "; ".join(_faults(found, kind, expected, further=further))
    if faults:
        base = f"{expected.__module__}.{expected.__name__}"
        raise InputError(
            f"{_source(entry)}: {inspect.formatannotation(found)} does not fit {base}: {faults}; "
            f"mend the class, see docs/extension.md (a subclass of {base} has its defaults)"
        )


def _faults(found: Any, kind: Any, expected: type, *, further: bool) -> Iterator[str]:
    """Differences between the class `found` and the protocol `expected`, one phrase each.

    With `further`, `found` must also fit the other bases that `kind` takes from the protocol's module: by
    such a base a kind declares an ability that only some models have.
    """
    if not isinstance(found, type):
        yield f"expected a class, found a {type(found).__name__}"
        return
    others = [] if not further else [base for base in kind.__mro__[1:] if not _is_protocol(base)]
    parts = [part for part in (*expected.__mro__, *others) if part.__module__ == expected.__module__]
    is_private = bool(getattr(kind, "private_units", None))
    for part in dict.fromkeys(parts):
        hints = get_type_hints(part)
        variables = {name: hints[name] for name in inspect.get_annotations(part)}
        for name, hint in variables.items():
            yield from _variable_faults(found, name, *get_args(hint))
        for name, member in vars(part).items():
            if name not in variables and _is_declared(name, member, part):
                yield from _member_faults(found, name, member, part, is_private=is_private)


def _is_protocol(base: type) -> bool:
    """Whether a base is a protocol; a subclass of a protocol that is not declared as one is not."""
    return bool(getattr(base, "_is_protocol", False))


def _is_declared(name: str, member: Any, part: type) -> bool:
    """Whether a member is part of a protocol, and not added by Python (such as `_abc_impl`)."""
    # typing.Protocol gives a class without an __init__ one of its own, from another module.
    return not name.startswith("_") or (name == "__init__" and member.__module__ == part.__module__)


def _variable_faults(kind: type, name: str, hint: Any) -> Iterator[str]:
    wanted = f"class variable {name}: {inspect.formatannotation(hint)}"
    if not hasattr(kind, name):
        yield f"expected {wanted}, found none"
        return
    value = getattr(kind, name)
    try:
        TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError:
        yield f"expected {wanted}, found {value!r}"


def _member_faults(kind: type, name: str, member: Any, part: type, *, is_private: bool) -> Iterator[str]:
    found = inspect.getattr_static(kind, name, None)
    is_property = isinstance(member, property)
    signature = inspect.Signature() if is_property else _signature(part, name)
    wanted = (
        f"expected property {name}" if is_property else f"expected {_method_type(member)} {name}{signature}"
    )
    if found is member and is_private and _is_of_private_kinds(member):
        yield f"{wanted} of its own, as it has private_units"
    elif getattr(found, "__isabstractmethod__", False) or found is vars(object).get(name):
        # A field of a dataclass without default is an annotation of the class and no attribute of it.
        if not is_property or found is not None or not _is_annotated(kind, name):
            yield f"{wanted}, found none"
    elif is_property:
        if isinstance(found, FunctionType | staticmethod | classmethod):
            yield f"{wanted}, found {_method_type(found)}"
    else:
        yield from _method_faults(kind, name, wanted, signature, on_class=_is_on_class(member))


def _method_faults(
    kind: type, name: str, wanted: str, signature: inspect.Signature, *, on_class: bool
) -> Iterator[str]:
    found = inspect.getattr_static(kind, name)
    try:
        own = _signature(kind, name)
    except (TypeError, ValueError):
        yield f"{wanted}, found {found!r}"
        return
    if not _accepts(own, signature) or (on_class and not _is_on_class(found)):
        yield f"{wanted}, found {_method_type(found)} {name}{own}"


def _is_of_private_kinds(member: Any) -> bool:
    function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    return hasattr(function, _PRIVATE)


def _is_annotated(kind: type, name: str) -> bool:
    return any(name in inspect.get_annotations(base) for base in kind.__mro__)


def _is_on_class(member: Any) -> bool:
    return isinstance(member, staticmethod | classmethod)


def _method_type(member: Any) -> str:
    types = {staticmethod: "static method", classmethod: "class method"}
    return types.get(type(member), "method")


def _signature(owner: type, name: str) -> inspect.Signature:
    """The parameters with which a method is called, without self, cls and annotations."""
    signature = inspect.signature(getattr(owner, name))
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    own = [] if _is_on_class(inspect.getattr_static(owner, name)) else parameters[:1]
    # A first parameter `*args` takes self and still accepts all others.
    dropped = sum(p.kind is not p.VAR_POSITIONAL for p in own)
    return inspect.Signature(parameters[dropped:])


def _accepts(found: inspect.Signature, expected: inspect.Signature) -> bool:
    """Whether every call that `expected` allows binds each argument to the same name in `found`."""
    parameters = expected.parameters.values()
    required = [p for p in parameters if p.default is p.empty]
    for passed in (parameters, required):
        by_position = [p.name for p in passed if p.kind is p.POSITIONAL_OR_KEYWORD]
        by_name = {p.name: p.name for p in passed}
        by_name_only = {name: name for name in by_name if name not in by_position}
        try:
            calls = (found.bind(*by_position, **by_name_only), found.bind(**by_name))
        except TypeError:
            return False
        # Each argument is the name of its parameter. Arguments in *args and **kwargs are no longer strings.
        if any(
            isinstance(value, str) and value != name
            for call in calls
            for name, value in call.arguments.items()
        ):
            return False
    return True
