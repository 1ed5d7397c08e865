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

    By convention of all kinds, settings whose `private` has a `batch_size` say how many records a step of
    Poisson draws expects: at the same probability q, more records make it larger. A kind whose private
    training follows from the public constants writes it out by its `resolved`. Raises InputError for a
    kind whose mechanisms differ nevertheless: its audit would test another claim.
    """
    if not claimed.budget.is_private:
        return Training(claimed.settings, audited)
    mechanisms = kind.mechanisms(claimed.settings, claimed.budget)
    settings = claimed.settings
    if hasattr(kind, "resolved"):
        settings = kind.resolved(settings, claimed.budget)
    private: Any = getattr(settings, "private", None)
    if getattr(private, "batch_size", None) is not None:
        # q times the new number, not the old batch times a ratio: a full batch stays exactly full.
        records = audited.known_population().records(audited.unit)
        expected = max(mechanism.q for mechanism in mechanisms) * records
        scaled = private.model_copy(update={"batch_size": expected})
        settings = settings.model_copy(update={"private": scaled})
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
