"""Main table in the terminal, and comparison of two studies."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pulseveil.core.tables import as_numbers, levels, read_table
from pulseveil.detectors import BASELINE, MODEL
from pulseveil.privacy.statement import UNIT_NAMES
from pulseveil.summary import labels, main_columns, printing
from pulseveil.summary.column import Column
from pulseveil.summary.results import CELL, NO_GENERATOR
from pulseveil.windows.signals import ALL_SIGNALS

WIDTH = 100
_GAP = 2
# Limits of intervals with two decimals: a row must fit into WIDTH.
_LIMIT_DIGITS = 2
# Left out in this order until a block fits; of two literature rules the one with three statistics stays.
_DISPENSABLE = ("auroc", "f1", "published_accuracy", f"accuracy_minus_{BASELINE}", main_columns.VERDICTS[0])


def terminal_summary(main: pd.DataFrame, files: Iterable[Path], note: str = "") -> RenderableType:
    """Main table for the terminal: one block per evaluation, at most `WIDTH` characters wide; then `files`.

    `note`: note of the study, printed first. Models have their names in the study file. Columns that do not
    fit are left out, `_DISPENSABLE` in this order.
    """
    rows = printing.readable_rows(main)
    groups = [(str(name), of.reset_index(drop=True)) for name, of in rows.groupby("evaluation", sort=False)]
    blocks = [_block(_fitting(_columns(of)), _title(name, of)) for name, of in groups]
    promised = [Text("\n".join(found), style="bold"), Text()] if (found := claims(rows)) else []
    notes = Text("\n".join(_notes(rows)), style="dim")
    listed = Text("\n".join(["", *(str(path) for path in files)]), no_wrap=True, overflow="ignore")
    spaced = [part for block in blocks for part in (block, Text())]
    first = [Text(note, style="bold yellow"), Text()] if note else []
    return Group(*first, *spaced, *promised, notes, listed)


def _columns(rows: pd.DataFrame) -> pd.DataFrame:
    """Texts of the columns for the terminal, by key."""
    return pd.DataFrame({key: _texts(rows, printing.MAIN[key]) for key in _shown(rows)})


def _shown(rows: pd.DataFrame) -> Iterator[str]:
    constant = _constant_axes(rows)
    for key in main_columns.TERMINAL:
        if key in constant or (key in main_columns.VERDICTS and not printing.is_private(rows)):
            continue
        if key == f"accuracy_minus_{BASELINE}" or printing.is_shown(rows, printing.MAIN[key]):
            yield key


def _constant_axes(rows: pd.DataFrame) -> dict[str, str]:
    """Shown axes on which the models of a block are equal, by key, with their level: the title says them."""
    models = rows[rows["role"] == MODEL]
    found = {key: models[key].unique() for key in printing.shown_axes(rows)}
    return {key: labels.level(levels[0]) for key, levels in found.items() if len(levels) == 1}


def _texts(rows: pd.DataFrame, column: Column) -> pd.Series[str]:
    # A blank in place of the mark keeps right-aligned numbers in line.
    if column.key in main_columns.VERDICTS:
        return printing.verdict_column(rows, column.key, _LIMIT_DIGITS, unmarked=" ")
    found = printing.texts(rows, column, _LIMIT_DIGITS, unmarked=" ")
    of_models = column.form == "axis" or column.key == "generator"
    return found.where(rows["role"] == MODEL, "") if of_models else found


def _fitting(texts: pd.DataFrame) -> pd.DataFrame:
    for key in _DISPENSABLE:
        widths = [max(len(_heading(str(c))), int(texts[c].str.len().max())) for c in texts]
        if sum(widths) + _GAP * (len(widths) - 1) <= WIDTH:
            break
        texts = texts.drop(columns=key, errors="ignore")
    return texts


def _heading(key: str) -> str:
    return printing.MAIN[key].short or key


def _title(name: str, members: pd.DataFrame) -> Text:
    first = members.iloc[0]
    seeds, subjects, windows = first["n_seeds"], first["n_subjects"], first["n_windows"]
    title = Text(name, style="bold")
    levels = "".join(f", {_heading(key)} {level}" for key, level in _constant_axes(members).items())
    title.append(f"  {subjects} subjects, {windows} windows, {seeds} seeds{levels}", style="dim")
    if (members["generator_saw_test_subject"] == "yes").any():
        title.append("  generator saw the test subject", style="yellow")
    return title


def _block(texts: pd.DataFrame, title: Text) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, _GAP - 1, 0, 0),
    )
    for key in texts:
        # Names alone may take several lines.
        if key in ("detector", "generator"):
            table.add_column(_heading(str(key)), overflow="fold")
        else:
            table.add_column(_heading(str(key)), no_wrap=True, justify="right")
    for row in texts.itertuples(index=False):
        marked = any(str(text).endswith(printing.NOT_BETTER) for text in row)
        table.add_row(*map(str, row), style="dim" if marked else None)
    return table


def _notes(rows: pd.DataFrame) -> list[str]:
    notes = ["Means and intervals are over subjects, for the models as trained. main.csv has all columns."]
    if (rows[f"better_than_{BASELINE}"] == "no").any():
        notes.append(
            f"{printing.NOT_BETTER} accuracy not shown to be better than always answering 'no stress': p is "
            "above 0.05, or the row is worse."
        )
    if printing.is_private(rows):
        notes.append(
            "shown: whether the row beats the rules that use no private data; few seeds: too few noise draws "
            "to say so. ε: of generator and detector together; audit ≥: what attacks found at least."
        )
    if printing.decided_by_two(rows, main_columns.TERMINAL):
        notes.append(f"{printing.TWO_PEOPLE} two people decide: without them the claim would be another.")
    return notes


def claims(rows: pd.DataFrame) -> list[str]:
    """What the private rows of a main table promise, in plain English; empty if no row has secret noise.

    One sentence per unit, one on rows that are not shown to use the recordings, one on rows without a budget.
    """
    if not printing.is_private(rows):
        return []
    private = rows[(rows["secret"] == "yes") & (rows["role"] == MODEL)]
    sentences = []
    for (unit, delta), members in private.groupby(["unit", "delta"]):
        epsilons = dict.fromkeys(map(labels.epsilon, levels(members["epsilon_pld"])))
        sentences.append(
            f"Private (ε {', '.join(epsilons)}): whatever anybody learns from one of these models is at "
            f"most e^ε times as likely with the recordings of {UNIT_NAMES[str(unit)]} as without them, "
            f"except with probability about {delta:g}."
        )
    shown = private["shows_use_of_private_data"] == "yes"
    if not shown.all():
        sentences.append(
            f"Private rows not shown to use the recordings: {(~shown).sum()} of {len(private)} (rules that "
            "learn from nobody may be as good, or there are too few noise draws to tell)."
        )
    if len(private):
        sentences.append("Rows without ε have no budget: nothing protects the people behind them.")
    return sentences


METRICS = ("accuracy", "f1", "macro_f1", "auroc")


def read_main_table(path: Path) -> pd.DataFrame:
    """Read a main.csv of `summarize`.

    Raises:
        InputError: the file or a column is missing, or a cell that must be a number is not.
    """
    cure = "expected a main.csv of this version: run the study's target `tables` first"
    # A model of a study may be named NA or null, which pandas would take for missing.
    needed = (*CELL, "role", "n_subjects", *METRICS)
    table = read_table(path, needed, cure, keep_default_na=False, na_values=[""])
    return as_numbers(table, ("epsilon_generator", "epsilon_detector", "noise"), path)


def compare_tables(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """One row per cell of either table: cells in the order of `first`, then cells of `second` alone.

    For each metric m: `m_first` and `m_second` with intervals, and `m_change`, second minus first. The change
    is not a paired difference and has no interval: studies can have different subjects and windows.
    """
    values = ["n_subjects", "n_windows", *(f"{m}{part}" for m in METRICS for part in ("", "_low", "_high"))]
    keys = [*CELL, "role"]
    joined = first[keys + values].merge(
        second[keys + values], on=keys, how="outer", suffixes=("_first", "_second"), sort=False
    )
    # An outer merge does not keep the order of rows.
    order = pd.concat([first[keys], second[keys]]).drop_duplicates()
    joined = order.merge(joined, on=keys, how="left")
    changes = {f"{m}_change": joined[f"{m}_second"] - joined[f"{m}_first"] for m in METRICS}
    return joined.assign(**changes)


def terminal_comparison(compared: pd.DataFrame, names: tuple[str, str]) -> RenderableType:
    """Accuracy and stress F1 of both studies: one row per model cell, and each rule once per evaluation."""
    # Rules have equal rows at all levels of an axis.
    rule = compared["role"] != MODEL
    rows = compared[~(rule & compared.duplicated(["evaluation", "detector"]))]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    # Names alone may take several lines.
    for name in ("evaluation", "model"):
        table.add_column(name, overflow="fold")
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
    note = "Change: second minus first, not paired: the studies may have different subjects and windows."
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
    words += [str(row["signals"])] if row["signals"] != ALL_SIGNALS else []
    return ", ".join(words)
