"""Bundles: the files of a release, their hashes, and the program that checks both, as folder and zip."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from importlib.resources import files as resources
from pathlib import Path

import pulseveil
from pulseveil.core.atomic import atomic_path
from pulseveil.core.errors import InputError
from pulseveil.release.verify import MANIFEST

VERIFY = "verify.py"
# A fixed time, the earliest that a zip file can hold: equal content gives equal bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def with_proof(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a release, `verify.py`, and a manifest with the sha256 of all of them."""
    checked = dict(files) | {VERIFY: resources("pulseveil.release").joinpath("verify.py").read_bytes()}
    manifest = {"pulseveil": pulseveil.__version__, "sha256": hashes(checked)}
    return checked | {MANIFEST: (json.dumps(manifest, indent=2) + "\n").encode()}


def hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    """The sha256 of each file, by name in alphabetical order."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Zip file of a release; equal files give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            # Fixed times and permissions: the bytes must not depend on the clock or the umask.
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write a bundle as a new folder and as a zip file beside it; returns the path of the zip file.

    Raises:
        InputError: the folder exists.
    """
    require_new(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        temporary.chmod(0o755)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    path = folder.with_name(f"{folder.name}.zip")
    with atomic_path(path) as unfinished:
        unfinished.write_bytes(zipped(files))
    return path


def require_new(folder: Path) -> None:
    """Refuse a folder that exists: a release is never changed.

    Raises:
        InputError: the folder exists.
    """
    if folder.exists():
        raise InputError(f"{folder}: exists; a release is never changed, give a new folder by --out")
