"""Tables of quality measures of synthetic windows, each measure beside its floor."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from pulseveil.core.tables import in_order, read_table
from pulseveil.quality.measures import TITLES
from pulseveil.summary import columns, labels
from pulseveil.summary.column import in_declared_order, keys_of, titled
from pulseveil.summary.description import StudyDescription

_CELL = keys_of(columns.GENERATOR_CELL)
_KEYS = keys_of(columns.QUALITY_KEYS)
_VALUES = ["value", "low", "high", "floor", "floor_low", "floor_high", "held_out"]


def quality_table(paths: Iterable[Path], description: StudyDescription) -> pd.DataFrame:
    """Quality table of a study: one row per generator cell, measure, signal and condition.

    Rows are over the folds and seeds (`models`) of all quality files: `value`, `floor` and `held_out` are
    means, `lowest` and `highest` the range of `value`, `floor_low` and `floor_high` the range over all
    halvings. Without files the table is empty.

    Raises:
        InputError: a file is not a quality table.
    """
    parts = [_read(path) for path in paths]
    if not parts:
        return pd.DataFrame(columns=keys_of(columns.QUALITY))
    # Unsorted: measures keep the order of `measure`.
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
    table = in_order(table.reset_index(), _CELL).reset_index(drop=True)
    table["public_cohorts"] = [description.public_cohorts(name) for name in table["generator"]]
    return in_declared_order(table, columns.QUALITY)


def printed_quality(table: pd.DataFrame, description: StudyDescription) -> pd.DataFrame:
    """The quality table for print, all cells text: one row per generator, one column per measure.

    A cell is `value (floor)`. Measures of single signals and conditions are averaged over signals and
    conditions. Measures without a title come last, under their own names.
    """
    means = table.groupby([*_CELL, "measure"], sort=False)[["value", "floor"]].mean().reset_index()
    means["text"] = [_with_floor(*pair) for pair in means[["value", "floor"]].to_numpy(float).tolist()]
    wide = means.pivot_table(index=_CELL, columns="measure", values="text", aggfunc="first", sort=False)
    shown = sorted(wide.columns, key=lambda name: [*TITLES, name].index(name))
    wide = wide[shown].rename(columns=TITLES).reset_index()
    wide["generator"] = wide["generator"].map(description.generator_title)
    wide["epsilon_generator"] = wide["epsilon_generator"].map(labels.level)
    wide = titled(wide, columns.GENERATOR_CELL)
    return wide.fillna("").rename_axis(columns=None)


def _with_floor(value: float, floor: float) -> str:
    return f"{labels.number(value)} ({labels.number(floor) or 'no floor'})"


def _read(path: Path) -> pd.DataFrame:
    return read_table(Path(path), (*_KEYS, *_VALUES), "rerun assess_quality")
