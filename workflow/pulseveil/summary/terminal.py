"""The main table in a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pulseveil.detectors import BASELINE, MODEL
from pulseveil.summary import labels, views
from pulseveil.summary.cells import NO_GENERATOR

WIDTH = 110
_GAP = 2
_LIMIT_DIGITS = 2
_SHORT_AXES = {"epsilon_generator": "ε gen", "epsilon_detector": "ε det", "subjects": "syn"}
_DISPENSABLE = ("AUROC", "stress F1 [95 %]", "published")


def terminal_summary(main: pd.DataFrame, files: Iterable[Path], note: str = "") -> RenderableType:
    """The main columns of the table, one block an evaluation, within `WIDTH` columns; then the files.

    `note`: of the study, printed first.

    Names are those of the study file; an evaluation with many axes leaves out columns that do not fit.
    """
    rows = views.readable_rows(main)
    blocks = [
        _block(_fitting(_columns(members.reset_index(drop=True))), _title(str(name), members))
        for name, members in rows.groupby("evaluation", sort=False)
    ]
    notes = Text("\n".join(_notes(rows)), style="dim")
    listed = Text("\n".join(["", *(str(path) for path in files)]), no_wrap=True, overflow="ignore")
    spaced = [part for block in blocks for part in (block, Text())]
    first = [Text(note, style="bold yellow"), Text()] if note else []
    return Group(*first, *spaced, notes, listed)


def _columns(rows: pd.DataFrame) -> pd.DataFrame:
    rule = rows["role"] != MODEL
    columns = {"detector": rows["detector"]}
    if (rows["generator"] != NO_GENERATOR).any():
        columns["generator"] = rows["generator"].where(~rule, "")
    for axis in views.shown_axes(rows):
        columns[_SHORT_AXES.get(axis, axis)] = rows[axis].map(labels.level).where(~rule, "")
    columns["accuracy [95 %]"] = views.marked_accuracy(rows, _LIMIT_DIGITS, unmarked=" ")
    columns["stress F1 [95 %]"] = views.interval_column(rows, "f1", _LIMIT_DIGITS)
    columns["AUROC"] = rows["auroc"].map(labels.number)
    columns[f"vs {labels.evaluation(BASELINE)}"] = views.difference_column(rows, BASELINE)
    if views.has_published(rows):
        columns["published"] = rows["published_accuracy"].map(labels.number)
    return pd.DataFrame(columns)


def _fitting(columns: pd.DataFrame) -> pd.DataFrame:
    for name in _DISPENSABLE:
        widths = [max(len(str(c)), int(columns[c].str.len().max())) for c in columns]
        if sum(widths) + _GAP * (len(widths) - 1) <= WIDTH:
            break
        columns = columns.drop(columns=name, errors="ignore")
    return columns


def _title(name: str, members: pd.DataFrame) -> Text:
    first = members.iloc[0]
    seeds, subjects, windows = first["n_seeds"], first["n_subjects"], first["n_windows"]
    title = Text(name, style="bold")
    title.append(f"  {subjects} subjects, {windows} windows, {seeds} seeds", style="dim")
    if (members["generator_saw_test_subject"] == "yes").any():
        title.append("  generator saw the test subject", style="yellow")
    return title


def _block(columns: pd.DataFrame, title: Text) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, _GAP - 1, 0, 0),
    )
    for name in columns:
        is_text = name in ("detector", "generator")
        table.add_column(str(name), no_wrap=True, justify="left" if is_text else "right")
    for row in columns.itertuples(index=False):
        marked = any(str(text).endswith(views.NOT_BETTER) for text in row)
        table.add_row(*map(str, row), style="dim" if marked else None)
    return table


def _notes(rows: pd.DataFrame) -> list[str]:
    notes = [
        "Means over subjects; intervals over subjects, for the models as trained. main.csv has all columns."
    ]
    if (rows[f"better_than_{BASELINE}"] == "no").any():
        notes.append(f"{views.NOT_BETTER} accuracy not shown to be better than always answering 'no stress'.")
    return notes
