"""Synthetic windows as plain tables for people who do not read HDF5."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pulseveil.core.atomic import atomic_path
from pulseveil.core.contracts import SyntheticSet
from pulseveil.core.identity import require_no_formulas


def export_csv(path: Path, synthetic: SyntheticSet) -> None:
    """Write one row a second: subject, window, second, the channels, condition.

    Where the set holds several folds, a column `fold` comes first. `window` counts from 0 within a subject,
    `second` is the time since the window's start, `condition` is the code: 0 baseline (of two classes: not
    stress), 1 stress, 2 amusement. Values are in the windows' units.
    """
    table = _table(synthetic)
    require_no_formulas(table, path)
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")


def _table(synthetic: SyntheticSet) -> pd.DataFrame:
    n, time, channels = synthetic.windows.shape
    second = np.arange(time) / synthetic.rate_hz
    if np.array_equal(second, second.astype(int)):
        second = second.astype(int)
    columns = {
        "subject": np.repeat(synthetic.subject, time),
        "window": np.repeat(_number_within(synthetic), time),
        "second": np.tile(second, n),
    }
    values = synthetic.windows.reshape(n * time, channels)
    columns |= {name: values[:, i] for i, name in enumerate(synthetic.channels)}
    columns["condition"] = np.repeat(synthetic.condition, time)
    if len(np.unique(synthetic.fold)) > 1:
        columns = {"fold": np.repeat(synthetic.fold, time)} | columns
    return pd.DataFrame(columns)


def _number_within(synthetic: SyntheticSet) -> np.ndarray:
    """The how-manieth window of its fold and subject each row is, from 0."""
    rows = pd.DataFrame({"fold": synthetic.fold, "subject": synthetic.subject})
    return rows.groupby(["fold", "subject"]).cumcount().to_numpy()
