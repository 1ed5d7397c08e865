"""Windows as the records of a private training, and which records take part in which step.

A record belongs to one window or one person, by the unit of protection. The draws are those that the
accountant assumes, from the same mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.errors import InputError
from pulseveil.privacy.budget import Mechanism, Population, Unit

Array = NDArray[np.float64]


def admitted_rows(
    subject: NDArray[np.str_], start_s: NDArray[np.float64], population: Population
) -> NDArray[np.intp]:
    """Rows (m) of windows that a private training uses, by person and then by time.

    Each person counts with the first `population.windows_per_subject` windows, so that the public number of
    records is never exceeded; windows without a time (synthetic ones) keep their order. A person's rows do
    not depend on other people. Raises InputError where there are more people than the public constants say.
    """
    people, person = np.unique(subject, return_inverse=True)
    if len(people) > population.subjects:
        raise InputError(
            f"private training: expected at most {population.subjects} people, found {len(people)}; "
            "set the public constants of the study to its cohort"
        )
    ordered = np.lexsort((start_s, person))
    first = np.searchsorted(person[ordered], np.arange(len(people)))
    position = np.arange(len(ordered)) - first[person[ordered]]
    return ordered[position < population.windows_per_subject]


def places(subject: NDArray[np.str_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Whose (n) the rows of `admitted_rows` are, people counted from 0, and which of that person's (n)."""
    _, person, windows = np.unique(subject, return_inverse=True, return_counts=True)
    return person, np.arange(len(subject)) - (np.cumsum(windows) - windows)[person]


def person_means(values: Array, subject: NDArray[np.str_]) -> Array:
    """The mean row (people, d) of each person's rows of `values` (n, d), people sorted by name.

    A value that is not finite spoils its own person only.
    """
    people, person = np.unique(subject, return_inverse=True)
    sums = np.zeros((len(people), values.shape[1]))
    # No product with a table of people: zero times infinity would reach everybody.
    np.add.at(sums, person, values)
    return sums / np.bincount(person, minlength=len(people))[:, np.newaxis]


def laid_out(
    values: Sequence[NDArray[Any]], subject: NDArray[np.str_], unit: Unit, population: Population
) -> list[NDArray[np.float32]]:
    """Each of `values` (m, ...) as records (n, k, ...) in public numbers; slots that stay free hold zeros.

    The m rows are those of `admitted_rows`, and `subject` (m) says whose they are. At unit subject a record
    is a person with k windows, at unit window a window with k = 1. The public numbers are the same for all
    folds of a study: folds share a compilation, and none tells how many windows there are.
    """
    person, slot = places(subject)
    grid = (population.subjects, population.windows_per_subject)
    laid = []
    for value in values:
        array = np.zeros((*grid, *value.shape[1:]), np.float32)
        array[person, slot] = value
        laid.append(array if unit == "subject" else array.reshape(-1, 1, *value.shape[1:]))
    return laid


def mean_weights(weight: NDArray[np.float64], subject: NDArray[np.str_], unit: Unit) -> NDArray[np.float64]:
    """Weights (m) of admitted rows, at unit subject divided by the own number of windows of each person.

    So a record's weighted loss is the mean over its windows, whatever their number.
    """
    if unit == "window":
        return weight
    person, _ = places(subject)
    return weight / np.bincount(person)[person]


NOBODY = -1


@dataclass(frozen=True, eq=False)
class Records:
    """Real windows as n records of up to k windows each.

    windows (n k, ...) float32, condition (n k) int32; rows (n, k) int32: the windows of each
    record, NOBODY in slots that stay free, which come last.
    """

    windows: NDArray[np.float32]
    condition: NDArray[np.int32]
    rows: NDArray[np.int32]


def lay_out(
    windows: NDArray[np.float32],
    condition: NDArray[np.int8],
    subject: NDArray[np.str_],
    unit: Unit,
    population: Population,
) -> Records:
    """The windows that the public constants admit, as records in public numbers.

    windows (n, ...), those of each of `subject` (n) in order of time. Raises InputError where
    there are more people than the public constants say.
    """
    admitted = admitted_rows(subject, np.arange(len(subject), dtype=np.float64), population)
    kept = (windows[admitted], condition[admitted], np.ones(len(admitted)))
    laid, codes, present = laid_out(kept, subject[admitted], "window", population)
    rows = np.where(present[:, 0] > 0, np.arange(len(present)), NOBODY).astype(np.int32)
    return Records(laid[:, 0], codes[:, 0].astype(np.int32), rows.reshape(population.records(unit), -1))


def drawn_rows(
    records: Records, order: NDArray[np.int32], windows_each: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Windows (steps, capacity, windows_each) of the records that `order` (steps, capacity) names.

    A record's windows are drawn with replacement, by random numbers that belong to the step and the record:
    they depend neither on other records nor on the record's position in the draw. NOBODY for records that
    have none, and where `order` is negative.
    """
    counts = (records.rows != NOBODY).sum(axis=1)
    uniform = rng.random((len(order), len(counts), windows_each))
    own = np.take_along_axis(uniform, np.maximum(order, 0)[..., np.newaxis], axis=1)
    slot = (own * counts[order][..., np.newaxis]).astype(np.int32)
    return np.where(order[..., np.newaxis] >= 0, records.rows[order[..., np.newaxis], slot], np.int32(NOBODY))


ABSENT = -1


def draw(mechanism: Mechanism, rng: np.random.Generator) -> NDArray[np.int32]:
    """Record numbers (steps, capacity) of all steps; slots that stay free hold ABSENT and come last.

    Each of the n records is in each step with probability q, independently of all else (Poisson sampling); a
    draw above the capacity is cut to a uniformly random subset. With q = 1 each step holds all records.
    """
    return draws(rng, n=mechanism.n, q=mechanism.q, capacity=mechanism.capacity, steps=mechanism.steps)


def draws(rng: np.random.Generator, *, n: int, q: float, capacity: int, steps: int) -> NDArray[np.int32]:
    """The draws (steps, capacity) of `draw`, where there is no mechanism: for models without privacy."""
    order = np.full((steps, capacity), ABSENT, np.int32)
    for row in order:
        drawn = np.flatnonzero(rng.random(n) < q)
        if len(drawn) > capacity:
            drawn = rng.permutation(drawn)[:capacity]
        row[: len(drawn)] = drawn
    return order


def with_released(
    order: NDArray[np.int32], mechanism: Mechanism, released: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """The draws `order` (steps, capacity), and beside them `released` further records, each drawn with q too.

    Those are numbered from the mechanism's n upwards. No draw is cut for them.
    """
    drawn = draws(rng, n=released, q=mechanism.q, capacity=released, steps=mechanism.steps)
    both = np.hstack([order, np.where(drawn == ABSENT, ABSENT, drawn + mechanism.n)])
    return np.take_along_axis(both, np.argsort(both == ABSENT, axis=1, kind="stable"), axis=1)
