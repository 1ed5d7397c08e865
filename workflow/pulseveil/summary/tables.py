"""The tables of a study: main table and per-subject table."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulseveil.detectors import BASELINE, COMPARED, LITERATURE, Role
from pulseveil.randomness import Stream
from pulseveil.summary.cells import HEADLINES, NO_GENERATOR, Cells
from pulseveil.summary.collect import CELL, Results
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.differences import paired_differences, rule_pairs
from pulseveil.summary.intervals import mean_intervals
from pulseveil.summary.published import published_values

FEW_SEEDS = "few seeds"


def main_table(
    results: Results,
    cells: Cells,
    description: StudyDescription,
    published: pd.DataFrame | None,
    stream: Stream,
) -> pd.DataFrame:
    """One row a cell, in table order.

    For each headline metric m: `m`, the mean over subjects of each seed, then over seeds; `m_sd_seeds`, SD of
    the seeds' means; `m_sd_subjects`, SD over subjects of their means over seeds; `m_low`, `m_high` and
    `m_interval`, the 95 % interval over subjects and its method; `m_undefined`, how many values of a subject
    and seed are undefined; `m_pooled`, the mean over seeds of the metric over all windows. Accuracy minus
    that of each compared role's rule follows, with interval and p, then the marks, then the published values.
    """
    parts = [cells.keys, _counts(results, cells.keys)]
    parts += [_metric_columns(results, cells, metric, stream) for metric in HEADLINES]
    parts += [_rule_columns(cells, description, role, stream) for role in COMPARED]
    table = pd.concat(parts, axis=1)
    table[f"better_than_{BASELINE}"] = _above_zero(table, BASELINE)
    table["generator_saw_test_subject"] = _saw_test_subject(cells.keys, description)
    if published is not None:
        table = table.join(published_values(cells.keys, description, published))
        table["accuracy_minus_published"] = table["accuracy"] - table["published_accuracy"]
        table["f1_published_minus_published"] = table["f1_published"] - table["published_f1"]
    return table


def use_of_private_data(table: pd.DataFrame) -> NDArray[np.str_]:
    """Whether each private row is shown to be better than the public signs, which see no private data.

    "few seeds" is where it would be, had its noise been drawn as often as `n_seeds_asked`; "" where a row is
    not private. `table`: the main table joined with the privacy table.
    """
    answers = _above_zero(table, LITERATURE)
    few = table["n_seeds"] < table["n_seeds_asked"]
    answers = np.where(few & (answers == "yes"), FEW_SEEDS, answers)
    return np.where(table["n_seeds_asked"].notna(), answers, "")


def _counts(results: Results, keys: pd.DataFrame) -> pd.DataFrame:
    per_cell = results.pooled.groupby(list(CELL)).agg(
        n_seeds=("seed", "nunique"), n_windows=("windows", "first")
    )
    per_cell["n_subjects"] = results.per_subject.groupby(list(CELL))["subject"].nunique()
    return _of_cells(per_cell, keys)[["n_seeds", "n_subjects", "n_windows"]]


def _metric_columns(results: Results, cells: Cells, metric: str, stream: Stream) -> pd.DataFrame:
    runs = results.per_subject.groupby([*CELL, "seed"])[metric]
    seeds = runs.mean().groupby(level=list(CELL))
    undefined = results.per_subject[metric].isna().groupby([results.per_subject[k] for k in CELL]).sum()
    over_seeds = _of_cells(
        pd.DataFrame(
            {
                "mean": seeds.mean(),
                "sd": seeds.std(ddof=1),
                "undefined": undefined,
                "pooled": results.pooled.groupby(list(CELL))[metric].mean(),
            }
        ),
        cells.keys,
    )
    interval = mean_intervals(cells.values[metric], stream)
    return pd.DataFrame(
        {
            metric: over_seeds["mean"],
            f"{metric}_sd_seeds": over_seeds["sd"],
            f"{metric}_sd_subjects": pd.DataFrame(cells.values[metric]).std(axis=1, ddof=1),
            f"{metric}_low": interval.low,
            f"{metric}_high": interval.high,
            f"{metric}_interval": interval.method,
            f"{metric}_undefined": over_seeds["undefined"],
            f"{metric}_pooled": over_seeds["pooled"],
        }
    )


def _rule_columns(cells: Cells, description: StudyDescription, role: Role, stream: Stream) -> pd.DataFrame:
    """Differences to a role's rule; of several in an evaluation, to the one that the study names first."""
    evaluation, detector = cells.keys["evaluation"], cells.keys["detector"]
    first = {name: description.rule(role, found) for name, found in detector.groupby(evaluation)}
    pairs = [
        pair
        for pair in rule_pairs(cells.keys, description)
        if pair.against == role and detector[pair.reference] == first[evaluation[pair.cell]]
    ]
    differences = paired_differences(cells, pairs, "accuracy", stream)
    differences.index = pd.Index([pair.cell for pair in pairs], dtype=int)
    name = f"accuracy_minus_{role}"
    wanted = differences.reindex(cells.keys.index)[["difference", "low", "high", "p"]]
    return wanted.set_axis([name, f"{name}_low", f"{name}_high", f"{name}_p"], axis=1)


def _above_zero(table: pd.DataFrame, role: Role) -> NDArray[np.str_]:
    low = table[f"accuracy_minus_{role}_low"].to_numpy(float)
    compared = table[f"accuracy_minus_{role}"].notna().to_numpy()
    return np.where(compared, np.where(low > 0, "yes", "no"), "")


def _saw_test_subject(keys: pd.DataFrame, description: StudyDescription) -> list[str]:
    saw = {name: e.generator_saw_test_subject for name, e in description.evaluations.items()}
    synthetic = keys["generator"] != NO_GENERATOR
    answers = np.where(keys["evaluation"].map(saw), "yes", "no")
    return list(np.where(synthetic, answers, ""))


def _of_cells(frame: pd.DataFrame, keys: pd.DataFrame) -> pd.DataFrame:
    """Rows of a frame indexed by `CELL`, in the order of `keys`."""
    return frame.reindex(pd.MultiIndex.from_frame(keys)).reset_index(drop=True)
