"""The audits of one detector: membership of people or windows, and canaries, as one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulseveil.audit import canaries, designs, lira, tables
from pulseveil.audit.bounds import Floats
from pulseveil.audit.canary_records import canary_features, mislabelled, shared_subjects
from pulseveil.audit.designs import Design, Train
from pulseveil.audit.settings import AuditSettings
from pulseveil.audit.trade_off import TradeOff
from pulseveil.audit.verdict import Claim
from pulseveil.contracts import FeatureSet
from pulseveil.privacy.budget import Unit
from pulseveil.randomness import Stream, child, generator


@dataclass(frozen=True)
class Defence:
    """What a detector has to stand by: its claim, and the claim's trade-off curve where it is known.

    audits: how many verdicts of the whole run can fail, this detector's among them.
    """

    claim: Claim
    curve: TradeOff | None
    audits: int


def audit_detector(
    train: Train,
    train_with_canaries: Train,
    features: FeatureSet,
    settings: AuditSettings,
    defence: Defence,
    stream: Stream,
) -> pd.DataFrame:
    """All audits of a detector, one row a record and attack (columns of `tables`).

    `train` and `train_with_canaries` differ in the public number of records only. Of people, each one is
    attacked and judged; of windows, which are too many for that, all of them together, without a verdict.
    """
    membership = _membership_rows(train, features, settings, defence, child(stream, "membership"))
    on_canaries = _canary_rows(train_with_canaries, features, settings, defence, child(stream, "canaries"))
    return pd.DataFrame([*membership, *on_canaries])


def _membership_rows(
    train: Train, features: FeatureSet, settings: AuditSettings, defence: Defence, stream: Stream
) -> list[tables.Row]:
    unit = defence.claim.unit
    record = _records(features, unit)
    names = np.unique(record)
    design = _design(len(names), unit, settings, child(stream, "design"))
    scores = designs.train_design(train, features, record, design, stream)
    together = tables.descriptive_row(lira.pooled(scores, design.members))
    if unit == "window":
        return [together]
    attacks = lira.attack_records(scores, design.members, names.tolist())
    return [together, *tables.membership_rows(attacks, defence.claim, defence.audits)]


def _canary_rows(
    train: Train, features: FeatureSet, settings: AuditSettings, defence: Defence, stream: Stream
) -> list[tables.Row]:
    training = partial(_canary_training, train, features, settings, defence.claim.unit)
    guesses = canaries.audit(
        training(settings.canaries, child(stream, "one run")),
        canaries=settings.canaries,
        guesses=settings.guesses,
        runs=settings.runs,
    )
    rows = [*tables.guess_rows(guesses, defence.claim, defence.curve, defence.audits)]
    if settings.repetitions:
        counts = canaries.audit_repeatedly(training(1, child(stream, "repeated")), settings.repetitions)
        rows.extend(tables.repetition_rows(counts, defence.claim, defence.curve, defence.audits))
    return rows


def _records(features: FeatureSet, unit: Unit) -> NDArray[np.str_]:
    if unit == "subject":
        return features.subject
    return np.array([f"window {i:06d}" for i in range(len(features))])


def _design(records: int, unit: Unit, settings: AuditSettings, stream: Stream) -> Design:
    if unit == "subject":
        return designs.leave_one_out(records, settings.trainings)
    return designs.random_halves(records, settings.trainings, generator(stream))


def _canary_training(
    train: Train, features: FeatureSet, settings: AuditSettings, unit: Unit, number: int, stream: Stream
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
