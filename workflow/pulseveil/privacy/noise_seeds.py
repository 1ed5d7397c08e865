"""How many draws of noise a private row must average before it may claim anything."""

from __future__ import annotations

from collections.abc import Sequence

from pulseveil.privacy.mechanism import Mechanism

_ONE_QUERY = 100
_TRAINING = 5


def seeds_asked(mechanisms: Sequence[Mechanism]) -> int:
    """The fewest seeds of a row whose private parts are `mechanisms`, each seed with noise of its own.

    A row of single queries is cheap and hangs on one draw each: it takes 100 seeds. Trainings average their
    noise over steps and are dear: 5.
    """
    return _ONE_QUERY if all(mechanism.steps == 1 for mechanism in mechanisms) else _TRAINING
