"""The training that an audit repeats: the claim's mechanism, with room for canaries beside real records."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose
from typing import Any, NamedTuple

from pulseveil.audit.trade_off import TradeOff, claimed_curve
from pulseveil.errors import InputError
from pulseveil.privacy.budget import Budget
from pulseveil.privacy.mechanism import Mechanism

# Calibrations of equal settings agree to the root finder's tolerance.
_TOLERANCE = 1e-3


class Training(NamedTuple):
    """Settings and budget that a model is trained with."""

    settings: Any
    budget: Budget


def curve(kind: Any, claimed: Training) -> TradeOff | None:
    """The trade-off curve of a claimed training; None where it is not private."""
    if not claimed.budget.is_private:
        return None
    return claimed_curve(kind.mechanisms(claimed.settings, claimed.budget))


def with_canaries(name: str, kind: Any, claimed: Training, audited: Budget) -> Training:
    """The training on more public records that runs the mechanisms of `claimed`: same q, noise and steps.

    The kind itself says which settings keep them (`audited_settings`). Raises InputError for a kind whose
    mechanisms differ nevertheless: its audit would test another claim.
    """
    if not claimed.budget.is_private:
        return Training(claimed.settings, audited)
    mechanisms = kind.mechanisms(claimed.settings, claimed.budget)
    settings = kind.audited_settings(claimed.settings, claimed.budget, audited)
    _require_same(name, mechanisms, kind.mechanisms(settings, audited))
    return Training(settings, audited)


def _require_same(name: str, claimed: Sequence[Mechanism], audited: Sequence[Mechanism]) -> None:
    if len(claimed) == len(audited) and all(map(_same, claimed, audited)):
        return
    raise InputError(
        f"audit of {name}: beside canaries its training would run {_words(audited)}, but {_words(claimed)} "
        "is claimed; take it out of the audited evaluations"
    )


def _same(claimed: Mechanism, audited: Mechanism) -> bool:
    exact = ("unit", "steps", "sampler")
    close = ("q", "noise_multiplier", "clip_norm")
    return all(getattr(claimed, name) == getattr(audited, name) for name in exact) and all(
        isclose(getattr(claimed, name), getattr(audited, name), rel_tol=_TOLERANCE) for name in close
    )


def _words(mechanisms: Sequence[Mechanism]) -> str:
    return " and ".join(f"{m.steps} steps at q {m.q:.4g}, noise {m.noise_multiplier:.4g}" for m in mechanisms)
