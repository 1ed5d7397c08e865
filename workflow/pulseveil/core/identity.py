"""What a file was made from, and how its names and hashes are spelled.

Settings and input hashes lie inside a file, machine and times beside it. Numbers have one spelling in file
names, wildcards, table cells and hashes.

Each stage has a version, which rises when the same job would write other values: the workflow then redoes
that stage, and a golden-value test fails when values change and the version does not. Versions of single
models and cohorts stand in their own classes.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulseveil.core.errors import InputError

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


_PACKAGES = ("pulseveil", "numpy", "scipy", "pandas", "tensorflow", "scikit-learn")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and one spelling a number, so that equal settings have equal text."""
    return json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"))


def cell_hash(settings: Mapping[str, Any]) -> str:
    """sha256 of exactly the settings, input hashes and stage versions that a file depends on."""
    return hashlib.sha256(canonical_json(settings).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def describe_run(study: str, started: datetime) -> dict[str, Any]:
    """The sidecar: study, code version, times and machine. Outside the byte contract of the data files."""
    return {
        "study": study,
        "git": _git_revision(),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "system": platform.system()},
        "python": platform.python_version(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _canonical(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(v) for v in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return {"number": number_label(value)}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    answer = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or None


COHORT = 2
FEATURES = 2
GENERATORS = 1
# Of private generators alone: what their ledgers say. 1: the hash of the weights that they speak for.
LEDGERS = 1
SYNTHESIS = 1
QUALITY = 2
DETECTORS = 1
AUDIT = 2
SUMMARY = 4
