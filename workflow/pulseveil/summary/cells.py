"""The cells of a study in table order, with the value of each metric for each tested subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulseveil.contracts import subject_order
from pulseveil.detectors import MODEL
from pulseveil.errors import InputError
from pulseveil.summary.collect import CELL, Results
from pulseveil.summary.description import StudyDescription

HEADLINES = ("accuracy", "f1", "macro_f1", "auroc", "f1_published")
NO_GENERATOR = "none"


@dataclass(frozen=True, eq=False)
class Cells:
    """c cells: `keys`, a frame (c) of the columns `CELL` and `role`, that of the detector's kind.

    `subjects` (s) in numeric order.

    `values[metric]` (c, s): the mean over seeds; NaN where a subject was not tested, or where the metric is
    undefined for it in every seed.
    """

    keys: pd.DataFrame
    subjects: tuple[str, ...]
    values: Mapping[str, NDArray[np.float64]]


def arrange(results: Results, description: StudyDescription) -> Cells:
    """The cells of `results` in table order, averaged over seeds.

    Raises InputError when scores belong to an evaluation or a model that the description does not have.
    """
    for key, known in (
        ("evaluation", list(description.evaluations)),
        ("generator", [NO_GENERATOR, *description.generators]),
        ("detector", list(description.detectors)),
    ):
        unknown = set(results.pooled[key]) - set(known)
        if unknown:
            raise InputError(
                f"scores of {key} {min(unknown)!r}: the description has only {', '.join(known)}; "
                "pass the scores of this study"
            )
    keys = results.pooled[list(CELL)].drop_duplicates()
    keys = keys.assign(role=[description.detectors[name].role for name in keys["detector"]])
    keys = _in_table_order(keys, list(description.evaluations))
    subjects = tuple(sorted(results.per_subject["subject"].unique(), key=subject_order))
    means = results.per_subject.groupby([*CELL, "subject"])[list(HEADLINES)].mean()
    full = pd.MultiIndex.from_frame(
        keys.merge(pd.DataFrame({"subject": subjects}), how="cross")[[*CELL, "subject"]]
    )
    values = means.reindex(full).to_numpy().reshape(len(keys), len(subjects), len(HEADLINES))
    return Cells(keys, subjects, {metric: values[:, :, i] for i, metric in enumerate(HEADLINES)})


def _in_table_order(keys: pd.DataFrame, evaluations: list[str]) -> pd.DataFrame:
    """Evaluations as in the study, then models, rules last; the least private and least noisy first."""
    ranks = keys.assign(
        evaluation=keys["evaluation"].map(evaluations.index),
        rule=keys["role"] != MODEL,
        epsilon_generator=-keys["epsilon_generator"],
        epsilon_detector=-keys["epsilon_detector"],
    )
    by = ["evaluation", "rule", *CELL[1:]]
    return keys.loc[ranks.sort_values(by, kind="stable").index].reset_index(drop=True)
