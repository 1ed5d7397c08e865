"""The attacks on one generator and on one detector, each as one table.

Both are attacked for the membership of people or windows and by canaries; a generator also by the question
who is missing from a release. Of a GAN the discriminator, which alone has seen real windows, is asked about
canaries as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

import numpy as np
import pandas as pd

from pulseveil.audit import canaries, tables
from pulseveil.audit.bounds import Floats
from pulseveil.audit.canaries import (
    as_trained_on,
    canary_features,
    canary_records,
    mislabelled,
    shared_subjects,
)
from pulseveil.audit.discriminator import discriminator_rows
from pulseveil.audit.membership import Train
from pulseveil.audit.release import (
    Reidentification,
    dtw_distances,
    nearness,
    reidentify_by_left_out,
    release_canaries,
    release_scores,
    source_distances,
)
from pulseveil.audit.tables import canary_rows, membership_rows
from pulseveil.audit.verdict import Defence
from pulseveil.core.contracts import FeatureSet, WindowSet
from pulseveil.core.randomness import Stream, child, generator
from pulseveil.generators.subjects import Subjects
from pulseveil.privacy.budget import Unit
from pulseveil.study.audit_settings import AuditSettings

Synthesize = Callable[[WindowSet, Stream], Subjects]
"""Trains a generator on windows, with a stream of its own, and returns what it would release."""

BAND = 10
"""Samples by which dynamic time warping may shift a window."""


def attack_generator(
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
    over one that has capacity for the canaries. `train_discriminator` answers with the discriminator's
    opinion of windows; None for generators without one. Membership: are the synthetic windows nearer to a
    person's when the person was trained on? Missing person: of the releases that lack one person each,
    which one lacks
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
        _of_generator, synthesize_with_canaries, windows, without, settings, defence.claim.unit
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


def _of_generator(
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


def attack_detector(
    train: Train[FeatureSet],
    train_with_canaries: Train[FeatureSet],
    features: FeatureSet,
    settings: AuditSettings,
    defence: Defence,
    stream: Stream,
) -> pd.DataFrame:
    """All audits of a detector, one row a record and attack (columns of `tables`).

    `train` and `train_with_canaries` run the same mechanism, over the public number of records and over one
    that has capacity for the canaries. Of people, each one is attacked and judged; of windows, which are too
    many for that, all of them together, without a verdict. Without `settings.trainings` there are
    canaries alone.
    """
    membership = []
    if settings.trainings:
        membership = membership_rows(train, features, settings, defence, child(stream, "membership"))
    training = partial(_of_detector, train_with_canaries, features, settings, defence.claim.unit)
    on_canaries = canary_rows(training, settings, defence, child(stream, "canaries"))
    return pd.DataFrame([*membership, *on_canaries])


def _of_detector(
    train: Train[FeatureSet],
    features: FeatureSet,
    settings: AuditSettings,
    unit: Unit,
    number: int,
    stream: Stream,
) -> canaries.Training:
    records = canary_features(
        features,
        canaries=number,
        windows_each=settings.windows_each if unit == "subject" else 1,
        radius=settings.radius,
        generator=generator(child(stream, "records")),
    )
    owner = records.subject
    if unit == "window":
        records = shared_subjects(records, settings.windows_each)
    run = count()

    def fit(rows: FeatureSet) -> Callable[[FeatureSet], Floats]:
        return train(rows, child(stream, "run", next(run)))

    without = fit(features)
    records = mislabelled(records, owner, without(records))
    return canaries.record_training(fit, features, records, owner, without(records))
