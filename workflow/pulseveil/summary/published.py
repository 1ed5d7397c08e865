"""The published results, and row by row what repeats them: reproduced or not, not defined, not run."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulseveil.core import registry
from pulseveil.core.tables import as_numbers, read_table
from pulseveil.summary import columns, labels, printing
from pulseveil.summary.description import ModelDescription, StudyDescription
from pulseveil.summary.results import CELL, NO_GENERATOR

MAJORITY_SHARE = 0.717  # 380 of the 530 published detector windows are not stress
_COLUMNS = (
    "scenario",
    "train",
    "test",
    "detector",
    "generator",
    "epsilon_generator",
    "epsilon_detector",
    "subjects",
    "noise",
    "classes",
    "runs",
    "accuracy_mean",
    "f1_mean",
    "accuracy_sd_runs",
    "f1_sd_runs",
)
MATCH = columns.keys(columns.REPRODUCTION_KEYS)


def read_published(path: Path) -> pd.DataFrame:
    """The published results, one row a cell; raises InputError when the file or a column is missing."""
    rows = read_table(path, _COLUMNS, "restore config/published.csv", comment="#")
    return as_numbers(rows, ("epsilon_generator", "epsilon_detector", "noise"), path)


def published_values(
    keys: pd.DataFrame, description: StudyDescription, published: pd.DataFrame
) -> pd.DataFrame:
    """The published values of each cell, one row a cell of `keys`; empty where none was published.

    Columns: published_scenario, published_accuracy, published_accuracy_sd, published_f1 (the published
    two-column F1), published_f1_sd, published_equals_majority ("yes", "no" or "").
    """
    wanted = as_published(keys, description)
    found = wanted.merge(published, on=MATCH, how="left", validate="many_to_one")
    accuracy = found["accuracy_mean"].to_numpy()
    return pd.DataFrame(
        {
            "published_scenario": np.where(np.isnan(accuracy), "", found["scenario"].fillna("")),
            "published_accuracy": accuracy,
            "published_accuracy_sd": found["accuracy_sd_runs"],
            "published_f1": found["f1_mean"],
            "published_f1_sd": found["f1_sd_runs"],
            "published_equals_majority": equals_majority(found["accuracy_mean"]),
        },
        index=keys.index,
    )


def as_published(keys: pd.DataFrame, description: StudyDescription) -> pd.DataFrame:
    """Our cells under the keys `MATCH` of the published ones; `scenario` is None where none is repeated.

    Published models are kinds: of several of a kind in a study, the one that is named like it or else the
    first stands for it.
    """
    wanted = keys[list(CELL)].copy()
    generators = {NO_GENERATOR: NO_GENERATOR, **_by_kind(description.generators)}
    wanted["generator"] = wanted["generator"].map(generators)
    wanted["detector"] = wanted["detector"].map(_by_kind(description.detectors))
    for name in ("train", "test"):
        wanted[name] = [getattr(description.evaluations[e], name) for e in wanted["evaluation"]]
    wanted["scenario"] = [description.repeats_published(e) for e in wanted["evaluation"]]
    stands_for_none = wanted[["generator", "detector"]].isna().any(axis=1)
    wanted.loc[stands_for_none, "scenario"] = None
    real = wanted["generator"] == NO_GENERATOR
    wanted.loc[real, "epsilon_generator"] = np.inf
    wanted.loc[real, "subjects"] = 0
    return wanted


def _by_kind(models: Mapping[str, ModelDescription]) -> dict[str, str]:
    """The kind that each model stands for; models that stand for none are left out."""
    chosen: dict[str, str] = {}
    for name, model in models.items():
        if name == model.kind or model.kind not in chosen:
            chosen[model.kind] = name
    return {name: kind for kind, name in chosen.items()}


def equals_majority(accuracy: pd.Series[float]) -> NDArray[np.str_]:
    """Whether a published accuracy is the share of windows without stress: "yes", "no", or "" without one."""
    equal = np.where(np.isclose(accuracy, MAJORITY_SHARE, atol=5e-5, rtol=0), "yes", "no")
    return np.where(np.isnan(accuracy), "", equal)


Verdict = Literal["reproduced", "not reproduced", "not defined", "not run"]

# Two published cells of one setting differ by .018 (scenarios 2 and 3: TSTR, CNN-LSTM, 15 subjects, cGAN):
# none can come nearer to the study than it comes to itself.
TOLERANCE = 0.02
PEOPLE = 15
_OURS = ["accuracy", "accuracy_low", "accuracy_high", "n_seeds", "n_subjects"]
_CONSTANT = "the published value is the share of windows without stress, which never answering 'stress' gives"
_ONE_CLASS = "the published detectors saw windows without stress only: no task that ours could repeat"
_GENERATOR = "the published generator was given no noise, so its epsilon is no guarantee; ours is noised"
_DETECTOR = "the published noise fits neither the sensitivity nor the draws of its training: another epsilon"
_COMPOSED = "the published epsilon is that of one part of two"


def reproduction_table(
    main: pd.DataFrame, description: StudyDescription, published: pd.DataFrame
) -> pd.DataFrame:
    """One row a published cell, with our value where this study has it.

    Columns: those of `MATCH`, published, ours, low, high (our 95 % interval over subjects), seeds, people,
    difference, verdict, equals_majority, reason.

    Published budgets protect a window: of our private cells, those of unit window stand beside them.
    """
    ours = as_published(main, description)[MATCH].join(main[_OURS])
    private = np.isfinite(main["epsilon_generator"]) | np.isfinite(main["epsilon_detector"])
    beside = ours["scenario"].notna() & (~private | (main["unit"] == "window"))
    found = published.merge(ours[beside].drop_duplicates(MATCH), on=MATCH, how="left", validate="one_to_one")
    table = found[MATCH].assign(
        published=found["accuracy_mean"],
        ours=found["accuracy"],
        low=found["accuracy_low"],
        high=found["accuracy_high"],
        seeds=found["n_seeds"].astype("Int64"),
        people=found["n_subjects"].astype("Int64"),
        difference=found["accuracy"] - found["accuracy_mean"],
        equals_majority=equals_majority(found["accuracy_mean"]),
    )
    rows = table.assign(classes=found["classes"]).to_dict("records")
    judged = pd.DataFrame([_judge(row) for row in rows], columns=["verdict", "reason"])
    return columns.in_order(table.join(judged), columns.REPRODUCTION)


def reproduction_page(table: pd.DataFrame, description: StudyDescription) -> str:
    """The table as one HTML page: counts first, then a section a scenario."""
    values = page_values(table, description)
    return printing.render(
        "reproduction.html.jinja", study=description.study, note=description.note, **values
    )


def page_values(table: pd.DataFrame, description: StudyDescription) -> dict[str, Any]:
    """What the templates of the table need."""
    return {
        "seeds": description.seeds,
        "tolerance": TOLERANCE,
        "counts": table["verdict"].value_counts().to_dict(),
        "scenarios": [(name, list(_printed(rows))) for name, rows in table.groupby("scenario", sort=True)],
    }


def _judge(row: Mapping[Hashable, Any]) -> tuple[Verdict, str]:
    """The verdict on a row and its reason."""
    undefined = list(_undefined(row))
    if undefined:
        return "not defined", "; ".join(undefined)
    told = _CONSTANT if row["equals_majority"] == "yes" else ""
    difference = row["difference"]
    if np.isnan(difference):
        return "not run", told
    if row["people"] < PEOPLE:
        few = f"ours tested {row['people']} of the {PEOPLE} people"
        return "not run", f"{few}; {told}" if told else few
    if abs(difference) <= TOLERANCE:
        return "reproduced", told
    way = "below" if difference < 0 else "above"
    reason = f"ours is {abs(difference):.3f} {way} the published value, more than {TOLERANCE}"
    return "not reproduced", f"{reason}; {told}" if told else reason


def _undefined(row: Mapping[Hashable, Any]) -> Iterable[str]:
    """Why a published cell claims something that it does not define."""
    generator, detector = row["epsilon_generator"], row["epsilon_detector"]
    if row["classes"] == 1:
        yield _ONE_CLASS
    if np.isfinite(generator):
        yield _GENERATOR
    if np.isfinite(detector):
        yield _DETECTOR
    if np.isfinite(generator) and np.isfinite(detector):
        yield _COMPOSED


def _printed(rows: pd.DataFrame) -> Iterable[dict[str, str]]:
    """The rows of a scenario as text."""
    titles = [columns.title(key, columns.REPRODUCTION) for key in columns.REPRODUCTION_PAGE]
    for row in rows.to_dict("records"):
        synthetic = row["generator"] != NO_GENERATOR
        texts = {
            "generator": _title("generators", row["generator"]),
            "detector": _title("detectors", row["detector"]),
            "epsilon_generator": labels.level(row["epsilon_generator"]) if synthetic else "",
            "epsilon_detector": labels.level(row["epsilon_detector"]),
            "subjects": str(row["subjects"]) if synthetic else "",
            "noise": labels.level(row["noise"]),
            "published": labels.number(row["published"]) + (" =" if row["equals_majority"] == "yes" else ""),
            "ours": labels.with_interval(row["ours"], row["low"], row["high"]),
            "seeds": "" if pd.isna(row["seeds"]) else str(row["seeds"]),
            "people": "" if pd.isna(row["people"]) else str(row["people"]),
            "difference": labels.signed(row["difference"]),
            "verdict": row["verdict"],
            "reason": row["reason"],
        }
        yield {title: texts[key] for title, key in zip(titles, columns.REPRODUCTION_PAGE, strict=True)}


def _title(group: Literal["generators", "detectors"], kind: str) -> str:
    """The reader's name of a published model, by its kind; empty where none is used."""
    return "" if kind == NO_GENERATOR else str(registry.load(group, kind).title)
