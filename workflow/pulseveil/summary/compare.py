"""Two studies side by side: the same cells of their main tables."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pulseveil.detectors import MODEL
from pulseveil.summary import labels
from pulseveil.summary.cells import NO_GENERATOR
from pulseveil.summary.collect import CELL
from pulseveil.tables import as_numbers, read_table

METRICS = ("accuracy", "f1", "macro_f1", "auroc")


def read_main_table(path: Path) -> pd.DataFrame:
    """A main.csv of `summarize`; raises InputError when the file or a column is missing."""
    cure = "expected a main.csv of this version: run the study's target `tables` first"
    columns = (*CELL, "role", "n_subjects", *METRICS)
    table = read_table(path, columns, cure, keep_default_na=False, na_values=[""])
    return as_numbers(table, ("epsilon_generator", "epsilon_detector", "noise"), path)


def compare_tables(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """One row a cell of either table, the order of `first`, then what only `second` has.

    For each metric: `m_first` and `m_second` with intervals, and `m_change`, second minus first. The studies
    can differ in subjects and windows, so the change is no paired difference and has no interval.
    """
    columns = ["n_subjects", "n_windows", *(f"{m}{part}" for m in METRICS for part in ("", "_low", "_high"))]
    keys = [*CELL, "role"]
    joined = first[keys + columns].merge(
        second[keys + columns], on=keys, how="outer", suffixes=("_first", "_second"), sort=False
    )
    order = pd.concat([first[keys], second[keys]]).drop_duplicates()
    joined = order.merge(joined, on=keys, how="left")
    changes = {f"{m}_change": joined[f"{m}_second"] - joined[f"{m}_first"] for m in METRICS}
    return joined.assign(**changes)


def terminal_comparison(compared: pd.DataFrame, names: tuple[str, str]) -> RenderableType:
    """Accuracy and stress F1 of both studies, one row a cell that is not a repeated rule."""
    rule = compared["role"] != MODEL
    rows = compared[~(rule & compared.duplicated(["evaluation", "detector"]))]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("evaluation", "model"):
        table.add_column(name, no_wrap=True)
    for metric in ("accuracy", "F1"):
        for name in (*names, "change"):
            table.add_column(f"{metric}\n{name}", justify="right")
    for row in rows.to_dict("records"):
        numbers = [
            (labels.signed if part == "change" else labels.number)(float(row[f"{metric}_{part}"]))
            for metric in ("accuracy", "f1")
            for part in ("first", "second", "change")
        ]
        table.add_row(labels.evaluation(str(row["evaluation"])), _model(row), *numbers)
    note = "Change: second minus first; the studies may differ in subjects and windows, so it is not paired."
    return Group(table, Text(note, style="dim"))


def _model(row: Mapping[Hashable, Any]) -> str:
    words = [str(row["detector"])]
    if row["role"] != MODEL:
        return words[0]
    if row["generator"] != NO_GENERATOR:
        words.append(f"{row['generator']} x {row['subjects']}")
    for key, sign in (("epsilon_generator", "ε gen"), ("epsilon_detector", "ε det")):
        value = float(str(row[key]))
        words += [f"{sign} {labels.level(value)}"] if np.isfinite(value) else []
    noise = float(str(row["noise"]))
    words += [f"noise {labels.level(noise)}"] if noise else []
    return ", ".join(words)
