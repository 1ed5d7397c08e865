"""Private training of the neural detectors: settings, mechanism, and the layout of records."""

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
    """Settings of the private training of a network.

    The defaults suit noise better than the published settings. Each step costs epsilon, and the noise on a
    mean falls with the number of records in it: so there are few steps, each on about half of the windows.
    """

    steps: int = Field(50, gt=0, description="noised steps")
    batch_size: float = Field(
        250, ge=1, description="unit window: expected windows per step (unit subject: always all people)"
    )
    learning_rate: float = Field(1e-3, gt=0, description="step size")
    clip_norm: float = Field(1.0, gt=0, description="largest norm of one record's gradient")
    optimizer: Literal["adam", "sgd"] = Field("adam", description="optimizer that takes the noised gradient")


class PaddedRecords(NamedTuple):
    """Windows as n records of k windows each; unused slots have weight 0.

    x (n, k, signals, bins), target (n, k, 2) one-hot, weight (n, k), all float32.
    """

    x: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]


def published_training(epochs: int, batch_size: int, learning_rate: float, windows: int) -> NoisedTraining:
    """Private training with the published numbers of steps and batch size, and clip norm 1.

    windows: the public number of windows, because a counted number would be a private value.

    Raises:
        InputError: the number of steps is above `settings.LARGEST`.

    Examples:
        >>> training = published_training(epochs=10, batch_size=50, learning_rate=1e-3, windows=495)
        >>> training.steps, training.clip_norm
        (100, 1.0)
    """
    steps = epochs * math.ceil(windows / batch_size)
    if steps > LARGEST:
        raise InputError(
            f"epochs: {epochs} with batch_size {batch_size} are {steps} steps; expected at most {LARGEST:g}"
        )
    return NoisedTraining(steps=steps, batch_size=batch_size, learning_rate=learning_rate)


def expected_windows(training: NoisedTraining, windows: int, unit: Unit, rows_of_pass: int) -> float:
    """Expected number of windows that all steps of a training on `windows` windows process.

    rows_of_pass: rows of one pass; absent windows fill up the last pass of a step, and take as long.

    Examples:
        >>> expected_windows(NoisedTraining(steps=10, batch_size=50), 500, "window", rows_of_pass=16)
        640.0
    """
    if unit == "subject":
        return float(training.steps * windows)
    passes = math.ceil(min(training.batch_size, windows) / rows_of_pass)
    return float(training.steps * passes * rows_of_pass)


def mechanism(name: str, training: NoisedTraining, budget: Budget) -> Mechanism:
    """Mechanism of a training within `budget`: Poisson-sampled windows, or all people in each step.

    Raises:
        InputError: the backend tensorflow-privacy at unit subject.
    """
    if budget.backend == "tensorflow_privacy" and budget.unit == "subject":
        raise InputError(
            f"{name}: tensorflow-privacy clips each row of a batch, not all windows of a subject together; "
            "use dp_backend fast for unit subject"
        )
    n = budget.known_population().records(budget.unit)
    # Every step takes all people: Poisson sampling of 14 people is never better.
    q = min(1.0, training.batch_size / n) if budget.unit == "window" else 1.0
    return accounting.calibrate(
        budget, name=name, n=n, q=q, capacity=n, steps=training.steps, clip_norm=training.clip_norm
    )


def lay_out(features: FeatureSet, unit: Unit, population: Population) -> PaddedRecords:
    """Records of the admitted real rows of `features`, in public numbers, then those of the synthetic rows.

    Weights balance the classes at the public share of stress: 1 for rest, (1 - share) / share for stress. At
    unit subject each weight is divided by the person's number of windows, so that a record's loss is the mean
    over the person. A synthetic person has at most as many windows as a real person. At unit window each
    synthetic window is a record of its own.

    Raises:
        InputError: the real rows have more people than `population`.
    """
    # Real rows have the empty fold, synthetic rows the fold of their generator.
    real, released = (features.take(rows) for rows in (features.fold == "", features.fold != ""))
    parts = [_records(real, unit, population)]
    if len(released):
        synthetic = replace(population, subjects=len(np.unique(released.subject)))
        laid = _records(released, unit, synthetic)
        # The number of released windows is public: only real records need empty slots to hide theirs.
        parts.append(laid if unit == "subject" else PaddedRecords(*(v[laid.weight[:, 0] > 0] for v in laid)))
    return PaddedRecords(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _records(features: FeatureSet, unit: Unit, population: Population) -> PaddedRecords:
    """Rows of `features` as the records of a population; unused slots have weight 0."""
    rows = features.take(admitted_rows(features.subject, features.start_s, population))
    share = population.stress_share
    weight = mean_weights(np.where(rows.stress, (1 - share) / share, 1.0), rows.subject, unit)
    values = (rows.features, np.eye(2)[rows.stress.astype(int)], weight)
    return PaddedRecords(*laid_out(values, rows.subject, unit, population))
