"""Canaries in the training of a GAN, told by its discriminator: the part that sees real windows.

A release shows little of what the discriminator knows, so this attack is the sharper one; an attacker who has
synthetic windows alone cannot run it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

import numpy as np
from numpy.typing import NDArray

from pulseveil.audit import canaries, tables
from pulseveil.audit.bounds import Floats
from pulseveil.audit.canaries import as_trained_on, canary_records
from pulseveil.audit.membership import Train, record_means
from pulseveil.audit.tables import canary_rows
from pulseveil.audit.verdict import Defence
from pulseveil.core.contracts import WindowSet
from pulseveil.core.randomness import Stream, child, generator
from pulseveil.privacy.budget import Unit
from pulseveil.study.audit_settings import AuditSettings

CONTROLS = 100
"""Canaries that no training sees: a discriminator's opinion of others is compared with that of these."""

CANDIDATES = 4
"""So many are generated for each canary and control."""


def discriminator_rows(
    train: Train[WindowSet], windows: WindowSet, settings: AuditSettings, defence: Defence, stream: Stream
) -> list[tables.Row]:
    """The canary audits of a discriminator: `train` answers with its opinion of windows, real ones higher."""
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
    run = count()

    def opinion(rows: WindowSet) -> Callable[[WindowSet], Floats]:
        return train(rows, child(stream, "run", next(run)))

    candidates = canary_records(windows, settings, unit, CANDIDATES * (number + CONTROLS), stream)
    reference = opinion(windows)(candidates)
    chosen = doubted(reference, candidates.subject, number + CONTROLS, generator(child(stream, "chosen")))
    records, never = (
        candidates.take(np.isin(candidates.subject, names)) for names in np.split(chosen, [number])
    )

    def fit(rows: WindowSet) -> Callable[[WindowSet], Floats]:
        # Opinions of far-out windows drift from training to training, all in the same direction.
        return partial(surprise, opinion(rows), never)

    # The scores compare with windows of the same model; they need no reference.
    none = np.zeros(len(records))
    return canaries.record_training(
        fit, windows, as_trained_on(records, settings, unit), records.subject, none
    )


def doubted(
    reference: Floats, owner: NDArray[np.str_], number: int, generator: np.random.Generator
) -> NDArray[np.str_]:
    """The `number` candidates that a model without any of them holds for the least real, in random order.

    Far from all windows, a discriminator can take anything for real; what it saw as real it cannot doubt.
    reference (rows): its opinion; owner (rows): the candidate that a row belongs to.
    """
    names = np.unique(owner)
    least = np.argsort(record_means(reference, owner), kind="stable")[:number]
    return generator.permutation(names[least])


def surprise(answer: Callable[[WindowSet], Floats], never: WindowSet, asked: WindowSet) -> Floats:
    """How far above those of `never` a model's answers to windows are (rows of `asked`).

    Minus the logarithm of p, where p is the share of windows of `never`, of the same class, whose answers are
    no lower (the window itself counted as one of them): with no difference p is uniform.
    """
    found, others = answer(asked), answer(never)
    p = np.empty(len(found))
    for stress in (False, True):
        sorted_ = np.sort(others[never.stress == stress])
        own = asked.stress == stress
        as_high = len(sorted_) - np.searchsorted(sorted_, found[own])
        p[own] = (1 + as_high) / (1 + len(sorted_))
    return np.asarray(-np.log(p))
