"""The files between stages: HDF5 records and their sidecars, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from pulseveil.atomic import atomic_path
from pulseveil.contracts import FeatureSet, Portrait, Rows, Scores, SyntheticSet, WindowSet
from pulseveil.errors import InputError

FORMAT_VERSION = 3
_FORMATS: Mapping[type[Any], tuple[str, str]] = {
    WindowSet: ("pulseveil-windows", "prepare_cohort"),
    SyntheticSet: ("pulseveil-synthetic", "synthesize"),
    FeatureSet: ("pulseveil-features", "extract_features"),
    Scores: ("pulseveil-scores", "train_detectors"),
    Portrait: ("pulseveil-portrait", "assess_quality"),
}
_MODEL_FORMAT = "pulseveil-models"
_LEDGER = "ledger"
# Newer layouts stamp groups with the time of writing: equal content must give equal bytes.
_LAYOUT = "earliest"
_CHUNK_BYTES = 1 << 20

Record = TypeVar("Record", bound=Rows | Portrait)
Arrays = Mapping[str, NDArray[Any]]


def write_record(path: Path, record: Rows | Portrait, *, cell_hash: str) -> None:
    """Write a record of `contracts`: arrays as root datasets, all else as attributes."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver=_LAYOUT) as file:
        _write_attributes(file, {"format": _FORMATS[type(record)][0], "cell_hash": cell_hash})
        for item in fields(record):  # type: ignore[arg-type]
            value = getattr(record, item.name)
            if isinstance(value, np.ndarray):
                _write_array(file, item.name, value)
            elif isinstance(value, Mapping):
                file.attrs[item.name] = json.dumps(dict(value), sort_keys=True)
            else:
                file.attrs[item.name] = value


def read_record(path: Path, kind: type[Record]) -> Record:
    """Read a record back; raises InputError, naming the stage to rerun, when the file is of another kind."""
    expected, stage = _FORMATS[kind]
    with _open(path, expected, stage) as file:
        values: dict[str, Any] = {}
        for item in fields(kind):  # type: ignore[arg-type]
            if item.name in file:
                values[item.name] = _read_array(file[item.name])
            elif item.name in file.attrs:
                values[item.name] = _read_attribute(file.attrs[item.name], item.type)
            else:
                raise InputError(f"{path}: no field {item.name!r}; rerun {stage}")
    return kind(**values)


def record_kind(path: Path) -> type[Rows | Portrait]:
    """The class of the record in a file, by its `format`; raises InputError when it holds none."""
    try:
        with h5py.File(path, "r") as file:
            found = file.attrs.get("format")
    except OSError as error:
        raise InputError(f"{path}: not a readable HDF5 file ({error})") from None
    for kind, (name, _) in _FORMATS.items():
        if name == found:
            return kind
    formats = ", ".join(name for name, _ in _FORMATS.values())
    raise InputError(f"{path}: expected one of the formats {formats}; found {found}")


def read_cell_hash(path: Path) -> str:
    """The `cell_hash` of any file of this module."""
    with h5py.File(path, "r") as file:
        return str(file.attrs["cell_hash"])


@dataclass(frozen=True, eq=False)
class Models:
    """Trained models of one seed: arrays by fold, and what is needed to use them (JSON values).

    `ledgers`: the ledger entries of each fold's private training, each as JSON; empty where none is private.
    """

    arrays: Mapping[str, Arrays]
    description: Mapping[str, Any]
    ledgers: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)


def write_models(path: Path, models: Models, *, cell_hash: str) -> None:
    """Write trained models, one HDF5 group a fold, and their ledgers in the group `ledger`."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver=_LAYOUT) as file:
        _write_attributes(file, {"format": _MODEL_FORMAT, "cell_hash": cell_hash})
        file.attrs["description"] = json.dumps(models.description, sort_keys=True)
        for fold, arrays in models.arrays.items():
            group = file.create_group(f"fold={fold}")
            for name, value in arrays.items():
                _write_array(group, name, np.asarray(value))
        ledgers = file.create_group(_LEDGER)
        for fold, entries in models.ledgers.items():
            _write_array(ledgers, fold, entries)


def read_models(path: Path) -> Models:
    """The models of `write_models`; raises InputError when the file is of another kind."""
    with _open(path, _MODEL_FORMAT, "train_generator") as file:
        arrays = {
            group.removeprefix("fold="): {name: _read_array(data) for name, data in file[group].items()}
            for group in file
            if group != _LEDGER
        }
        ledgers = {fold: _read_array(entries) for fold, entries in file[_LEDGER].items()}
        return Models(arrays, json.loads(file.attrs["description"]), ledgers)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented, keys in the order given."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def sidecar_path(path: Path) -> Path:
    """Where the provenance of `path` lies."""
    return path.with_name(path.name + ".provenance.json")


@contextmanager
def _open(path: Path, expected: str, stage: str) -> Iterator[h5py.File]:
    if not path.exists():
        raise InputError(f"{path}: no such file; run {stage} to make it")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: not a readable HDF5 file ({error}); rerun {stage}") from None
    with file:
        try:
            found = (file.attrs.get("format"), file.attrs.get("format_version"))
            if found != (expected, FORMAT_VERSION):
                raise InputError(
                    f"{path}: expected format {expected} version {FORMAT_VERSION}, "
                    f"found {found[0]} version {found[1]}; rerun {stage}"
                )
            yield file
        except (OSError, RuntimeError, KeyError) as error:
            # What the HDF5 library raises depends on which byte is wrong.
            raise InputError(f"{path}: damaged file ({error}); rerun {stage}") from None


def _write_attributes(file: h5py.File, values: Mapping[str, str]) -> None:
    file.attrs["format_version"] = FORMAT_VERSION
    for name, value in values.items():
        file.attrs[name] = value


def _write_array(group: h5py.Group, name: str, value: NDArray[Any]) -> None:
    if value.dtype.kind == "U":
        group.create_dataset(name, data=value.astype(object), dtype=h5py.string_dtype())
    elif value.ndim == 0 or value.size == 0:
        group.create_dataset(name, data=value)
    else:
        row_bytes = max(1, value.nbytes // len(value))
        rows = min(len(value), max(1, _CHUNK_BYTES // row_bytes))
        group.create_dataset(
            name, data=value, chunks=(rows, *value.shape[1:]), compression="gzip", compression_opts=4
        )


def _read_array(data: h5py.Dataset) -> NDArray[Any]:
    if h5py.check_string_dtype(data.dtype):
        return np.asarray(data.asstr()[:], dtype=np.str_)
    return np.asarray(data[()])


def _read_attribute(value: Any, annotation: Any) -> Any:
    if "Mapping" in str(annotation):
        return json.loads(value)
    if isinstance(value, np.ndarray):
        return tuple(str(v) for v in value)
    return value.item() if isinstance(value, np.generic) else value
