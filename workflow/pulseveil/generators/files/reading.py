"""Windows in files of other tools: CSV, Parquet, NPY, and HDF5 exports of PulseVeil."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulseveil.core import store
from pulseveil.core.contracts import CONDITIONS, SyntheticSet
from pulseveil.core.errors import InputError
from pulseveil.core.tables import as_numbers, read_table

_CONDITION = "condition"
# Columns that separate two windows, as far as a table has them.
_OF_WINDOW = ("fold", "subject", "window")


def read_windows(
    path: Path, named: Mapping[str, str], seconds: int, channels: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Windows (n, seconds, channels) float32 of a file, and their condition (n): the most frequent one.

    named: the file's names for channels and other columns, where they differ.

    Raises:
        InputError: the file cannot be read, or its windows have another form, missing values or unknown
            conditions.
    """
    match path.suffix:
        case ".h5":
            windows, codes = _of_record(path, channels)
        case ".npy":
            windows, codes = _of_array(path, channels)
        case _:
            windows, codes = _of_table(path, named, seconds, channels)
    if windows.shape[1:] != (seconds, len(channels)):
        raise InputError(
            f"{path}: expected windows of {seconds} s and {len(channels)} channels, found "
            f"{windows.shape[1]} s and {windows.shape[2]} channels"
        )
    if not np.isfinite(windows).all():
        window = int(np.flatnonzero(~np.isfinite(windows).all(axis=(1, 2)))[0])
        raise InputError(f"{path}: window {window} has a value that is no finite number")
    unknown = codes[~np.isin(codes, range(len(CONDITIONS)))]
    if len(unknown):
        listed = ", ".join(f"{code} ({name})" for code, name in enumerate(CONDITIONS))
        raise InputError(f"{path}: expected the conditions {listed}, found {unknown.flat[0]:g}")
    counts = np.stack([(codes == code).sum(axis=1) for code in range(len(CONDITIONS))], axis=1)
    return windows.astype(np.float32), counts.argmax(axis=1).astype(np.int8)


Read = tuple[NDArray[Any], NDArray[Any]]


def _of_record(path: Path, channels: Sequence[str]) -> Read:
    """Windows and conditions (n, 1) of an HDF5 export of PulseVeil."""
    record = store.read_record(path, SyntheticSet)
    if record.channels != tuple(channels):
        raise InputError(
            f"{path}: expected the channels {' '.join(channels)}, found {' '.join(record.channels)}"
        )
    return record.windows, record.condition[:, np.newaxis]


def _of_array(path: Path, channels: Sequence[str]) -> Read:
    """Windows (n, time, channels) and conditions (n, time), which are the last channel of the array."""
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not an array of numbers ({error})") from None
    if values.ndim != 3 or values.shape[2] != len(channels) + 1 or values.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: expected numbers (windows, seconds, {len(channels)} channels and the condition), found "
            f"{values.dtype} {values.shape}"
        )
    return values[:, :, :-1], values[:, :, -1]


def _of_table(path: Path, named: Mapping[str, str], seconds: int, channels: Sequence[str]) -> Read:
    """Windows and conditions (n, seconds) of a table with one row per second."""
    known = (*channels, *_OF_WINDOW, _CONDITION)
    if unknown := set(named) - set(known):
        raise InputError(f"columns: expected names for {', '.join(known)}, found {min(unknown)}")
    wanted = [named.get(name, name) for name in (*channels, _CONDITION)]
    table = _read(path, wanted)
    if not len(table) or len(table) % seconds:
        raise InputError(
            f"{path}: expected whole windows of {seconds} rows, one per second, found {len(table)} rows"
        )
    # A border between two windows that is not a multiple of a window's length: rows are missing.
    borders = np.zeros(len(table), bool)
    for name in (named.get(name, name) for name in _OF_WINDOW):
        if name in table:
            values = table[name].to_numpy()
            borders[1:] |= values[1:] != values[:-1]
    odd = np.flatnonzero(borders & (np.arange(len(table)) % seconds != 0))
    if len(odd):
        raise InputError(f"{path}: row {odd[0] + 2}: a window ends after other than {seconds} rows")
    numbers = as_numbers(table, wanted, path)[wanted].to_numpy()
    shaped = numbers.reshape(-1, seconds, len(wanted))
    return shaped[:, :, :-1], shaped[:, :, -1]


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    cure = "name its columns by `columns`"
    if path.suffix == ".csv":
        return read_table(path, columns, cure)
    try:
        table: pd.DataFrame = pd.read_parquet(path)
    except Exception as error:  # pandas raises many types of errors, depending on the damage
        raise InputError(f"{path}: not a table ({error})") from None
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing; {cure}")
    return table
