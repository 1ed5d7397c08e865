"""What models spend, alone and together, and what their ledgers say in plain English."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from pulseveil.api.models import Model
from pulseveil.privacy import accounting
from pulseveil.privacy.ledger import Entry
from pulseveil.privacy.models import together


def spent(*models: Model) -> pd.DataFrame:
    """Epsilon of each model, and of all models together on the person who is in most of them.

    Columns: model, unit, people, epsilon, delta. Several models have one row `together` per unit: budgets for
    persons and for windows have no common number. Epsilon is inf where a model has no budget. A detector that
    learnt from windows of a private generator spends nothing more.

    Examples:
        >>> from pulseveil.api import cut_windows, fit, load_cohort
        >>> windows = cut_windows(load_cohort("simulated", subjects=4))
        >>> first, second = (fit("class_means", windows, epsilon=1) for _ in range(2))
        >>> spent(first, second).round(2)[["model", "epsilon"]].values.tolist()
        [['class_means', 1.0], ['class_means', 1.0], ['together', 1.47]]
    """
    rows = [_row(model) for model in models]
    # By release and mechanism: a detector of synthetic windows has the entries of its generator.
    entries = {
        (entry.inputs["release"], entry.mechanism): entry
        for model in models
        for entry in model.claim.entries
        if model.claim.is_private
    }
    open_models = any(not model.claim.is_private for model in models)
    if len(models) > 1:
        for unit in dict.fromkeys(row["unit"] for row in rows):
            own = [entry for entry in entries.values() if entry.unit == unit]
            rows.append(_together(unit, own, open_models))
    return pd.DataFrame(rows)


def statement(model: Model) -> str:
    """The ledger of a model in plain English: what is protected, from whom, and what is not.

    It begins with NOT PRIVATE if the model has no budget.
    """
    return model.claim.statement


def _row(model: Model) -> dict[str, Any]:
    claim = model.claim
    mechanisms = [entry.as_mechanism() for entry in claim.entries]
    return {
        "model": model.kind,
        "unit": claim.unit,
        "people": len(model.people),
        "epsilon": accounting.epsilon_pld(mechanisms, claim.delta) if claim.is_private else math.inf,
        "delta": claim.delta,
    }


def _together(unit: str, entries: list[Entry], open_models: bool) -> dict[str, Any]:
    delta = min((entry.delta for entry in entries), default=math.nan)
    shares = together(entries).shares if entries else ()
    epsilons = [
        accounting.epsilon_pld([m for group in share for m in group.mechanisms], delta) for share in shares
    ]
    return {
        "model": "together",
        "unit": unit,
        "people": len({name for entry in entries for name in entry.inputs["people"]}),
        "epsilon": math.inf if open_models else max(epsilons, default=math.inf),
        "delta": delta,
    }
