"""What the audits of a study found, beside the epsilons that it claims."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from pulseveil.errors import InputError
from pulseveil.summary.cells import NO_GENERATOR, YARDSTICKS
from pulseveil.summary.description import StudyDescription

COLUMNS = ("audit_epsilon_low", "audit_epsilon_ceiling")
_KEYS = ["cohort", "detector", "unit", "epsilon_detector"]


def audit_table(paths: Iterable[Path]) -> pd.DataFrame:
    """The rows of all audits (CSV); without any, a table that has its key columns only."""
    parts = [_read(path) for path in paths]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_KEYS)


def audited_columns(keys: pd.DataFrame, audits: pd.DataFrame, description: StudyDescription) -> pd.DataFrame:
    """The columns `COLUMNS` for each cell of `keys`: the largest bound and ceiling of all attacks.

    An audit belongs to the detector trained on real data of its cohort, whatever people it was tested on.
    Bounds are at 95 % each, not corrected for their number; NaN where a cell was not audited.
    """
    if audits.empty:
        return pd.DataFrame(np.nan, columns=list(COLUMNS), index=keys.index)
    found = audits.groupby(_KEYS)[["epsilon_low", "epsilon_ceiling"]].max().set_axis(list(COLUMNS), axis=1)
    cohorts = {name: evaluation.cohort for name, evaluation in description.evaluations.items()}
    cells = keys.assign(cohort=keys["evaluation"].map(cohorts))
    joined = cells.join(found, on=_KEYS)[list(COLUMNS)]
    own = (keys["generator"] == NO_GENERATOR) & ~keys["detector"].isin(YARDSTICKS)
    return joined.where(own)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (FileNotFoundError, ValueError) as error:
        raise InputError(f"{path}: not a table of an audit ({error}); rerun audit") from None
