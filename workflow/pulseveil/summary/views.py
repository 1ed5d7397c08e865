"""The main table as people read it: fewer columns, rounded numbers, marks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from pulseveil.detectors import BASELINE, COMPARED, MODEL, Role
from pulseveil.summary import labels
from pulseveil.summary.cells import NO_GENERATOR
from pulseveil.summary.description import StudyDescription

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
