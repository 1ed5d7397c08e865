"""Comparison with the published results: one verdict per published cell, with its reason."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulseveil.core import registry
from pulseveil.core.tables import as_numbers, in_order, read_table
from pulseveil.summary import columns, labels, printing
from pulseveil.summary.column import in_declared_order, keys_of, title_of
from pulseveil.summary.description import ModelDescription, StudyDescription
from pulseveil.summary.results import CELL, NO_GENERATOR
from pulseveil.windows.signals import ALL_SIGNALS

# 380 of the 530 published detector windows are not stress.
MAJORITY_SHARE = 0.717
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
    "poor_ratio",
)
MATCH = keys_of(columns.REPRODUCTION_KEYS)


def read_published(path: Path) -> pd.DataFrame:
    """Read the published results, one row per cell.

    Raises:
        InputError: the file or a column is missing, or a cell that must be a number is not.
    """
    rows = read_table(path, _COLUMNS, "restore config/published.csv", comment="#")
    return as_numbers(rows, ("epsilon_generator", "epsilon_detector", "noise"), path)


def published_values(
    keys: pd.DataFrame, description: StudyDescription, published: pd.DataFrame
) -> pd.DataFrame:
    """Published values of each cell of `keys`; NaN or empty if no published cell has the same keys.

    Columns: published_scenario, published_accuracy, published_accuracy_sd, published_f1 (over both outputs of
    the network), published_f1_sd, published_poor_ratio, published_equals_majority ("yes", "no" or "").
    """
    wanted = as_published(keys, description)
    # validate: a repeated row of the published file would otherwise repeat rows of our table.
    found = wanted.merge(published, on=MATCH, how="left", validate="many_to_one")
    accuracy = found["accuracy_mean"].to_numpy()
    return pd.DataFrame(
        {
            "published_scenario": np.where(np.isnan(accuracy), "", found["scenario"].fillna("")),
            "published_accuracy": accuracy,
            "published_accuracy_sd": found["accuracy_sd_runs"],
            "published_f1": found["f1_mean"],
            "published_f1_sd": found["f1_sd_runs"],
            "published_poor_ratio": found["poor_ratio"],
            "published_equals_majority": equals_majority(found["accuracy_mean"]),
        },
        index=keys.index,
    )


def as_published(keys: pd.DataFrame, description: StudyDescription) -> pd.DataFrame:
    """Cells of this study under the keys `MATCH` of the published cells.

    `scenario` is None for a cell that repeats no published scenario. The published table names kinds: if a
    study has several models of a kind, the model with the kind's name is compared, or else the first one.
    """
    wanted = keys[list(CELL)].copy()
    generators = {NO_GENERATOR: NO_GENERATOR, **_by_kind(description.generators)}
    wanted["generator"] = wanted["generator"].map(generators)
    wanted["detector"] = wanted["detector"].map(_by_kind(description.detectors))
    for name in ("train", "test"):
        wanted[name] = [getattr(description.evaluations[e], name) for e in wanted["evaluation"]]
    wanted["scenario"] = [description.repeats_published(e) for e in wanted["evaluation"]]
    stands_for_none = wanted[["generator", "detector"]].isna().any(axis=1)
    # The published detectors read all signals.
    wanted.loc[stands_for_none | (wanted["signals"] != ALL_SIGNALS), "scenario"] = None
    # The published table has epsilon inf and 0 synthetic subjects in rows without a generator.
    real = wanted["generator"] == NO_GENERATOR
    wanted.loc[real, "epsilon_generator"] = np.inf
    wanted.loc[real, "subjects"] = 0
    return wanted


def _by_kind(models: Mapping[str, ModelDescription]) -> dict[str, str]:
    """Model name to kind, for one model of each kind."""
    chosen: dict[str, str] = {}
    for name, model in models.items():
        if name == model.kind or model.kind not in chosen:
            chosen[model.kind] = name
    return {name: kind for kind, name in chosen.items()}


def equals_majority(accuracy: pd.Series[float]) -> NDArray[np.str_]:
    """Whether each published accuracy is the share of windows without stress: "yes", "no", or "" for NaN.

    Examples:
        >>> equals_majority(pd.Series([0.717, 0.8812, np.nan])).tolist()
        ['yes', 'no', '']
    """
    # Published accuracies have four decimals.
    equal = np.where(np.isclose(accuracy, MAJORITY_SHARE, atol=5e-5, rtol=0), "yes", "no")
    return np.where(np.isnan(accuracy), "", equal)


Verdict = Literal["reproduced", "not reproduced", "not defined", "not run"]

# Two published cells of one setting differ by .018 (scenarios 2 and 3: TSTR, CNN-LSTM, 15 subjects, cGAN).
# A smaller tolerance would ask for more agreement than the published study has with itself.
TOLERANCE = 0.02
PEOPLE = 15
_OURS = ["accuracy", "accuracy_low", "accuracy_high", "n_seeds", "n_subjects", "poor_ratio"]
_OURS_IS = "ours is "
_AXES = ("generator", "detector", "epsilon_generator", "epsilon_detector", "subjects", "noise")
_MARKDOWN = (*_AXES, "published", "ours", "seeds", "difference", "verdict")
_CONSTANT = "the published value is the share of windows without stress: never answering 'stress' reaches it"
_ONE_CLASS = "the published detectors were trained on windows without stress only, which ours cannot repeat"
_GENERATOR = "the published generator was trained without noise: epsilon is not a guarantee; ours has noise"
_DETECTOR = "the published noise fits neither sensitivity nor sampling of its training: epsilon is another"
_COMPOSED = "the published epsilon counts one of two private parts"


def reproduction_table(
    main: pd.DataFrame, description: StudyDescription, published: pd.DataFrame
) -> pd.DataFrame:
    """One row per published cell, with the value of this study if it has the cell.

    Columns: `columns.REPRODUCTION`; low and high are the 95 % interval over subjects of this study.
    """
    ours = as_published(main, description)[MATCH].join(main[_OURS])
    # Published budgets protect a window: private cells at unit subject answer another question.
    private = np.isfinite(main["epsilon_generator"]) | np.isfinite(main["epsilon_detector"])
    beside = ours["scenario"].notna() & (~private | (main["unit"] == "window"))
    # Several evaluations may repeat one published cell: the first one of the study is compared.
    found = published.rename(columns={"poor_ratio": "published_poor_ratio"}).merge(
        ours[beside].drop_duplicates(MATCH), on=MATCH, how="left", validate="one_to_one"
    )
    table = found[MATCH].assign(
        published=found["accuracy_mean"],
        ours=found["accuracy"],
        low=found["accuracy_low"],
        high=found["accuracy_high"],
        # Int64 has missing values: cells that this study does not have stay empty, not 15.0.
        seeds=found["n_seeds"].astype("Int64"),
        people=found["n_subjects"].astype("Int64"),
        difference=found["accuracy"] - found["accuracy_mean"],
        poor_ratio=found["poor_ratio"],
        published_poor_ratio=found["published_poor_ratio"],
        equals_majority=equals_majority(found["accuracy_mean"]),
    )
    rows = table.assign(classes=found["classes"]).to_dict("records")
    judged = pd.DataFrame([_judge(row) for row in rows], columns=["verdict", "reason"])
    table = in_order(table.join(judged), MATCH).reset_index(drop=True)
    return in_declared_order(table, columns.REPRODUCTION)


def reproduction_page(table: pd.DataFrame, description: StudyDescription) -> str:
    """The reproduction table as one HTML page: counts of verdicts, then one section per scenario."""
    values = page_values(table, description)
    return printing.render(
        "reproduction.html.jinja", study=description.study, note=description.note, **values
    )


def markdown(path: Path) -> str:
    """A table `tables/reproduction.csv` for the documentation: one table per scenario.

    Axes on which all cells of a scenario are equal are left out. Letters stand for reasons, which are listed
    below all tables.

    Raises:
        InputError: the file or a column is missing.
    """
    rows = read_table(path, keys_of(columns.REPRODUCTION), "summarize the study again")
    table = as_numbers(rows, ("epsilon_generator", "epsilon_detector", "noise"), path)
    table = table.fillna({"reason": "", "equals_majority": ""})
    letters: dict[str, str] = {}
    parts = []
    for name, own in table.groupby("scenario", sort=True):
        shown = pd.DataFrame(_printed(own))[list(map(_page_title, _MARKDOWN))]
        shown.insert(len(shown.columns), "reasons", [_letters(text, letters) for text in own["reason"]])
        shown = shown.drop(columns=list(_equal_axes(shown)))
        lines = [[*shown.columns], ["---"] * len(shown.columns), *shown.to_numpy().tolist()]
        parts.append(f"### {name}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines))
    reasons = "\n".join(f"- {letter}: {text}" for text, letter in letters.items())
    return "\n\n".join([*parts, f"### Reasons\n\n{reasons}"]) + "\n"


def _letters(reason: str, letters: dict[str, str]) -> str:
    """Letters of the parts of a reason; a part without a letter gets the next one in `letters`."""
    # The difference stands in a column of its own.
    parts = [part for part in reason.split("; ") if part and not part.startswith(_OURS_IS)]
    return " ".join(letters.setdefault(part, ascii_lowercase[len(letters)]) for part in parts)


def _page_title(key: str) -> str:
    return title_of(key, columns.REPRODUCTION)


def page_values(table: pd.DataFrame, description: StudyDescription) -> dict[str, Any]:
    """Values for the templates that show the reproduction table."""
    return {
        "seeds": _seeds(table, description.seeds),
        "tolerance": TOLERANCE,
        "counts": table["verdict"].value_counts().to_dict(),
        "scenarios": [_scenario(str(name), rows) for name, rows in table.groupby("scenario", sort=True)],
    }


def _seeds(table: pd.DataFrame, asked: int) -> str:
    """Number of seeds behind the values of the table in words; `asked` if the study has none of the cells."""
    numbers = table["seeds"].dropna()
    least, most = (int(numbers.min()), int(numbers.max())) if len(numbers) else (asked, asked)
    if least < most:
        return f"{least} to {most} seeds (column seeds)"
    return f"{most} {'seed' if most == 1 else 'seeds'}"


def _scenario(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Name of a scenario, the axes on which all its cells are equal, and its rows by title without them."""
    shown = pd.DataFrame(_printed(rows))
    equal = _equal_axes(shown)
    return {
        "name": name,
        "equal": {axis: value for axis, value in equal.items() if value},
        "rows": shown.drop(columns=list(equal)).to_dict("records"),
    }


def _equal_axes(shown: pd.DataFrame) -> dict[str, str]:
    """Values of the axes on which all printed rows are equal, by title; none for a single row."""
    if len(shown) == 1:
        return {}
    axes = map(_page_title, _AXES)
    return {axis: shown[axis].iloc[0] for axis in axes if len(set(shown[axis])) == 1}


def _judge(row: Mapping[Hashable, Any]) -> tuple[Verdict, str]:
    """Verdict on a row, and its reason (may be empty)."""
    undefined = list(_undefined(row))
    if undefined:
        return "not defined", "; ".join(undefined)
    remark = _CONSTANT if row["equals_majority"] == "yes" else ""
    difference = row["difference"]
    if np.isnan(difference):
        return "not run", remark
    # A mean over fewer people is another quantity, near or far from the published one by chance.
    if row["people"] < PEOPLE:
        few = f"ours tested {row['people']} of the {PEOPLE} people"
        return "not run", f"{few}; {remark}" if remark else few
    if abs(difference) <= TOLERANCE:
        return "reproduced", remark
    side = "below" if difference < 0 else "above"
    reason = f"{_OURS_IS}{abs(difference):.3f} {side} the published value, more than {TOLERANCE}"
    return "not reproduced", f"{reason}; {remark}" if remark else reason


def _undefined(row: Mapping[Hashable, Any]) -> Iterable[str]:
    """Reasons for which a published cell does not define what it claims; none if it does."""
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
    """Rows of a scenario as text, by column title."""
    titles = [title_of(key, columns.REPRODUCTION) for key in columns.REPRODUCTION_PAGE]
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
            "seeds": _count(row["seeds"]),
            "people": _count(row["people"]),
            "difference": labels.signed(row["difference"]),
            "poor_ratio": labels.number(row["poor_ratio"]),
            "published_poor_ratio": labels.number(row["published_poor_ratio"]),
            "verdict": row["verdict"],
            "reason": row["reason"],
        }
        yield {title: texts[key] for title, key in zip(titles, columns.REPRODUCTION_PAGE, strict=True)}


def _count(number: Any) -> str:
    """A count as text; empty for a missing one. A table read from a file holds counts as floats."""
    return "" if pd.isna(number) else str(int(number))


def _title(group: Literal["generators", "detectors"], kind: str) -> str:
    """Title of the kind of a published model; empty for "none"."""
    return "" if kind == NO_GENERATOR else str(registry.load(group, kind).title)
