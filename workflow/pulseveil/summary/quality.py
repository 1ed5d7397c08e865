"""The quality of synthetic windows as tables: every measure beside its floor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from pulseveil.summary import labels
from pulseveil.tables import read_table

_CELL = ["cohort", "generator", "unit", "epsilon_generator"]
_KEYS = [*_CELL, "measure", "signal", "condition"]
_VALUES = ["value", "low", "high", "floor", "floor_low", "floor_high", "held_out"]
COLUMNS = (*_KEYS, "models", "value", "lowest", "highest", "floor", "floor_low", "floor_high", "held_out")

# How a reader's table names the measures; arrows say which way is better.
_MEASURES: Mapping[str, str] = {
    "two_sample_1nn": "1-NN accuracy → ½",
    "two_sample_logistic": "Logistic accuracy → ½",
    "discriminative": "Discriminative score ↓",
    "predictive_mae": "Predictive MAE ↓",
    "mmd2": "MMD² ↓",
    "precision": "Precision ↑",
    "density": "Density ↑",
    "recall": "Recall ↑",
    "coverage": "Coverage ↑",
    "nearest_real": "Nearest real window",
    "nearest_synthetic": "Nearest synthetic window ↓",
    "correlation_distance": "Correlations ↓",
    "wasserstein": "Wasserstein ↓",
    "ks": "KS ↓",
    "spectrum_db": "Spectra, dB ↓",
}


def quality_table(paths: Iterable[Path]) -> pd.DataFrame:
    """One row a generator cell and number, over the folds and seeds (`models`) of all quality files.

    `value`, `floor` and `held_out` are means, `lowest` and `highest` the range of `value`, `floor_low` and
    `floor_high` that of all halvings. Without files the table has its columns only. Raises InputError for a
    file that is no quality table.
    """
    parts = [_read(path) for path in paths]
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    found = pd.concat(parts, ignore_index=True).groupby(_KEYS, sort=False)
    table = found.agg(
        models=("value", "size"),
        value=("value", "mean"),
        lowest=("value", "min"),
        highest=("value", "max"),
        floor=("floor", "mean"),
        floor_low=("floor_low", "min"),
        floor_high=("floor_high", "max"),
        held_out=("held_out", "mean"),
    )
    return table.reset_index()[list(COLUMNS)]


def printed_quality(table: pd.DataFrame) -> pd.DataFrame:
    """The quality table for readers, all cells text: a row a generator, a column a measure, `value (floor)`.

    Measures of single signals and conditions are means over these.
    """
    means = table.groupby([*_CELL, "measure"], sort=False)[["value", "floor"]].mean().reset_index()
    means["text"] = [_with_floor(*pair) for pair in means[["value", "floor"]].to_numpy(float).tolist()]
    wide = means.pivot_table(index=_CELL, columns="measure", values="text", aggfunc="first", sort=False)
    shown = [name for name in _MEASURES if name in wide]
    wide = wide[shown].rename(columns=_MEASURES).reset_index()
    wide["generator"] = wide["generator"].map(labels.model)
    wide["epsilon_generator"] = wide["epsilon_generator"].map(labels.level)
    wide = wide.rename(columns={**labels.AXES, "cohort": "Cohort", "generator": "Generator"})
    return wide.fillna("").rename_axis(columns=None)


def _with_floor(value: float, floor: float) -> str:
    return f"{labels.number(value)} ({labels.number(floor) or 'no floor'})"


def _read(path: Path) -> pd.DataFrame:
    return read_table(Path(path), (*_KEYS, *_VALUES), "rerun assess_quality")
