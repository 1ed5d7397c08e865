"""Identity of files: names, numbers, hashes, stage versions and provenance.

A file carries its settings and input hashes; machine and times are stored in a sidecar. Numbers have one
spelling in file names, wildcards, table cells and hashes.

Each stage has a version, which rises when the same job would write other values: the workflow then redoes
that stage, and a golden-value test fails if values change and the version does not. Models and cohorts carry
their own versions in their classes.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pulseveil.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# Left out: braces (wildcards of Snakemake), slashes (folders), quotes and $ (shell), and = + - @ as the first
# character (formulas of spreadsheets).
_NAME = re.compile(r"\w[\w .,:;()#&-]{0,63}")

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
Epsilons = TypeVar("Epsilons", float, "pd.Series[float]")


def parse_number(text: str | float) -> float:
    """Read a number from text; YAML passes `1e-3` and `inf` as strings.

    Examples:
        >>> parse_number("1e-3"), parse_number("inf")
        (0.001, inf)

    Raises:
        ValueError: `text` is not a number, or is NaN.
    """
    # float(True) is 1.0, and YAML reads `yes` and `on` as True.
    if isinstance(text, bool):
        raise ValueError(f"expected a number, got {text!r}")
    # Python reads `1_2` as 12, and digits of all scripts.
    if isinstance(text, str) and ("_" in text or not text.isascii()):
        raise ValueError(f"expected a number, got {text!r}")
    value = float(text)
    if math.isnan(value):
        raise ValueError("expected a number, got NaN")
    return value


def number_label(value: float) -> str:
    """The only spelling of a number in names, tables and hashes.

    Examples:
        >>> [number_label(value) for value in (1, 1.0, 0.1, 1e-5, float("inf"))]
        ['1', '1', '0.1', '1e-05', 'inf']

    Raises:
        ValueError: `value` is NaN or a truth value.
    """
    number = parse_number(value)
    if math.isinf(number):
        return "inf" if number > 0 else "-inf"
    # Without the bound, 1e300 would become a file name of 301 digits.
    return str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)


def falling(epsilon: Epsilons) -> Epsilons:
    """Sort key of epsilons in tables, figures and texts: no budget first, then ever smaller budgets.

    Examples:
        >>> sorted([0.1, float("inf"), 1, 10], key=falling)
        [inf, 10, 1, 0.1]
    """
    return -epsilon


def require_name(name: str, what: str) -> None:
    """Check that a name from outside is safe in paths, commands and tables.

    Raises:
        InputError: the name has other characters than the message lists, more than 64 of them, or `..`.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise InputError(
            f"{what}: {name[:80]!r} is not a valid name; expected a letter or digit, then up to 63 letters, "
            "digits, blanks or any of _ - . , : ; ( ) # &; rename it"
        )


def require_no_formulas(table: pd.DataFrame, path: Path) -> None:
    """Check that no text of a table would become a formula when a spreadsheet opens it as CSV.

    Raises:
        InputError: a column name or a text that is not a number starts like a formula.
    """
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
    """Check that Snakemake and a message of one line can hold a path.

    Raises:
        InputError: the path contains a brace, a line break or another unprintable character.
    """
    if not str(path).isprintable() or set(str(path)) & set("{}"):
        raise InputError(
            f"{what}: {str(path)!r} contains a brace (a wildcard of Snakemake) or a line break; rename it"
        )


# Packages that compute results, by the module that a process loads of each.
_PACKAGES: Mapping[str, str] = {
    "pulseveil": "pulseveil",
    "numpy": "numpy",
    "scipy": "scipy",
    "pandas": "pandas",
    "tensorflow": "tensorflow",
    "scikit-learn": "sklearn",
    "h5py": "h5py",
    "fastavro": "fastavro",
    "dp-accounting": "dp_accounting",
    "tensorflow-privacy": "tensorflow_privacy",
    "dtaidistance": "dtaidistance",
    "matplotlib": "matplotlib",
}


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and one spelling per number, so that equal settings have equal text.

    Examples:
        >>> canonical_json({"seed": 3, "epsilon": 1.0}) == canonical_json({"epsilon": 1, "seed": 3.0})
        True
    """
    return json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"))


def cell_hash(settings: Mapping[str, Any]) -> str:
    """SHA-256 of exactly the settings, input hashes and stage versions that a file depends on."""
    return hashlib.sha256(canonical_json(settings).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def describe_run(study: str, started: datetime) -> dict[str, Any]:
    """Content of a sidecar: study, code version, times and machine, which may differ between equal runs.

    Its packages are those that this process has loaded.
    """
    loaded = [name for name, module in _PACKAGES.items() if module in sys.modules]
    return {
        "study": study,
        "git": _git_revision(),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "system": platform.system()},
        "python": platform.python_version(),
        "packages": {name: version for name in loaded if (version := _version(name))},
    }


def installed() -> dict[str, str]:
    """Versions of code, Python and all packages that can compute results, loaded or not."""
    versions = {name: version for name in _PACKAGES if (version := _version(name))}
    return {
        "pulseveil revision": _git_revision() or "unknown",
        "python": platform.python_version(),
        **versions,
    }


def _canonical(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    # As `number_label` writes them: the hash of a run holds hundreds of whole numbers, keys of its streams.
    if type(value) is int and abs(value) < 10**15:
        return {"number": str(value)}
    if isinstance(value, Mapping):
        return {str(k): _canonical(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(v) for v in value]
    # Wrapped, because the number 1 and the text "1" are different settings with the same label.
    return {"number": number_label(value)}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    # In the folder of this file: the working directory may belong to another repository.
    answer = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or None


COHORT = 2
# Physiological channels only: published ones keep their hashes.
PHYSIOLOGY = 2
FEATURES = 2
GENERATORS = 1
# Private generators only: content of their ledgers. 1: a ledger carries the hash of the weights it covers.
LEDGERS = 1
SYNTHESIS = 1
QUALITY = 3
DETECTORS = 1
AUDIT = 2
SUMMARY = 13
