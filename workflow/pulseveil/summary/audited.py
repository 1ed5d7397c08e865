"""What the audits of a study found, beside the epsilons that it claims."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pulseveil.detectors import MODEL
from pulseveil.summary.cells import NO_GENERATOR
from pulseveil.summary.description import StudyDescription
from pulseveil.tables import read_table

COLUMNS = ("audited_part", "audit_epsilon_low", "audit_epsilon_ceiling")
_KEYS = ["cohort", "part", "generator", "detector", "unit", "epsilon_generator", "epsilon_detector"]

Key = tuple[Any, ...]
Found = Mapping[Key, tuple[float, float]]


def audit_table(paths: Iterable[Path]) -> pd.DataFrame:
    """The rows of all audits (CSV); without any, a table that has its key columns only."""
    parts = [_read(path) for path in paths]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_KEYS)


def audited_columns(keys: pd.DataFrame, audits: pd.DataFrame, description: StudyDescription) -> pd.DataFrame:
    """The columns `COLUMNS` for each cell of `keys`: the part that gave most away, its bound and its ceiling.

    Of a cell with private parts these are compared, else all of its parts: by the largest bound, then the
    largest ceiling, of all attacks on that part at the cell's own unit and epsilons. An audit belongs to the
    model trained on its cohort, whatever people that was tested on. Bounds are at 95 % each, not corrected
    for their number; empty and NaN where no part was audited.
    """
    found = _by_key(audits)
    rows = [_row(cell, found, description) for cell in keys.to_dict("records")]
    return pd.DataFrame(rows, columns=list(COLUMNS), index=keys.index)


def _by_key(audits: pd.DataFrame) -> Found:
    """Largest bound and ceiling of each audited model."""
    if audits.empty:
        return {}
    largest = audits.groupby(_KEYS)[["epsilon_low", "epsilon_ceiling"]].max()
    pairs = zip(largest.index, largest.to_numpy(), strict=True)
    return {key: (float(low), float(high)) for key, (low, high) in pairs}


def _row(cell: Mapping[Any, Any], found: Found, description: StudyDescription) -> tuple[str, float, float]:
    parts = [(key, epsilon) for key, epsilon in _parts(cell, description) if key in found]
    private = [(key, epsilon) for key, epsilon in parts if math.isfinite(epsilon)]
    audited = [key for key, _ in private or parts]
    if not audited:
        return "", np.nan, np.nan
    most = max(audited, key=found.__getitem__)
    return str(most[1]), *found[most]


def _parts(cell: Mapping[Any, Any], description: StudyDescription) -> Iterator[tuple[Key, float]]:
    """The parts of a cell that see real windows, each with the epsilon that it claims."""
    evaluation = description.evaluations[cell["evaluation"]]
    generator, detector, unit = cell["generator"], cell["detector"], cell["unit"]
    of_generator, of_detector = float(cell["epsilon_generator"]), float(cell["epsilon_detector"])
    if cell["role"] != MODEL:
        return
    if generator != NO_GENERATOR:
        key = (evaluation.cohort, "generator", generator, NO_GENERATOR, unit, of_generator, math.inf)
        yield key, of_generator
    if generator == NO_GENERATOR or evaluation.train == "real+synthetic":
        key = (evaluation.cohort, "detector", generator, detector, unit, of_generator, of_detector)
        yield key, of_detector


def _read(path: Path) -> pd.DataFrame:
    return read_table(Path(path), (), "rerun audit")
