"""Tables as files: CSV at full precision, LaTeX and HTML as people read them. Same table, same bytes."""

from __future__ import annotations

from html import escape as html_escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pulseveil.atomic import atomic_path
from pulseveil.naming import number_label, require_no_formulas
from pulseveil.summary import labels
from pulseveil.summary.views import NOT_BETTER

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
    labels.MINUS: "$-$",
    "∞": r"$\infty$",
    "ε": r"$\varepsilon$",
    "<": "$<$",
    ">": "$>$",
    NOT_BETTER: r"$^\dagger$",
}

_ROW_STYLES: Any = [
    {"selector": "td.first", "props": "border-top: 1px solid #999;"},
    {"selector": "td.marked", "props": "color: #777;"},
]


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV: numbers so that they read back as the same float, epsilons as in file names."""
    spelled = table.copy()
    for column in spelled.columns:
        if column.removeprefix("reference_") in _NUMBER_KEYS:
            spelled[column] = [number_label(value) for value in spelled[column]]
    require_no_formulas(spelled, path)
    with atomic_path(path) as temporary:
        spelled.to_csv(temporary, index=False, lineterminator="\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def latex(printed: pd.DataFrame, caption: str, label: str) -> str:
    """A printed table as a LaTeX table with booktabs rules (needs the packages booktabs and graphicx)."""
    escaped = printed.map(_escape).rename(columns=_escape)
    text_columns = sum(name in printed for name in ("Evaluation", "Generator", "Detector"))
    tabular = escaped.style.hide(axis="index").to_latex(
        hrules=True, column_format="l" * text_columns + "r" * (printed.shape[1] - text_columns)
    )
    return (
        "\\begin{table}\n"
        f"\\caption{{{_escape(caption)}}}\n\\label{{{label}}}\n"
        f"\\resizebox{{\\textwidth}}{{!}}{{%\n{tabular}}}\n"
        "\\end{table}\n"
    )


def html(printed: pd.DataFrame, name: str, caption: str = "") -> str:
    """A printed table as an HTML fragment; marked rows are grey, the first row of a block has a rule."""
    block = printed[printed.columns[0]]
    starts = np.where(block != block.shift(), "first", "")
    marked = printed.map(lambda cell: str(cell).endswith(NOT_BETTER)).any(axis=1)
    classes = pd.Series(np.char.add(starts, np.where(marked, " marked", "")), index=printed.index)
    styler = printed.style.hide(axis="index").set_uuid(name).format(escape="html")
    styler = styler.set_td_classes(pd.DataFrame(dict.fromkeys(printed.columns, classes)))
    styler = styler.set_table_styles(_ROW_STYLES).set_table_attributes('class="printed"')
    if caption:
        styler = styler.set_caption(html_escape(caption))
    return styler.to_html(cell_ids=False)


def _escape(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
