"""A refuted claim ends an audit, and with it the run."""

from __future__ import annotations

import pandas as pd

from pulseveil.errors import InputError


def require_no_refutation(table: pd.DataFrame) -> None:
    """Raise InputError with the sentences of all verdicts of a table that refute their claim."""
    refuted = table.verdict[table.failed.eq(True)].tolist()
    if refuted:
        raise InputError(
            f"audit: {'; '.join(refuted)}. The training gives away more than it claims: do not release its "
            "models before the cause is found"
        )
