"""Paired differences between cells, over subjects; each subject's metric is first averaged over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulseveil.core.randomness import Stream
from pulseveil.detectors import BEFORE_TRAINING, MODEL
from pulseveil.summary import columns
from pulseveil.summary.column import in_declared_order
from pulseveil.summary.description import StudyDescription
from pulseveil.summary.intervals import paired_claims
from pulseveil.summary.results import CELL, HEADLINES, NO_GENERATOR, Cells

_EPSILONS = ("epsilon_generator", "epsilon_detector")
_NAMED_AXES = ("generator", "detector", "unit")


@dataclass(frozen=True)
class Pair:
    """Two rows of `Cells.keys` to compare.

    against: the role of the reference rule, an axis, "prior" or "real".
    """

    cell: int
    reference: int
    against: str


def all_pairs(keys: pd.DataFrame, description: StudyDescription) -> list[Pair]:
    """All comparisons of the differences table, in table order.

    Each cell is compared with
    - each rule of its evaluation;
    - each other generator, detector and unit, with all other keys equal;
    - the cell with the largest epsilons, the fewest subjects, the least noise or all signals, with all other
      keys equal;
    - the same detector trained on windows of public knowledge alone ("prior");
    - the same detector trained on real data under the same epsilon ("real").
    """
    pairs = rule_pairs(keys, description) + _axis_pairs(keys)
    pairs += _prior_pairs(keys, description) + _real_pairs(keys, description)
    return sorted(pairs, key=lambda pair: pair.cell)


def rule_pairs(keys: pd.DataFrame, description: StudyDescription) -> list[Pair]:
    """Each cell paired with each rule of its evaluation, in the row that shares most keys with the cell.

    An untrained network is paired with the models of its architecture alone.
    """
    pairs = []
    for _, members in keys.groupby("evaluation", sort=False):
        for rule in description.rules:
            candidates = members[members["detector"] == rule]
            if candidates.empty:
                continue
            others = members[_compared(members["detector"], rule, description)]
            shared = others.to_numpy()[:, None, :] == candidates.to_numpy()[None, :, :]
            # argmax takes the first of equals: in table order the least private, least noisy row.
            nearest = candidates.index.to_numpy()[shared.sum(axis=2).argmax(axis=1)]
            role = description.detectors[rule].role
            pairs += [Pair(int(c), int(r), role) for c, r in zip(others.index, nearest, strict=True)]
    return pairs


def _compared(detectors: pd.Series, rule: str, description: StudyDescription) -> pd.Series:
    """Which of the `detectors` of an evaluation are compared with a rule."""
    known = description.detectors
    if known[rule].role != BEFORE_TRAINING:
        return detectors != rule
    same = [n for n, d in known.items() if d.role == MODEL and d.architecture == known[rule].architecture]
    return detectors.isin(same)


def paired_differences(cells: Cells, pairs: list[Pair], metric: str, stream: Stream) -> pd.DataFrame:
    """One row per pair, with the columns `columns.PAIRED`; differences are cell minus reference.

    Only subjects with a value in both cells count.
    """
    values = cells.values[metric]
    of_cells = np.array([pair.cell for pair in pairs], dtype=np.intp)
    of_references = np.array([pair.reference for pair in pairs], dtype=np.intp)
    differences = values[of_cells] - values[of_references]
    claims = paired_claims(differences, stream)
    two_people = np.where(claims.two_people, "yes", "no")
    return pd.DataFrame(
        {
            "n_subjects": (~np.isnan(differences)).sum(axis=1),
            "difference": claims.mean,
            "low": claims.low,
            "high": claims.high,
            "interval": claims.method,
            "p": claims.p,
            "two_people": np.where(np.isnan(claims.p), "", two_people),
        }
    )


def differences_table(cells: Cells, description: StudyDescription, stream: Stream) -> pd.DataFrame:
    """Table of all comparisons of a study, with the columns `columns.DIFFERENCES`."""
    pairs = all_pairs(cells.keys, description)
    models = zip(cells.keys["generator"], cells.keys["detector"], strict=True)
    keys = cells.keys[list(CELL)].assign(public_cohorts=[description.public_cohorts(*of) for of in models])
    left = keys.iloc[[pair.cell for pair in pairs]].reset_index(drop=True)
    right = keys.iloc[[pair.reference for pair in pairs]].reset_index(drop=True)
    names = pd.concat(
        [
            left,
            pd.DataFrame({"against": [pair.against for pair in pairs]}, dtype=str),
            right.add_prefix("reference_"),
        ],
        axis=1,
    )
    parts = [
        names.assign(metric=metric).join(paired_differences(cells, pairs, metric, stream))
        for metric in HEADLINES
    ]
    # Stable by index: all metrics of a pair follow each other, in the order of HEADLINES.
    table = pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)
    return in_declared_order(table, columns.DIFFERENCES)


def _axis_pairs(keys: pd.DataFrame) -> list[Pair]:
    models = keys[keys["role"] == MODEL]
    pairs = []
    for axis in _NAMED_AXES:
        for rows in _groups(models, (axis,)):
            pairs += [Pair(second, first, axis) for first, second in combinations(rows.tolist(), 2)]
    single = ((axis, (axis,)) for axis in ("subjects", "noise", "signals"))
    for name, axes in (("epsilon", _EPSILONS), *single):
        for rows in _groups(models, axes):
            # Table order puts largest epsilons, fewest subjects, least noise and all signals first.
            pairs += [Pair(row, int(rows[0]), name) for row in rows[1:].tolist()]
    return pairs


def _groups(keys: pd.DataFrame, axes: tuple[str, ...]) -> list[NDArray[np.intp]]:
    """Groups of rows whose keys are equal except for `axes`, in table order (row numbers)."""
    fixed = [key for key in CELL if key not in axes]
    return [rows.index.to_numpy() for _, rows in keys.groupby(fixed, sort=False)]


def _prior_pairs(keys: pd.DataFrame, description: StudyDescription) -> list[Pair]:
    models = keys[keys["role"] == MODEL]
    models = models[models["generator"] != NO_GENERATOR].assign(row=lambda found: found.index)
    prior = models["generator"].isin([n for n, of_n in description.generators.items() if not of_n.learns])
    # Public knowledge has no unit and no epsilon of its own: one row is the reference at all budgets.
    question = ["evaluation", "detector", "subjects", "noise", "signals"]
    paired = models[~prior].merge(models[prior], on=question, suffixes=("", "_reference"))
    rows = zip(paired["row"].tolist(), paired["row_reference"].tolist(), strict=True)
    return [Pair(cell, reference, "prior") for cell, reference in rows]


def _real_pairs(keys: pd.DataFrame, description: StudyDescription) -> list[Pair]:
    models = keys[keys["role"] == MODEL].copy()
    evaluations = [description.evaluations[name] for name in models["evaluation"]]
    models["cohort"] = [evaluation.tested_cohort for evaluation in evaluations]
    models["test"] = [evaluation.test for evaluation in evaluations]
    # Synthetic rows spend on the generator, real ones on the detector: the smaller epsilon is comparable.
    models["epsilon"] = models[list(_EPSILONS)].min(axis=1)
    models["row"] = models.index
    question = ["cohort", "test", "detector", "unit", "noise", "signals", "epsilon"]
    is_real = models["generator"] == NO_GENERATOR
    real = models[is_real].drop_duplicates(question)
    paired = models[~is_real].merge(real, on=question, suffixes=("", "_reference"))
    rows = zip(paired["row"].tolist(), paired["row_reference"].tolist(), strict=True)
    return [Pair(cell, reference, "real") for cell, reference in rows]
