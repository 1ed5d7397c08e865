"""The audits of one generator: membership of people or windows, and who is missing from a release."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from pulseveil.audit import tables
from pulseveil.audit.bounds import Floats
from pulseveil.audit.membership import membership_rows
from pulseveil.audit.settings import AuditSettings
from pulseveil.audit.similarity import (
    Reidentification,
    Windows,
    dtw_distances,
    nearness,
    reidentify_by_left_out,
    source_distances,
)
from pulseveil.audit.verdict import Defence
from pulseveil.contracts import WindowSet
from pulseveil.randomness import Stream, child

Synthesize = Callable[[WindowSet, Stream], Windows]
"""Trains a generator on windows, with a stream of its own, and returns what it would release (m, time, c)."""

BAND = 10
"""Samples by which dynamic time warping may shift a window."""


def audit_generator(
    synthesize: Synthesize, windows: WindowSet, settings: AuditSettings, defence: Defence, stream: Stream
) -> pd.DataFrame:
    """All audits of a generator by what it releases, one row a record and attack (columns of `tables`).

    Membership: are the synthetic windows nearer to a person's when the person was trained on? Missing person:
    of the releases that lack one person each, which one lacks whom? Two such releases differ by a swap of two
    people; the row stands beside chance and has no verdict.
    """

    def train(rows: WindowSet, own: Stream) -> Callable[[WindowSet], Floats]:
        released = synthesize(rows, own)
        return lambda asked: nearness(asked.windows, released)

    rows = membership_rows(train, windows, settings, defence, child(stream, "membership"))
    found = missing_person(synthesize, windows, child(stream, "missing person"))
    return pd.DataFrame([*rows, tables.reidentification_row("missing person", found)])


def missing_person(synthesize: Synthesize, windows: WindowSet, stream: Stream) -> Reidentification:
    """How many people are linked to the release that was made without them, by DTW similarity."""
    names = np.unique(windows.subject)
    distances = []
    for name in names.tolist():
        released = synthesize(windows.take(windows.subject != name), child(stream, name))
        nearest = dtw_distances(windows.windows, released, BAND)
        source = np.full(len(released), name)
        distances.append(source_distances(nearest, windows.subject, source))
    return reidentify_by_left_out(np.concatenate(distances, axis=1))
