"""The published results, and which of our cells repeat which of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulseveil.summary.cells import NO_GENERATOR
from pulseveil.summary.collect import CELL
from pulseveil.summary.description import ModelDescription, StudyDescription
from pulseveil.tables import as_numbers, read_table

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
MATCH = [
    "scenario",
    "train",
    "test",
    "generator",
    "detector",
    "epsilon_generator",
    "epsilon_detector",
    "subjects",
    "noise",
]


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
