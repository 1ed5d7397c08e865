"""The canary audits of one model, one-run and repeated, as rows of a table."""

from __future__ import annotations

from collections.abc import Callable

from pulseveil.audit import canaries, tables
from pulseveil.audit.settings import AuditSettings
from pulseveil.audit.verdict import Defence
from pulseveil.randomness import Stream, child


def canary_rows(
    training: Callable[[int, Stream], canaries.Training],
    settings: AuditSettings,
    defence: Defence,
    stream: Stream,
    asked: str = "",
) -> list[tables.Row]:
    """Audit with many canaries a run, and with one canary in many runs where `repetitions` are asked for.

    training: from a number of canaries and a stream of their own to the audited training with them.
    asked: the part of the model that its scores come from, if it is not the whole.
    """
    guesses = canaries.audit(
        training(settings.canaries, child(stream, "one run")),
        canaries=settings.canaries,
        guesses=settings.guesses,
        runs=settings.runs,
    )
    rows = [*tables.guess_rows(guesses, defence.claim, defence.curve, defence.audits, asked)]
    if settings.repetitions:
        counts = canaries.audit_repeatedly(training(1, child(stream, "repeated")), settings.repetitions)
        rows.extend(tables.repetition_rows(counts, defence.claim, defence.curve, defence.audits, asked))
    return rows
