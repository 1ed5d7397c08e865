"""The audits of one detector: membership of people or windows, and canaries, as one table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

import pandas as pd

from pulseveil.audit import canaries
from pulseveil.audit.bounds import Floats
from pulseveil.audit.canary_records import canary_features, mislabelled, shared_subjects
from pulseveil.audit.canary_rows import canary_rows
from pulseveil.audit.designs import Train
from pulseveil.audit.membership import membership_rows
from pulseveil.audit.settings import AuditSettings
from pulseveil.audit.verdict import Defence
from pulseveil.contracts import FeatureSet
from pulseveil.privacy.budget import Unit
from pulseveil.randomness import Stream, child, generator


def audit_detector(
    train: Train[FeatureSet],
    train_with_canaries: Train[FeatureSet],
    features: FeatureSet,
    settings: AuditSettings,
    defence: Defence,
    stream: Stream,
) -> pd.DataFrame:
    """All audits of a detector, one row a record and attack (columns of `tables`).

    `train` and `train_with_canaries` run the same mechanism, over the public number of records and over one
    that has room for the canaries. Of people, each one is attacked and judged; of windows, which are too many
    for that, all of them together, without a verdict. Without `settings.trainings` there are canaries alone.
    """
    membership = []
    if settings.trainings:
        membership = membership_rows(train, features, settings, defence, child(stream, "membership"))
    training = partial(_canary_training, train_with_canaries, features, settings, defence.claim.unit)
    on_canaries = canary_rows(training, settings, defence, child(stream, "canaries"))
    return pd.DataFrame([*membership, *on_canaries])


def _canary_training(
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
