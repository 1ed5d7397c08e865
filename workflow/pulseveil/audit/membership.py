"""Membership of the people or windows of a model, with their verdicts, as rows of a table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulseveil.audit import designs, lira, tables
from pulseveil.audit.designs import Design, Records, Train
from pulseveil.audit.settings import AuditSettings
from pulseveil.audit.verdict import Defence
from pulseveil.privacy.budget import Unit
from pulseveil.randomness import Stream, child, generator


def membership_rows(
    train: Train[Records], rows: Records, settings: AuditSettings, defence: Defence, stream: Stream
) -> list[tables.Row]:
    """Attack the records of `rows`, one table row each, after one of all of them together.

    Of people, each one is attacked and judged; of windows, which are too many for that, all of them together,
    without a verdict.
    """
    unit = defence.claim.unit
    record = _records(rows, unit)
    names = np.unique(record)
    design = _design(len(names), unit, settings.trainings, child(stream, "design"))
    scores = designs.train_design(train, rows, record, design, stream)
    found = [tables.descriptive_row(lira.pooled(scores, design.members))]
    if unit == "subject":
        attacks = lira.attack_records(scores, design.members, names.tolist())
        found.extend(tables.membership_rows(attacks, defence.claim, defence.audits))
    return found


def _records(rows: Records, unit: Unit) -> NDArray[np.str_]:
    if unit == "subject":
        return rows.subject
    return np.array([f"window {i:06d}" for i in range(len(rows))])


def _design(records: int, unit: Unit, trainings: int, stream: Stream) -> Design:
    if unit == "subject":
        return designs.leave_one_out(records, trainings)
    return designs.random_halves(records, trainings, generator(stream))
