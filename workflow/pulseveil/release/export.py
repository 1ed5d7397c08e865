"""Export of synthetic windows as CSV, Parquet and HDF5."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from pulseveil.core import store
from pulseveil.core.atomic import atomic_path
from pulseveil.core.contracts import SyntheticSet
from pulseveil.core.identity import require_no_formulas

# Endings of the files: CSV and Parquet have one row per second, HDF5 holds a `SyntheticSet`.
Form = Literal["csv", "parquet", "h5"]


def data_set(synthetic: SyntheticSet, form: Form, *, cell_hash: str = "") -> bytes:
    """The bytes of a file with synthetic windows; equal windows give equal bytes.

    `cell_hash`: stored in HDF5.

    Raises:
        InputError: a text in a CSV would be a formula in a spreadsheet.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"data.{form}"
        match form:
            case "csv":
                export_csv(path, synthetic)
            case "parquet":
                export_parquet(path, synthetic)
            case "h5":
                store.write_record(path, synthetic, cell_hash=cell_hash)
        return path.read_bytes()


def export_csv(path: Path, synthetic: SyntheticSet) -> None:
    """Write synthetic windows as CSV, one row per second: subject, window, second, channels, condition.

    `window`: index within the subject, from 0. `second`: time since the start of the window. `condition`:
    0 baseline (not stress, if there are two classes), 1 stress, 2 amusement. Channels have the units of the
    windows. A set of several folds has a first column `fold`.

    Raises:
        InputError: a text in the table would be a formula in a spreadsheet.
    """
    rows = table(synthetic)
    require_no_formulas(rows, path)
    with atomic_path(path) as temporary:
        rows.to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")


def export_parquet(path: Path, synthetic: SyntheticSet) -> None:
    """Write synthetic windows as Parquet, in the rows and columns of `export_csv` and without rounding."""
    with atomic_path(path) as temporary:
        table(synthetic).to_parquet(temporary, engine="pyarrow", index=False)


def table(synthetic: SyntheticSet) -> pd.DataFrame:
    """The rows and columns that `export_csv` writes, with channels as float32."""
    n, time, channels = synthetic.windows.shape
    second = np.arange(time) / synthetic.rate_hz
    if np.array_equal(second, second.astype(int)):
        second = second.astype(int)
    columns = {
        "subject": np.repeat(synthetic.subject, time),
        "window": np.repeat(_index_within(synthetic), time),
        "second": np.tile(second, n),
    }
    values = synthetic.windows.reshape(n * time, channels)
    columns |= {name: values[:, i] for i, name in enumerate(synthetic.channels)}
    columns["condition"] = np.repeat(synthetic.condition, time)
    # Subjects of several folds share names: each fold has its own SYN0001.
    if len(np.unique(synthetic.fold)) > 1:
        columns = {"fold": np.repeat(synthetic.fold, time)} | columns
    return pd.DataFrame(columns)


def _index_within(synthetic: SyntheticSet) -> np.ndarray:
    """Index of each row's window within its fold and subject, from 0: (n) int64."""
    rows = pd.DataFrame({"fold": synthetic.fold, "subject": synthetic.subject})
    return rows.groupby(["fold", "subject"]).cumcount().to_numpy()
