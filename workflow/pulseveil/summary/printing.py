"""Printed tables (fewer columns, rounded numbers, marks) and files of tables: CSV, LaTeX, HTML.

CSV files have full precision. The same table gives the same bytes.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from html import escape as html_escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from pulseveil.core.atomic import atomic_path
from pulseveil.core.identity import number_label, require_no_formulas
from pulseveil.detectors import BASELINE, MODEL
from pulseveil.summary import labels, main_columns
from pulseveil.summary.column import Column, by_key, keys_of
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.results import NO_GENERATOR

NOT_BETTER = "†"
TWO_PEOPLE = "‡"
MAIN = by_key(main_columns.MAIN)
_SPELLINGS: Mapping[str, Callable[[float], str]] = {
    "axis": labels.level,
    "number": labels.number,
    "signed": labels.signed,
    "epsilon": labels.epsilon,
}


def readable_rows(main: pd.DataFrame) -> pd.DataFrame:
    """Rows of the main table for print: models, and each rule once per evaluation.

    A rule does not depend on any axis, so its other rows repeat the first one.
    """
    repeated = main[main["role"] != MODEL].duplicated(["evaluation", "detector"])
    kept = main.drop(index=repeated[repeated].index)
    return kept.reset_index(drop=True)


def shown_axes(main: pd.DataFrame) -> list[str]:
    """Axes to print: those on which models of the study differ, and the epsilons of private models."""
    models = main[main["role"] == MODEL]
    # A model trained on real data has no generator: its infinite epsilon and 0 subjects are not levels.
    synthetic = models[models["generator"] != NO_GENERATOR]
    frames = {"epsilon_generator": synthetic, "subjects": synthetic}
    shown = []
    for axis in keys_of(main_columns.AXES):
        values = frames.get(axis, models)[axis]
        private = axis.startswith("epsilon") and bool(np.isfinite(values).any())
        if len(values.unique()) > 1 or private:
            shown.append(axis)
    return shown


def printed_table(
    main: pd.DataFrame, description: StudyDescription, shown: Iterable[str] = main_columns.PRINTED
) -> pd.DataFrame:
    """The main table for print: columns `shown` that apply, rows `readable_rows`, all cells text."""
    rows = readable_rows(main)
    declared = [MAIN[key] for key in shown]
    return pd.DataFrame(
        {column.heading: _printed(rows, column, description) for column in declared if is_shown(rows, column)}
    )


def is_shown(rows: pd.DataFrame, column: Column) -> bool:
    """Whether a column is printed: whether it applies to any of these rows."""
    if column.key == "generator":
        return bool((rows["generator"] != NO_GENERATOR).any())
    if column.form == "axis":
        return column.key in shown_axes(rows)
    if column.key not in rows:
        return False
    if column.key in main_columns.OF_PRIVATE and not is_private(rows):
        return False
    if not column.optional:
        return True
    return bool((rows[column.key].notna() & (rows[column.key] != "")).any())


def texts(rows: pd.DataFrame, column: Column, digits: int = 3, unmarked: str = "") -> pd.Series[str]:
    """A column of the main table as text, in its declared form.

    `unmarked`: what follows a text without a mark, so that columns align.
    """
    values = rows[column.key]
    match column.form:
        case "interval":
            return interval_column(rows, column.key, digits)
        case "marked":
            return marked_accuracy(rows, digits, unmarked)
        case "difference":
            return difference_column(rows, column.key, unmarked)
        case "text" if is_numeric_dtype(values):
            return values.map(labels.epsilon)
        case "name" | "text":
            return values.fillna("")
        case "count":
            return values.astype(str)
    return values.map(_SPELLINGS[column.form])


def _printed(rows: pd.DataFrame, column: Column, description: StudyDescription) -> pd.Series[str]:
    rule = rows["role"] != MODEL
    values = rows[column.key]
    match column.key:
        case "evaluation":
            return values.map(labels.evaluation)
        case "generator":
            return values.map(description.generator_title).where(~rule, "")
        case "detector":
            return values.map(description.detector_title)
        case "published_accuracy":
            equal = rows["published_equals_majority"].map({"yes": " ="}).fillna("")
            return texts(rows, column) + equal
    if column.form == "difference":
        return difference_with_interval(rows, column.key)
    if column.form == "axis":
        # A generator's epsilon of "inf" beside real data would read as a generator without privacy.
        of_generator = column.key in ("epsilon_generator", "subjects")
        blank = rule | (of_generator & (rows["generator"] == NO_GENERATOR))
        return texts(rows, column).where(~blank, "")
    return texts(rows, column)


def marked_accuracy(rows: pd.DataFrame, digits: int = 3, unmarked: str = "") -> pd.Series[str]:
    """Accuracy with interval; rows that are not better than the baseline end in `NOT_BETTER`."""
    marks = rows[f"better_than_{BASELINE}"].map({"no": NOT_BETTER}).fillna(unmarked)
    return interval_column(rows, "accuracy", digits) + marks


def interval_column(rows: pd.DataFrame, metric: str, digits: int = 3) -> pd.Series[str]:
    """A metric with its interval, as text."""
    values = rows[[metric, f"{metric}_low", f"{metric}_high"]].to_numpy(float).tolist()
    return pd.Series([labels.with_interval(m, low, high, digits) for m, low, high in values], dtype=str)


def difference_column(rows: pd.DataFrame, name: str, unmarked: str = "") -> pd.Series[str]:
    """A difference with its p value, as text; ends in `TWO_PEOPLE` where two people decide.

    Empty for rows that are not compared.
    """
    return rows[name].map(labels.signed) + _decision(rows, name, unmarked)


def difference_with_interval(rows: pd.DataFrame, name: str) -> pd.Series[str]:
    """A difference as in `difference_column`, with the interval that decides."""
    values = rows[[name, f"{name}_low", f"{name}_high"]].to_numpy(float).tolist()
    spelled = [labels.difference_with_interval(*limits) for limits in values]
    return pd.Series(spelled, dtype=str) + _decision(rows, name)


def verdict_column(rows: pd.DataFrame, name: str, digits: int, unmarked: str = "") -> pd.Series[str]:
    """A difference with the interval that decides, as text; ends in `TWO_PEOPLE` where two people decide."""
    values = rows[[name, f"{name}_low", f"{name}_high"]].to_numpy(float).tolist()
    spelled = [labels.difference_with_interval(mean, low, high, digits) for mean, low, high in values]
    marks = rows[f"{name}_two_people"].map({"yes": TWO_PEOPLE}).fillna(unmarked)
    return pd.Series(spelled, dtype=str) + marks.where(rows[name].notna(), "")


def _decision(rows: pd.DataFrame, name: str, unmarked: str = "") -> pd.Series[str]:
    """p values as text after a blank, and marks of two people; empty for rows without a p value."""
    marks = rows[f"{name}_two_people"].map({"yes": TWO_PEOPLE}).fillna(unmarked)
    p = rows[f"{name}_p"]
    return (" " + p.map(labels.p_value) + marks).where(p.notna(), "")


def decided_by_two(rows: pd.DataFrame, shown: Iterable[str]) -> bool:
    """Whether two people decide any difference among the columns `shown` of the main table."""
    marks = [f"{key}_two_people" for key in shown if MAIN[key].form == "difference"]
    return bool((rows[marks] == "yes").to_numpy().any())


def has_published(rows: pd.DataFrame) -> bool:
    """Whether any row repeats a published cell."""
    return "published_accuracy" in rows and bool(rows["published_accuracy"].notna().any())


def is_private(rows: pd.DataFrame) -> bool:
    """Whether any row has a ledger."""
    return "epsilon_pld" in rows and bool(rows["epsilon_pld"].notna().any())


# Characters of a line of a heading in LaTeX.
_HEADING = 13
_NUMBER_KEYS = ("epsilon_generator", "epsilon_detector", "noise")
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\N{NO-BREAK SPACE}": "~",
    labels.MINUS: "$-$",
    "∞": r"$\infty$",
    "ε": r"$\varepsilon$",
    "<": "$<$",
    ">": "$>$",
    NOT_BETTER: r"$^\dagger$",
    TWO_PEOPLE: r"$^\ddagger$",
}

_ROW_STYLES: Any = [
    {"selector": "td.first", "props": "border-top: 1px solid #999;"},
    {"selector": "td.marked", "props": "color: #777;"},
]


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, atomically: floats read back as the same number, epsilons as in file names.

    Raises:
        InputError: a text in the table would be a formula in a spreadsheet.
    """
    spelled = table.copy()
    for column in spelled.columns:
        if column.removeprefix("reference_") in _NUMBER_KEYS:
            spelled[column] = [number_label(value) for value in spelled[column]]
    # Names in a study file end up in cells, and a spreadsheet would run a text that starts like a formula.
    require_no_formulas(spelled, path)
    with atomic_path(path) as temporary:
        # The default line ending is that of the platform: the same table must give the same bytes.
        spelled.to_csv(temporary, index=False, lineterminator="\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def latex(printed: pd.DataFrame, caption: str, label: str) -> str:
    """A printed table in LaTeX, as wide as the page; the document needs the package booktabs."""
    escaped = printed.map(_escape).rename(columns=_stacked)
    names = [column.heading for column in main_columns.CELL if column.form == "name"]
    text_columns = sum(name in printed for name in names)
    tabular = escaped.style.hide(axis="index").to_latex(
        hrules=True, column_format="l" * text_columns + "r" * (printed.shape[1] - text_columns)
    )
    # A name may hold characters that TeX would run.
    label = re.sub(r"[^\w:.-]+", "-", label)
    return (
        "\\begin{table*}\n\\centering\n\\footnotesize\n\\setlength{\\tabcolsep}{3pt}\n"
        f"\\caption{{{_escape(caption)}}}\n\\label{{{label}}}\n{tabular}"
        "\\end{table*}\n"
    )


def html(printed: pd.DataFrame, name: str, caption: str = "") -> str:
    """A printed table as an HTML fragment; marked rows are grey, a line parts the evaluations."""
    block = printed[printed.columns[0]]
    starts = np.where(block != block.shift(), "first", "")
    marked = printed.map(lambda cell: str(cell).endswith(NOT_BETTER)).any(axis=1)
    classes = pd.Series(np.char.add(starts, np.where(marked, " marked", "")), index=printed.index)
    # A fixed identifier: pandas would draw a random one, and equal tables would differ in their bytes.
    styler = printed.style.hide(axis="index").set_uuid(name).format(escape="html")
    styler = styler.set_td_classes(pd.DataFrame(dict.fromkeys(printed.columns, classes)))
    styler = styler.set_table_styles(_ROW_STYLES).set_table_attributes('class="printed"')
    if caption:
        styler = styler.set_caption(html_escape(caption))
    return styler.to_html(cell_ids=False)


def static_html(table: pd.DataFrame) -> str:
    """A table of texts as HTML without styles."""
    return table.to_html(index=False, border=0, classes="printed", justify="unset")


def _stacked(heading: str) -> str:
    """A heading in short lines; the empty group keeps a bracket from being an option of the line's end."""
    # A number and its unit stay on one line.
    lines = textwrap.wrap(heading.replace(" %", "\N{NO-BREAK SPACE}%"), _HEADING)
    return r"\shortstack{" + r"\\{}".join(map(_escape, lines)) + "}"


def _escape(text: str) -> str:
    # In one pass: a second replacement would escape the backslashes of the first one.
    return "".join(_LATEX.get(character, character) for character in text)


def render(template: str, **values: Any) -> str:
    """Render a template of `pulseveil.summary` with `values`, escaped for HTML.

    Raises:
        jinja2.UndefinedError: a value of the template is missing.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # A missing value must not become an empty line of a report.
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)


def _source(template: str) -> str:
    return files("pulseveil.summary").joinpath(template).read_text(encoding="utf-8")
