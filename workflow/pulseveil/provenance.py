"""What a file was made from: settings and input hashes inside it, machine and times beside it."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pulseveil.naming import number_label

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
