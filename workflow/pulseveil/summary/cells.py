"""The cells of a study in table order, with the value of each metric for each tested subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulseveil.contracts import subject_order
from pulseveil.errors import InputError
from pulseveil.summary.collect import CELL, Results
from pulseveil.summary.description import StudyDescription

MAJORITY, ELAPSED_TIME, PUBLIC_SIGNS = YARDSTICKS = ("majority", "elapsed_time", "public_signs")
HEADLINES = ("accuracy", "f1", "macro_f1", "auroc", "f1_published")
NO_GENERATOR = "none"


@dataclass(frozen=True, eq=False)
class Cells:
    """c cells: `keys`, a frame (c) of the columns `CELL`; `subjects` (s) in numeric order.

    `values[metric]` (c, s): the mean over seeds; NaN where a subject was not tested, or where the metric is
    undefined for it in every seed.
    """

    keys: pd.DataFrame
    subjects: tuple[str, ...]
    values: Mapping[str, NDArray[np.float64]]


def arrange(results: Results, description: StudyDescription) -> Cells:
    """The cells of `results` in table order, averaged over seeds.

    Raises InputError when scores belong to an evaluation that the description does not have.
    """
    unknown = set(results.pooled["evaluation"]) - set(description.evaluations)
    if unknown:
        known = ", ".join(description.evaluations)
        raise InputError(
            f"scores of evaluation {min(unknown)!r}: the description has only {known}; "
            "pass the scores of this study"
        )
    keys = _in_table_order(results.pooled[list(CELL)].drop_duplicates(), list(description.evaluations))
    subjects = tuple(sorted(results.per_subject["subject"].unique(), key=subject_order))
    means = results.per_subject.groupby([*CELL, "subject"])[list(HEADLINES)].mean()
    full = pd.MultiIndex.from_frame(
        keys.merge(pd.DataFrame({"subject": subjects}), how="cross")[[*CELL, "subject"]]
    )
    values = means.reindex(full).to_numpy().reshape(len(keys), len(subjects), len(HEADLINES))
    return Cells(keys, subjects, {metric: values[:, :, i] for i, metric in enumerate(HEADLINES)})


def _in_table_order(keys: pd.DataFrame, evaluations: list[str]) -> pd.DataFrame:
    """Evaluations as in the study, then models, yardsticks last; the least private and least noisy first."""
    ranks = keys.assign(
        evaluation=keys["evaluation"].map(evaluations.index),
        yardstick=keys["detector"].isin(YARDSTICKS),
        epsilon_generator=-keys["epsilon_generator"],
        epsilon_detector=-keys["epsilon_detector"],
    )
    by = ["evaluation", "yardstick", *CELL[1:]]
    return keys.loc[ranks.sort_values(by, kind="stable").index].reset_index(drop=True)
