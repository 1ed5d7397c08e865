"""HDF5 files that stages pass to each other, written atomically, and the paths of their sidecars."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import h5py
import numpy as np
from numpy.typing import NDArray

from pulseveil.core import hdf5, limits
from pulseveil.core.arrays import Arrays
from pulseveil.core.atomic import atomic_path
from pulseveil.core.contracts import FeatureSet, Portrait, Rows, Scores, SyntheticSet, WindowSet
from pulseveil.core.errors import InputError

FORMAT_VERSION = 3
_FORMATS: Mapping[type[Any], tuple[str, str]] = {
    WindowSet: ("pulseveil-windows", "prepare_cohort"),
    SyntheticSet: ("pulseveil-synthetic", "synthesize"),
    FeatureSet: ("pulseveil-features", "extract_features"),
    Scores: ("pulseveil-scores", "train_detectors"),
    Portrait: ("pulseveil-portrait", "assess_quality"),
}
# Evaluated once: a summary reads thousands of files, and annotations are text.
_HINTS: Mapping[type[Any], Mapping[str, Any]] = {kind: get_type_hints(kind) for kind in _FORMATS}
Group = Literal["generators", "detectors"]
_MODEL_FORMATS: Mapping[Group, tuple[str, str]] = {
    "generators": ("pulseveil-models", "train_generator"),
    "detectors": ("pulseveil-detectors", "train_detectors"),
}
_LEDGER = "ledger"
# Newer layouts store the time of writing in groups, but equal content must give equal bytes.
_LAYOUT = "earliest"
_CHUNK_BYTES = 1 << 20

Record = TypeVar("Record", bound=Rows | Portrait)
_Opened = tuple[h5py.File, Mapping[str, h5py.Dataset]]
"""A file, and its arrays outside of groups by name."""


def write_record(path: Path, record: Rows | Portrait, *, cell_hash: str) -> None:
    """Write a record of `contracts`: arrays as root datasets, all other fields as attributes."""
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
    """Read a record of the class `kind`.

    Raises:
        InputError: the file is missing, damaged or of another format; the message names the stage to rerun.
    """
    return read_hashed_record(path, kind)[0]


def read_hashed_record(path: Path, kind: type[Record]) -> tuple[Record, str]:
    """Read a record of the class `kind`, and the `cell_hash` of its file.

    Raises:
        InputError: as in `read_record`.
    """
    expected, stage = _FORMATS[kind]
    hints = _HINTS[kind]
    with _open(path, expected, stage) as (file, arrays):
        values: dict[str, Any] = {}
        attributes = file.attrs
        for item in fields(kind):  # type: ignore[arg-type]
            if item.name in arrays:
                values[item.name] = hdf5.read(arrays[item.name])
            elif item.name in attributes:
                values[item.name] = _read_attribute(attributes[item.name], item.type)
            else:
                raise InputError(f"{path}: no field {item.name!r}; rerun {stage}")
            if problem := _type_fault(values[item.name], hints[item.name]):
                raise InputError(f"{path}: field {item.name!r} {problem}; rerun {stage}")
        record = kind(**values)
        if problem := _length_fault(record):
            raise InputError(f"{path}: {problem}; rerun {stage}")
        return record, str(attributes["cell_hash"])


def record_kind(path: Path) -> type[Rows | Portrait]:
    """The class of the record in a file, by its attribute `format`.

    Raises:
        InputError: the file is unreadable, or holds no record of `contracts`.
    """
    with _opened(path, "the stage that wrote it") as (file, _):
        found = file.attrs.get("format")
    for kind, (name, _) in _FORMATS.items():
        if name == found:
            return kind
    formats = ", ".join(name for name, _ in _FORMATS.values())
    raise InputError(f"{path}: expected one of the formats {formats}; found {found}")


def read_cell_hash(path: Path) -> str:
    """The `cell_hash` of any file that this module writes.

    Raises:
        InputError: the file is unreadable, or has no `cell_hash`.
    """
    with _opened(path, "the stage that wrote it") as (file, _):
        return str(file.attrs["cell_hash"])


@dataclass(frozen=True, eq=False)
class Models:
    """Trained models of one seed.

    arrays: weights by fold and name. description: JSON values that are needed to use the models. ledgers: by
    fold, the ledger entries of its private training, each as JSON; empty if no training is private.
    """

    arrays: Mapping[str, Arrays]
    description: Mapping[str, Any]
    ledgers: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)


def write_models(path: Path, models: Models, *, cell_hash: str, group: Group = "generators") -> None:
    """Write trained models: one HDF5 group per fold, and the ledgers in the group `ledger`.

    Examples:
        >>> import tempfile
        >>> models = Models({"S2": {"mean": np.zeros((60, 6), np.float32)}}, {"kind": "moments"})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "seed=0.h5"
        ...     write_models(path, models, cell_hash="4f2a")
        ...     print(read_models(path).arrays["S2"]["mean"].shape, read_cell_hash(path))
        (60, 6) 4f2a
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w", libver=_LAYOUT) as file:
        _write_attributes(file, {"format": _MODEL_FORMATS[group][0], "cell_hash": cell_hash})
        file.attrs["description"] = json.dumps(models.description, sort_keys=True)
        for fold, arrays in models.arrays.items():
            group = file.create_group(f"fold={fold}")
            for name, value in arrays.items():
                _write_array(group, name, np.asarray(value))
        ledgers = file.create_group(_LEDGER)
        for fold, entries in models.ledgers.items():
            _write_array(ledgers, fold, entries)


def read_models(path: Path, group: Group = "generators") -> Models:
    """Read the models that `write_models` wrote.

    Raises:
        InputError: the file is missing, damaged or of another format, such as that of the other group.
    """
    expected, stage = _MODEL_FORMATS[group]
    with _open(path, expected, stage) as (file, _):
        arrays = {
            group.removeprefix("fold="): {name: hdf5.read(data) for name, data in file[group].items()}
            for group in file
            if group != _LEDGER
        }
        ledgers = {fold: hdf5.read(entries) for fold, entries in file[_LEDGER].items()}
        description = json.loads(file.attrs["description"])
        if not isinstance(description, dict):
            raise InputError(f"{path}: its description is not a mapping; rerun {stage}")
        return Models(arrays, description, ledgers)


def sidecar_path(path: Path) -> Path:
    """Path of the sidecar with the provenance of `path`."""
    return path.with_name(path.name + ".provenance.json")


@contextmanager
def _open(path: Path, expected: str, stage: str) -> Iterator[_Opened]:
    """Open a file of the format `expected`; raises InputError, which names `stage`, for any other file."""
    if not path.exists():
        raise InputError(f"{path}: no such file; run {stage} to make it")
    with _opened(path, stage) as (file, arrays):
        attributes = file.attrs
        found = (attributes.get("format"), attributes.get("format_version"))
        if found != (expected, FORMAT_VERSION):
            raise InputError(
                f"{path}: expected format {expected} version {FORMAT_VERSION}, "
                f"found {found[0]} version {found[1]}; rerun {stage}"
            )
        yield file, arrays


@contextmanager
def _opened(path: Path, stage: str) -> Iterator[_Opened]:
    """Open any HDF5 file within the limits; all errors while it is read become an InputError."""
    limits.require_file(path, limits.ARRAYS_BYTES, f"an HDF5 file; rerun {stage}")
    try:
        file = h5py.File(path, "r")
    except Exception as error:
        raise InputError(f"{path}: not a readable HDF5 file ({error}); rerun {stage}") from None
    with file:
        try:
            yield file, hdf5.check(file)
        except InputError:
            raise
        except Exception as error:
            # The HDF5 library raises different errors for different damaged bytes.
            raise InputError(f"{path}: damaged file ({error}); rerun {stage}") from None


def _type_fault(value: Any, annotation: Any) -> str:
    """Description of the fault of a field's value; empty if the value has the annotated type."""
    if get_origin(annotation) is np.ndarray:
        wanted = np.dtype(get_args(get_args(annotation)[1])[0])
        found = getattr(value, "dtype", type(value).__name__)
        # The width of a text array depends on its longest text.
        alike = found == wanted or (wanted.kind == "U" and getattr(found, "kind", "") == "U")
        return "" if alike and value.ndim else f"holds {found}, expected {wanted} rows"
    wanted = get_origin(annotation) or annotation
    return "" if isinstance(value, wanted) else f"holds {value!r}, expected {wanted.__name__}"


def _length_fault(record: Rows | Portrait) -> str:
    """Description of columns with different numbers of rows; empty if all have the same."""
    rows = {name: len(getattr(record, name)) for name in getattr(record, "row_columns", ())}
    return f"columns of unequal length ({rows})" if len(set(rows.values())) > 1 else ""


def _write_attributes(file: h5py.File, values: Mapping[str, str]) -> None:
    file.attrs["format_version"] = FORMAT_VERSION
    for name, value in values.items():
        file.attrs[name] = value


def _write_array(group: h5py.Group, name: str, value: NDArray[Any]) -> None:
    if value.dtype.kind == "U":
        # Not in chunks: `hdf5` reads the lengths of texts at one offset in the file.
        group.create_dataset(name, data=value.astype(object), dtype=h5py.string_dtype())
    elif value.ndim == 0 or value.size == 0:  # HDF5 has no chunks for scalars and none of size 0.
        group.create_dataset(name, data=value)
    else:
        row_bytes = max(1, value.nbytes // len(value))
        rows = min(len(value), max(1, _CHUNK_BYTES // row_bytes))
        group.create_dataset(
            name, data=value, chunks=(rows, *value.shape[1:]), compression="gzip", compression_opts=4
        )


def _read_attribute(value: Any, annotation: Any) -> Any:
    # The annotation is text, because `contracts` postpones the evaluation of annotations.
    if "Mapping" in str(annotation):
        return json.loads(value)
    if isinstance(value, np.ndarray):
        return tuple(str(v) for v in value)
    return value.item() if isinstance(value, np.generic) else value
