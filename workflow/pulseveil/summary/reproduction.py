"""Row by row against the published study: reproduced, not reproduced, not defined, or not run."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from pulseveil import registry
from pulseveil.summary import labels, pages
from pulseveil.summary.cells import NO_GENERATOR
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.published import MATCH, as_published, equals_majority

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
    return table.join(judged)


def reproduction_page(table: pd.DataFrame, description: StudyDescription) -> str:
    """The table as one HTML page: counts first, then a section a scenario."""
    values = page_values(table, description)
    return pages.render("reproduction.html.jinja", study=description.study, note=description.note, **values)


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
    for row in rows.to_dict("records"):
        yield {
            "generator": _title("generators", row["generator"]),
            "detector": _title("detectors", row["detector"]),
            "ε generator": labels.level(row["epsilon_generator"]) if row["generator"] != NO_GENERATOR else "",
            "ε detector": labels.level(row["epsilon_detector"]),
            "subjects": str(row["subjects"]) if row["generator"] != NO_GENERATOR else "",
            "noise": labels.level(row["noise"]),
            "published": labels.number(row["published"]) + (" =" if row["equals_majority"] == "yes" else ""),
            "ours [95 %]": labels.with_interval(row["ours"], row["low"], row["high"]),
            "seeds": "" if pd.isna(row["seeds"]) else str(row["seeds"]),
            "people": "" if pd.isna(row["people"]) else str(row["people"]),
            "difference": labels.signed(row["difference"]),
            "verdict": row["verdict"],
            "reason": row["reason"],
        }


def _title(group: Literal["generators", "detectors"], kind: str) -> str:
    """The reader's name of a published model, by its kind; empty where none is used."""
    return "" if kind == NO_GENERATOR else str(registry.load(group, kind).title)
