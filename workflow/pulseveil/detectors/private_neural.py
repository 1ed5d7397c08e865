"""Private training of the neural detectors: public settings and records."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.core.contracts import FeatureSet
from pulseveil.core.errors import InputError
from pulseveil.core.settings import LARGEST, Settings
from pulseveil.privacy import accounting
from pulseveil.privacy.budget import Budget, Mechanism, Population, Unit
from pulseveil.privacy.records import admitted_rows, laid_out, mean_weights

PUBLIC_QUANTITIES = ("number of people", "windows of a person", "share of stress")


class NoisedTraining(Settings):
    """How a private network is trained.

    The defaults suit noise better than the published setting: each step costs epsilon, and the noise on a
    mean falls with the records in it, so a few steps see half of the windows each.
    """

    steps: int = Field(50, gt=0, description="noised steps")
    batch_size: float = Field(
        250, ge=1, description="unit window: expected windows of a step (unit subject: always all people)"
    )
    learning_rate: float = Field(1e-3, gt=0, description="step size")
    clip_norm: float = Field(1.0, gt=0, description="largest norm of one record's gradient")
    optimizer: Literal["adam", "sgd"] = Field("adam", description="what follows the noised gradient")


class Records(NamedTuple):
    """Windows as n records of k windows each; free places have weight 0.

    x (n, k, signals, bins), target (n, k, 2) one-hot, weight (n, k), all float32.
    """

    x: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]


def published_training(epochs: int, batch_size: int, learning_rate: float, windows: int) -> NoisedTraining:
    """The published steps and batch size on `windows` windows, a public number; clip norm 1.

    Raises InputError where these are more steps than any training takes.
    """
    steps = epochs * math.ceil(windows / batch_size)
    if steps > LARGEST:
        raise InputError(f"epochs: {epochs} with batches of {batch_size} are {steps} steps; ask for fewer")
    return NoisedTraining(steps=steps, batch_size=batch_size, learning_rate=learning_rate)


def expected_windows(training: NoisedTraining, windows: int, unit: Unit) -> float:
    """How many windows a training on `windows` windows is expected to process."""
    return training.steps * (windows if unit == "subject" else min(training.batch_size, windows))


def mechanism(name: str, training: NoisedTraining, budget: Budget) -> Mechanism:
    """The mechanism of a training within `budget`: Poisson draws of windows, or all people in each step.

    Raises InputError for a unit that the backend cannot protect.
    """
    if budget.backend == "tensorflow_privacy" and budget.unit == "subject":
        raise InputError(
            f"{name}: tensorflow-privacy clips each row of a batch, not all windows of a subject together; "
            "use dp_backend fast for unit subject"
        )
    n = budget.known_population().records(budget.unit)
    q = min(1.0, training.batch_size / n) if budget.unit == "window" else 1.0
    return accounting.calibrate(
        budget, name=name, n=n, q=q, room=n, steps=training.steps, clip_norm=training.clip_norm
    )


def lay_out(features: FeatureSet, unit: Unit, population: Population) -> Records:
    """The admitted real rows of `features` as records, in public numbers, and then the synthetic ones.

    Weights balance the classes at the public share of stress: 1 for rest, (1 - share) / share for stress. A
    person's weights are divided by the own number of windows: the record's loss is their mean. A synthetic
    person has as many windows as a real one at most, a synthetic window its own record.
    """
    real, released = (features.take(rows) for rows in (features.fold == "", features.fold != ""))
    parts = [_records(real, unit, population)]
    if len(released):
        made = replace(population, subjects=len(np.unique(released.subject)))
        laid = _records(released, unit, made)
        parts.append(laid if unit == "subject" else Records(*(v[laid.weight[:, 0] > 0] for v in laid)))
    return Records(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _records(features: FeatureSet, unit: Unit, population: Population) -> Records:
    """Rows of `features` as the records of a population; free places have weight 0."""
    rows = features.take(admitted_rows(features.subject, features.start_s, population))
    share = population.stress_share
    weight = mean_weights(np.where(rows.stress, (1 - share) / share, 1.0), rows.subject, unit)
    values = (rows.features, np.eye(2)[rows.stress.astype(int)], weight)
    return Records(*laid_out(values, rows.subject, unit, population))
