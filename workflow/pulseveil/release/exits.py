"""The one guard of all exits: whatever leaves of a model (front end, commands, releases) asks here first."""

from __future__ import annotations

from pulseveil.core.errors import InputError
from pulseveil.release.claims import ReleaseClaim

NOT_PRIVATE_PREFIX = "NOT-PRIVATE"


def require_leave(claim: ReleaseClaim, *, not_private: bool) -> None:
    """Refuse that anything of a model without a valid claim leaves, unless somebody knows and wants it.

    Raises:
        InputError: the model is not private, and `not_private` is False.
    """
    if not (claim.is_private or not_private):
        raise InputError(
            f"this model is not private: {claim.reason}; confirm that you know it (a command: --not-private)"
        )


def leaving_name(name: str, claim: ReleaseClaim, *, not_private: bool) -> str:
    """Name under which a file of a model leaves: it begins with NOT-PRIVATE if the model is not private.

    Raises:
        InputError: as in `require_leave`.
    """
    require_leave(claim, not_private=not_private)
    return name if claim.is_private else f"{NOT_PRIVATE_PREFIX}_{name}"
