"""Tables and pages as people read them: fewer columns, rounded numbers, marks; CSV, LaTeX, HTML.

CSV files have full precision. The same table gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape as html_escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from pulseveil.core.atomic import atomic_path
from pulseveil.core.identity import number_label, require_no_formulas
from pulseveil.detectors import BASELINE, COMPARED, MODEL, Role
from pulseveil.summary import labels
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.results import NO_GENERATOR

NOT_BETTER = "†"


def readable_rows(main: pd.DataFrame) -> pd.DataFrame:
    """The rows that readers need: each rule once an evaluation, since it sees no sensor data."""
    repeated = main[main["role"] != MODEL].duplicated(["evaluation", "detector"])
    kept = main.drop(index=repeated[repeated].index)
    return kept.reset_index(drop=True)


def shown_axes(main: pd.DataFrame) -> list[str]:
    """The axes on which models of the study differ, or are private."""
    models = main[main["role"] == MODEL]
    synthetic = models[models["generator"] != NO_GENERATOR]
    frames = {"epsilon_generator": synthetic, "subjects": synthetic}
    shown = []
    for axis in labels.AXES:
        values = frames.get(axis, models)[axis]
        private = axis.startswith("epsilon") and bool(np.isfinite(values).any())
        if len(values.unique()) > 1 or private:
            shown.append(axis)
    return shown


def printed_table(main: pd.DataFrame, description: StudyDescription) -> pd.DataFrame:
    """The main table for print and screen, one row a readable row, all cells text."""
    rows = readable_rows(main)
    columns = dict(_key_columns(rows, description))
    columns["Seeds"] = rows["n_seeds"].astype(str)
    columns["Subjects"] = rows["n_subjects"].astype(str)
    columns["Windows"] = rows["n_windows"].astype(str)
    columns["Accuracy [95 %]"] = marked_accuracy(rows)
    columns["SD seeds"] = rows["accuracy_sd_seeds"].map(labels.number)
    columns["SD subjects"] = rows["accuracy_sd_subjects"].map(labels.number)
    columns["Pooled accuracy"] = rows["accuracy_pooled"].map(labels.number)
    columns["Stress F1 [95 %]"] = interval_column(rows, "f1")
    for metric in ("macro_f1", "auroc", "f1_published"):
        columns[labels.METRICS[metric]] = rows[metric].map(labels.number)
    for role in COMPARED:
        if rows[f"accuracy_minus_{role}"].notna().any():
            columns[f"{labels.MINUS} {labels.evaluation(role)}"] = difference_column(rows, role)
    if is_private(rows):
        columns |= dict(_privacy_columns(rows))
    if (rows["generator_saw_test_subject"] != "").any():
        columns["Generator saw test subject"] = rows["generator_saw_test_subject"]
    if has_published(rows):
        columns |= dict(_published_columns(rows))
    return pd.DataFrame(columns)


def marked_accuracy(rows: pd.DataFrame, digits: int = 3, unmarked: str = "") -> pd.Series[str]:
    """Accuracy with interval, and the mark of rows that are not better than the baseline."""
    marks = rows[f"better_than_{BASELINE}"].map({"no": NOT_BETTER}).fillna(unmarked)
    return interval_column(rows, "accuracy", digits) + marks


def interval_column(rows: pd.DataFrame, metric: str, digits: int = 3) -> pd.Series[str]:
    """A metric with its interval."""
    values = rows[[metric, f"{metric}_low", f"{metric}_high"]].to_numpy(float).tolist()
    return pd.Series([labels.with_interval(m, low, high, digits) for m, low, high in values], dtype=str)


def difference_column(rows: pd.DataFrame, role: Role) -> pd.Series[str]:
    """Accuracy minus that of a role's rule, with its p; empty where not compared."""
    name = f"accuracy_minus_{role}"
    values = rows[[name, f"{name}_p"]].to_numpy(float).tolist()
    texts = [f"{labels.signed(d)} {labels.p_value(p)}" if p == p else "" for d, p in values]
    return pd.Series(texts, dtype=str)


def has_published(rows: pd.DataFrame) -> bool:
    """Whether any row has a published value beside it."""
    return "published_accuracy" in rows and bool(rows["published_accuracy"].notna().any())


def is_private(rows: pd.DataFrame) -> bool:
    """Whether any row has a ledger."""
    return "epsilon_pld" in rows and bool(rows["epsilon_pld"].notna().any())


def _privacy_columns(rows: pd.DataFrame) -> Iterator[tuple[str, pd.Series[str]]]:
    for name, title in labels.EPSILONS.items():
        if rows[name].notna().any():
            yield title, rows[name].map(labels.epsilon)
    if "audited_part" in rows and rows["audit_epsilon_low"].notna().any():
        yield "Audited part", rows["audited_part"].fillna("")
    yield "Secret noise", rows["secret"]
    if (rows["shows_use_of_private_data"] != "").any():
        yield "Shows use of private data", rows["shows_use_of_private_data"]


def _key_columns(rows: pd.DataFrame, description: StudyDescription) -> Iterator[tuple[str, pd.Series[str]]]:
    yield "Evaluation", rows["evaluation"].map(labels.evaluation)
    rule = rows["role"] != MODEL
    if (rows["generator"] != NO_GENERATOR).any():
        yield "Generator", rows["generator"].map(description.generator_title).where(~rule, "")
    yield "Detector", rows["detector"].map(description.detector_title)
    for axis in shown_axes(rows):
        of_generator = axis in ("epsilon_generator", "subjects")
        blank = rule | (of_generator & (rows["generator"] == NO_GENERATOR))
        yield labels.AXES[axis], rows[axis].map(labels.level).where(~blank, "")


def _published_columns(rows: pd.DataFrame) -> Iterator[tuple[str, pd.Series[str]]]:
    equal = rows["published_equals_majority"].map({"yes": " ="}).fillna("")
    yield "Published accuracy", rows["published_accuracy"].map(labels.number) + equal
    yield f"{labels.MINUS} published", rows["accuracy_minus_published"].map(labels.signed)


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


def render(template: str, **values: Any) -> str:
    """A template of `pulseveil.summary` with its values, escaped; raises UndefinedError for one left out."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)


def _source(template: str) -> str:
    return files("pulseveil.summary").joinpath(template).read_text(encoding="utf-8")
