"""The audits of one generator: membership of people or windows, canaries, who is missing from a release.

Of a GAN the discriminator, which alone has seen real windows, is asked about canaries as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

import numpy as np
import pandas as pd

from pulseveil.audit import canaries, tables
from pulseveil.audit.bounds import Floats
from pulseveil.audit.canary_records import as_trained_on, canary_records
from pulseveil.audit.canary_rows import canary_rows
from pulseveil.audit.designs import Train
from pulseveil.audit.discriminator_audit import discriminator_rows
from pulseveil.audit.membership import membership_rows
from pulseveil.audit.release_scores import release_canaries, release_scores
from pulseveil.audit.settings import AuditSettings
from pulseveil.audit.similarity import (
    Reidentification,
    dtw_distances,
    nearness,
    reidentify_by_left_out,
    source_distances,
)
from pulseveil.audit.verdict import Defence
from pulseveil.contracts import WindowSet
from pulseveil.generators.subjects import Subjects
from pulseveil.privacy.budget import Unit
from pulseveil.randomness import Stream, child

Synthesize = Callable[[WindowSet, Stream], Subjects]
"""Trains a generator on windows, with a stream of its own, and returns what it would release."""

BAND = 10
"""Samples by which dynamic time warping may shift a window."""


def audit_generator(
    synthesize: Synthesize,
    synthesize_with_canaries: Synthesize,
    windows: WindowSet,
    settings: AuditSettings,
    defence: Defence,
    stream: Stream,
    train_discriminator: Train[WindowSet] | None = None,
) -> pd.DataFrame:
    """All audits of a generator by what it releases, one row a record and attack (columns of `tables`).

    All trainings run the same mechanism: that of `synthesize` over the public number of records, the others
    over one that has room for the canaries. `train_discriminator` answers with the discriminator's opinion of
    windows; None for generators without one. Membership: are the synthetic windows nearer to a person's when
    the person was trained on? Missing person: of the releases that lack one person each, which one lacks
    whom? Two such releases differ by a swap of two people; the row stands beside chance and has no verdict.
    """

    def train(rows: WindowSet, own: Stream) -> Callable[[WindowSet], Floats]:
        released = synthesize(rows, own)
        return lambda asked: nearness(asked.windows, released.windows)

    rows = membership_rows(train, windows, settings, defence, child(stream, "membership"))
    on_canaries = child(stream, "canaries")
    without = tuple(
        synthesize_with_canaries(windows, child(on_canaries, "without", i)) for i in range(settings.trainings)
    )
    training = partial(
        _canary_training, synthesize_with_canaries, windows, without, settings, defence.claim.unit
    )
    rows += canary_rows(training, settings, defence, on_canaries)
    if train_discriminator is not None:
        own = child(stream, "discriminator")
        rows += discriminator_rows(train_discriminator, windows, settings, defence, own)
    found = missing_person(synthesize, windows, child(stream, "missing person"))
    return pd.DataFrame([*rows, tables.reidentification_row("missing person", found)])


def missing_person(synthesize: Synthesize, windows: WindowSet, stream: Stream) -> Reidentification:
    """How many people are linked to the release that was made without them, by DTW similarity."""
    names = np.unique(windows.subject)
    distances = []
    for name in names.tolist():
        released = synthesize(windows.take(windows.subject != name), child(stream, name)).windows
        nearest = dtw_distances(windows.windows, released, BAND)
        source = np.full(len(released), name)
        distances.append(source_distances(nearest, windows.subject, source))
    return reidentify_by_left_out(np.concatenate(distances, axis=1))


def _canary_training(
    synthesize: Synthesize,
    windows: WindowSet,
    without: tuple[Subjects, ...],
    settings: AuditSettings,
    unit: Unit,
    number: int,
    stream: Stream,
) -> canaries.Training:
    records = canary_records(windows, settings, unit, number, stream)
    score = release_scores(records, records.subject, without)
    records = as_trained_on(records, settings, unit)
    run = count()
    return release_canaries(
        lambda rows: synthesize(rows, child(stream, "run", next(run))), windows, records, score
    )
