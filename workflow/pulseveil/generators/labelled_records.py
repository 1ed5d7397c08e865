"""Rows of known condition as records of a private training, by public constants; imports TensorFlow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulseveil.generators.subjects import class_shares
from pulseveil.networks.training import Examples
from pulseveil.privacy.budget import Population, Unit
from pulseveil.privacy.records import admitted_rows, places


def lay_out(
    values: NDArray[np.float32],
    condition: NDArray[np.int8],
    subject: NDArray[np.str_],
    classes: int,
    unit: Unit,
    population: Population,
) -> Examples:
    """Admitted rows of values (rows, ...) as records, in public numbers.

    `subject` (rows) says whose values these are, in order of time. Result: x (n, k, ...), target (n, k,
    classes) one-hot, weight (n, k). Free places have weight 0. Weights make conditions count alike at their
    public shares; a person's are divided by the own number of windows, so that the record's loss is a mean.
    """
    rows = admitted_rows(subject, np.arange(len(subject), dtype=np.float64), population)
    person, place = places(subject[rows])
    shares = class_shares(classes, population.stress_share)
    weight = 1 / (classes * shares[condition[rows]])
    if unit == "subject":
        weight = weight / np.bincount(person)[person]
    grid = (population.subjects, population.windows_per_subject)
    laid = []
    for value in (values[rows], np.eye(classes)[condition[rows]], weight):
        array = np.zeros((*grid, *value.shape[1:]), np.float32)
        array[person, place] = value
        laid.append(array if unit == "subject" else array.reshape(-1, 1, *value.shape[1:]))
    return Examples(*laid)
