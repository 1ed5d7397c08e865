"""Canary audit of a GAN's discriminator, the part that is trained on real windows.

A release shows little of what the discriminator learned, so that this attack is sharper than one on the
release. An attacker who has synthetic windows alone cannot run it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

import numpy as np
from numpy.typing import NDArray

from pulseveil.audit import canaries, tables
from pulseveil.audit.canaries import as_trained_on, canary_records
from pulseveil.audit.membership import Train, record_means
from pulseveil.audit.tables import canary_rows
from pulseveil.audit.verdict import Defence
from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import WindowSet
from pulseveil.core.randomness import Stream, child, generator
from pulseveil.privacy.budget import Unit
from pulseveil.study.audit_settings import AuditSettings

CONTROLS = 100
"""Canaries in no training, with whose scores by a discriminator the scores of others are compared."""

CANDIDATES = 4
"""Candidates per canary and control, of which those with the lowest scores are taken."""


def discriminator_rows(
    train: Train[WindowSet], windows: WindowSet, settings: AuditSettings, defence: Defence, stream: Stream
) -> list[tables.Row]:
    """Table rows of the canary audits of a discriminator.

    train: trains a GAN and answers with its discriminator's score of windows, higher for real ones.
    """
    training = partial(_training, train, windows, settings, defence.claim.unit)
    return canary_rows(training, settings, defence, stream, asked="discriminator")


def _training(
    train: Train[WindowSet],
    windows: WindowSet,
    settings: AuditSettings,
    unit: Unit,
    number: int,
    stream: Stream,
) -> canaries.Training:
    """Canary training of a discriminator with `number` canaries and `CONTROLS` controls."""
    run = count()

    def trained(rows: WindowSet) -> Callable[[WindowSet], Floats]:
        return train(rows, child(stream, "run", next(run)))

    candidates = canary_records(windows, settings, unit, CANDIDATES * (number + CONTROLS), stream)
    reference = trained(windows)(candidates)
    chosen = least_real(reference, candidates.subject, number + CONTROLS, generator(child(stream, "chosen")))
    records, controls = (
        candidates.take(np.isin(candidates.subject, names)) for names in np.split(chosen, [number])
    )

    def fit(rows: WindowSet) -> Callable[[WindowSet], Floats]:
        # Scores of far-out windows drift from training to training, all in the same direction: controls have
        # the same drift.
        return partial(surprisal, trained(rows), controls)

    # Scores are relative to controls in the same model: the reference is 0.
    none = np.zeros(len(records))
    return canaries.record_training(
        fit, windows, as_trained_on(records, settings, unit), records.subject, none
    )


def least_real(
    reference: Floats, owner: NDArray[np.str_], number: int, generator: np.random.Generator
) -> NDArray[np.str_]:
    """Names of the `number` candidates with the lowest scores of a model without any of them.

    They are in random order, so that canaries and controls are equally distributed.

    Args:
        reference: (rows), the model's score.
        owner: (rows), the candidate of each row.
    """
    # Far from all windows, a discriminator can score anything as real. Training on a window raises its score:
    # that shows in windows whose score is low without it.
    names = np.unique(owner)
    least = np.argsort(record_means(reference, owner), kind="stable")[:number]
    return generator.permutation(names[least])


def surprisal(answer: Callable[[WindowSet], Floats], controls: WindowSet, asked: WindowSet) -> Floats:
    """Surprisal (rows of `asked`) of a model's answers among its answers to controls of the same class.

    It is -log p, where p is the share of controls whose answer is no lower, the window itself included. If
    windows and controls do not differ, p is uniform.
    """
    found, others = answer(asked), answer(controls)
    p = np.empty(len(found))
    for stress in (False, True):
        sorted_ = np.sort(others[controls.stress == stress])
        own = asked.stress == stress
        as_high = len(sorted_) - np.searchsorted(sorted_, found[own])
        p[own] = (1 + as_high) / (1 + len(sorted_))
    return np.asarray(-np.log(p))
