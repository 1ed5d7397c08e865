"""Audits of one generator and of one detector: all attacks on each, as one table.

Both are attacked by membership inference, on people or windows, and by canaries. A generator is also attacked
by re-identification of the person who is missing from a release. A GAN's discriminator, the only part that is
trained on real windows, is attacked by canaries as well. Windows with noise are attacked by re-identification
alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter1d

from pulseveil.audit import alone, canaries, tables
from pulseveil.audit.canaries import (
    as_trained_on,
    canary_features,
    canary_records,
    mislabelled,
    shared_subjects,
)
from pulseveil.audit.discriminator import discriminator_rows
from pulseveil.audit.membership import Records, Train
from pulseveil.audit.release import (
    Reidentification,
    Windows,
    dtw_distances,
    nearness,
    reidentify_by_left_out,
    release_canaries,
    release_scores,
    source_distances,
)
from pulseveil.audit.tables import canary_rows, membership_rows
from pulseveil.audit.verdict import Defence
from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import FeatureSet, WindowSet
from pulseveil.core.randomness import Stream, child, generator
from pulseveil.generators.subjects import Subjects
from pulseveil.privacy.budget import Unit
from pulseveil.study.audit_settings import AuditSettings

Synthesize = Callable[[WindowSet, Stream], Subjects]
"""Trains a generator on windows, with a stream of its own, and returns its release."""

BAND = 10
"""Width of the band of dynamic time warping: matched samples lie less than this apart."""

SMOOTHED_SHARE = 0.25
"""Share of a window over which an attacker averages noised samples."""


def attack_generator(
    synthesize: Synthesize,
    synthesize_with_canaries: Synthesize,
    windows: WindowSet,
    settings: AuditSettings,
    defence: Defence,
    stream: Stream,
    train_discriminator: Train[WindowSet] | None = None,
) -> pd.DataFrame:
    """All audits of a generator by its releases: one row per record and attack (columns of `tables`).

    Membership compares the distances of synthetic windows to a person's windows, with and without the person
    in training. The attack `missing person` links each person to the release that was trained without this
    person. Two such releases differ by a swap of two people, so that the row has chance beside it, and no
    verdict.

    Args:
        synthesize: runs the claimed mechanism, over the public number of records.
        synthesize_with_canaries: runs the same mechanism over a number with capacity for the canaries.
        train_discriminator: as `synthesize_with_canaries`, answering with the discriminator's score of
            windows; None for generators without a discriminator.
    """

    def train(rows: WindowSet, own: Stream) -> Callable[[WindowSet], Floats]:
        released = synthesize(rows, own)
        return lambda asked: nearness(asked.windows, released.windows)

    rows = _membership(train, windows, settings, defence, stream)
    on_canaries = child(stream, "canaries")
    # Trained once: the audits with many canaries and with one compare with the same releases.
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
    """Re-identification by dynamic time warping: people linked to the release trained without them."""
    names = np.unique(windows.subject)
    distances = []
    for name in names.tolist():
        released = synthesize(windows.take(windows.subject != name), child(stream, name)).windows
        nearest = dtw_distances(windows.windows, released, BAND)
        source = np.full(len(released), name)
        # All people, and not the missing one alone: the guess is relative to the mean over people.
        distances.append(source_distances(nearest, windows.subject, source))
    return reidentify_by_left_out(np.concatenate(distances, axis=1))


def attack_noised(windows: WindowSet, noised: WindowSet) -> pd.DataFrame:
    """Re-identification of people in their noised windows by dynamic time warping, one row per attack.

    The attacker knows the first half of each person's windows of each condition, without noise, and searches
    the second halves, which are released with noise and without names. The second attack smooths all windows
    before, because independent noise on samples averages out.

    Args:
        noised: the same windows with noise, row by row.

    Source: identity inference by dynamic time warping, arXiv:2308.08310.
    """
    groups = pd.DataFrame({"subject": windows.subject, "condition": windows.condition}).groupby(
        ["subject", "condition"]
    )
    known = (groups.cumcount() < groups["subject"].transform("size") // 2).to_numpy()
    subject, source = windows.subject[known], noised.subject[~known]
    own, released = windows.windows[known], noised.windows[~known]
    length = int(released.shape[1] * SMOOTHED_SHARE)
    found = {
        "linked recording": alone.link(own, subject, released, source, BAND),
        "linked smoothed recording": alone.link(
            _smoothed(own, length), subject, _smoothed(released, length), source, BAND
        ),
    }
    return pd.DataFrame([tables.reidentification_row(name, each) for name, each in found.items()])


def _smoothed(windows: Windows, length: int) -> Windows:
    """Moving average of windows (n, time, channels) over `length` samples."""
    return np.asarray(uniform_filter1d(windows, length, axis=1, mode="nearest"))


def _of_generator(
    synthesize: Synthesize,
    windows: WindowSet,
    without: tuple[Subjects, ...],
    settings: AuditSettings,
    unit: Unit,
    number: int,
    stream: Stream,
) -> canaries.Training:
    """Canary training of a generator with `number` canaries."""
    records = canary_records(windows, settings, unit, number, stream)
    # Before `as_trained_on`: afterwards several canaries can share a subject, and scores need each canary.
    score = release_scores(records, records.subject, without)
    records = as_trained_on(records, settings, unit)
    # Bounds assume independent trainings: each run has a stream of its own.
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
    """All audits of a detector: one row per record and attack (columns of `tables`).

    Where membership inference could not test the claim, there are canaries alone.

    Args:
        train: runs the claimed mechanism, over the public number of records.
        train_with_canaries: runs the same mechanism over a number with capacity for the canaries.
    """
    membership = _membership(train, features, settings, defence, stream)
    training = partial(_of_detector, train_with_canaries, features, settings, defence.claim.unit)
    on_canaries = canary_rows(training, settings, defence, child(stream, "canaries"))
    return pd.DataFrame([*membership, *on_canaries])


def _membership(
    train: Train[Records], rows: Records, settings: AuditSettings, defence: Defence, stream: Stream
) -> list[tables.Row]:
    """Rows of membership inference; none where it could not test the claim."""
    claim = defence.claim
    if not settings.attacks_members(claim.unit, claim.epsilon, claim.delta):
        return []
    return membership_rows(train, rows, settings, defence, child(stream, "membership"))


def _of_detector(
    train: Train[FeatureSet],
    features: FeatureSet,
    settings: AuditSettings,
    unit: Unit,
    number: int,
    stream: Stream,
) -> canaries.Training:
    """Canary training of a detector with `number` canaries."""
    records = canary_features(
        features,
        canaries=number,
        windows_each=settings.windows_each if unit == "subject" else 1,
        radius=settings.radius,
        generator=generator(child(stream, "records")),
    )
    # Kept aside: at unit window, several canaries share a synthetic person in training.
    owner = records.subject
    if unit == "window":
        records = shared_subjects(records, settings.windows_each)
    run = count()

    def fit(rows: FeatureSet) -> Callable[[FeatureSet], Floats]:
        return train(rows, child(stream, "run", next(run)))

    # One model without canaries finds the labels to turn, and is the reference for the turned ones.
    without = fit(features)
    records = mislabelled(records, owner, without(records))
    return canaries.record_training(fit, features, records, owner, without(records))
