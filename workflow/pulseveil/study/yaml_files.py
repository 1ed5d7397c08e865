"""YAML files of studies and profiles, read within limits; a key that is there twice is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pulseveil.core import limits
from pulseveil.core.errors import InputError


def load_yaml(path: Path) -> dict[str, Any]:
    """Read the values of a YAML file.

    Raises:
        InputError: the file is missing, too large, not valid YAML (with line and column), or not a mapping.
    """
    content = limits.read_bytes(path, limits.STUDY_BYTES, "a study file (YAML)")
    try:
        values = _values(content.decode("utf-8-sig"), str(path))
    except yaml.YAMLError as error:
        raise InputError(f"{path}{_fault(error)}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; expected a study file (YAML) in UTF-8") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deep; expected a study file (YAML)") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Raised by the YAML library for dates and numbers that do not exist, and for keys that are mappings.
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a valid YAML value ({error}); put the value into quotes") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a mapping of keys, found {type(values).__name__}")
    return values


# Words of the YAML library, and what usually mends the fault.
_CURES = {
    "'\\t'": "indent with blanks instead of tabs",
    "mapping values are not allowed": "write a blank after each colon, indent keys of one level alike, and "
    "put texts with a colon into quotes",
    "could not find expected ':'": "write a colon and a blank after each key",
    "expected ',' or": "close the bracket, with commas between its entries",
    "unexpected end of stream": "close the quote or bracket",
    "expected <block end>": "indent keys of one level alike",
}


def _fault(error: yaml.YAMLError) -> str:
    """Place and reason of invalid YAML, and how to mend it."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return ": not valid YAML; check indentation and quotes"
    problem = str(error.problem)
    cure = next((cure for words, cure in _CURES.items() if words in problem), "check indentation and quotes")
    began = ""
    if error.context_mark is not None and error.context_mark.line != error.problem_mark.line:
        began = f", in what begins at{_place(error.context_mark)}"
    return f"{_place(error.problem_mark)}: not valid YAML ({problem}{began}); {cure}"


def _place(mark: yaml.Mark) -> str:
    return f" line {mark.line + 1}, column {mark.column + 1}"


def _values(text: str, source: str) -> Any:
    """Values of a YAML text, within the limits for files from elsewhere."""
    # Nodes are counted before values are built: nested aliases and merged keys can expand a few lines into
    # more values than fit into memory.
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        limits.check_values(node, source, _inner_nodes)
        _refuse_duplicates(node, source)
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _refuse_duplicates(root: yaml.Node | None, source: str) -> None:
    """Raise InputError if a mapping has a key twice: YAML readers keep the last one without a word."""
    waiting: list[yaml.Node | None] = [root]
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        waiting += _inner_nodes(node)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                continue
            line, name = key.start_mark.line + 1, (key.tag, key.value)
            if name in lines:
                raise InputError(
                    f"{source} lines {lines[name]} and {line}: the key {key.value!r} is there twice"
                )
            lines[name] = line


def _inner_nodes(node: yaml.Node | None) -> Sequence[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else ()
