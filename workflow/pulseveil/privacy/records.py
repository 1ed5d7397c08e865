"""Records of a private training, and the Poisson draws that choose the records of each step.

A record is one window, or all windows of one person, by the unit of protection. The same mechanism says how
records are drawn and how the draws are accounted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.arrays import Floats
from pulseveil.core.errors import InputError
from pulseveil.privacy.budget import Mechanism, Population, Unit


def admitted_rows(
    subject: NDArray[np.str_], start_s: NDArray[np.float64], population: Population
) -> NDArray[np.intp]:
    """Rows (m) of the windows that a private training uses, by person and then by time.

    Each person counts with the first `population.windows_per_subject` windows. Windows without a time, as
    synthetic ones are, keep their order.

    Raises:
        InputError: there are more people than the public constants say.

    Guarantee:
        The public number of records is never exceeded, and a person's rows depend on no other person: one
        person changes the rows of that person only.

    Examples:
        >>> subject, start_s = np.array(["S3", "S2", "S2"]), np.array([0.0, 60.0, 0.0])
        >>> people = Population(subjects=2, windows_per_subject=1, stress_share=0.3)
        >>> admitted_rows(subject, start_s, people).tolist()
        [2, 0]
    """
    people, person = np.unique(subject, return_inverse=True)
    if len(people) > population.subjects:
        raise InputError(
            f"private training: expected at most {population.subjects} people, found {len(people)}; "
            "set the public constants of the study to its cohort"
        )
    # Cut by person, and not over all rows: another person's windows would move the cut.
    ordered = np.lexsort((start_s, person))
    first = np.searchsorted(person[ordered], np.arange(len(people)))
    position = np.arange(len(ordered)) - first[person[ordered]]
    return ordered[position < population.windows_per_subject]


def person_and_slot(subject: NDArray[np.str_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Index of the person of each row of `admitted_rows` (n), and of the row among that person's rows (n)."""
    _, person, windows = np.unique(subject, return_inverse=True, return_counts=True)
    return person, np.arange(len(subject)) - (np.cumsum(windows) - windows)[person]


def person_means(values: Floats, subject: NDArray[np.str_]) -> Floats:
    """Mean row (people, d) of each person's rows of `values` (n, d), people sorted by name.

    A value that is not finite reaches the mean of its own person only.
    """
    people, person = np.unique(subject, return_inverse=True)
    sums = np.zeros((len(people), values.shape[1]))
    # No product with an indicator matrix: zero times infinity is not a number, in the sums of all people.
    np.add.at(sums, person, values)
    return sums / np.bincount(person, minlength=len(people))[:, np.newaxis]


def means_by_class(values: Floats, stress: NDArray[np.bool_], subject: NDArray[np.str_]) -> Floats:
    """Mean rows (2, people, d) of each person's rows of `values` (n, d) with stress, and of those without.

    NaN for a class that a person lacks, which clipping turns into zeros. People are sorted by name.
    """
    people = np.unique(subject)
    means = np.full((2, len(people), values.shape[1]), np.nan)
    for mean, side in zip(means, (stress, ~stress), strict=True):
        mean[np.isin(people, subject[side])] = person_means(values[side], subject[side])
    return means


def laid_out(
    values: Sequence[NDArray[Any]], subject: NDArray[np.str_], unit: Unit, population: Population
) -> list[NDArray[np.float32]]:
    """Lay out each of `values` (m, ...) as records (n, k, ...) of public sizes; free slots hold zeros.

    The m rows are those of `admitted_rows`; `subject` (m) names the person of each. At unit subject a record
    is one person with k windows, at unit window one window with k = 1.
    """
    # Sizes come from the plan, and not from the fold: folds share a compilation, and no size tells how many
    # windows there are.
    person, slot = person_and_slot(subject)
    grid = (population.subjects, population.windows_per_subject)
    laid = []
    for value in values:
        array = np.zeros((*grid, *value.shape[1:]), np.float32)
        array[person, slot] = value
        laid.append(array if unit == "subject" else array.reshape(-1, 1, *value.shape[1:]))
    return laid


def mean_weights(weight: NDArray[np.float64], subject: NDArray[np.str_], unit: Unit) -> NDArray[np.float64]:
    """Weights (m) of admitted rows; at unit subject, divided by the number of windows of the row's person.

    A record's weighted loss is then the mean over its windows, whatever their number.
    """
    if unit == "window":
        return weight
    person, _ = person_and_slot(subject)
    return weight / np.bincount(person)[person]


NOBODY = -1


@dataclass(frozen=True, eq=False)
class Records:
    """Real windows as n records of up to k windows each.

    windows (n k, ...) float32, condition (n k) int32. rows (n, k) int32: indices of each record's windows;
    free slots hold NOBODY and come last.
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
    """Lay out the windows that the public constants admit as records of public sizes.

    Args:
        windows: (n, ...), in order of time within each person.

    Raises:
        InputError: there are more people than the public constants say.
    """
    # Windows are in order of time: positions serve as times.
    admitted = admitted_rows(subject, np.arange(len(subject), dtype=np.float64), population)
    kept = (windows[admitted], condition[admitted], np.ones(len(admitted)))
    laid, codes, present = laid_out(kept, subject[admitted], "window", population)
    rows = np.where(present[:, 0] > 0, np.arange(len(present)), NOBODY).astype(np.int32)
    return Records(laid[:, 0], codes[:, 0].astype(np.int32), rows.reshape(population.records(unit), -1))


def drawn_rows(
    records: Records, order: NDArray[np.int32], windows_each: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Draw windows (steps, capacity, windows_each) int32 of the records in `order` (steps, capacity).

    A record's windows are drawn with replacement. The result is NOBODY for records without windows, and where
    `order` is negative.

    Guarantee:
        A record's windows in a step depend on that step and record only: neither on other records nor on the
        position in the draw. Amplification by sampling needs this.
    """
    counts = (records.rows != NOBODY).sum(axis=1)
    # Random numbers for all records, drawn or not: with numbers for the drawn ones only, drawing one record
    # would move the numbers of all records behind it.
    uniform = rng.random((len(order), len(counts), windows_each))
    own = np.take_along_axis(uniform, np.maximum(order, 0)[..., np.newaxis], axis=1)
    slot = (own * counts[order][..., np.newaxis]).astype(np.int32)
    return np.where(order[..., np.newaxis] >= 0, records.rows[order[..., np.newaxis], slot], np.int32(NOBODY))


ABSENT = -1


def draw(mechanism: Mechanism, rng: np.random.Generator) -> NDArray[np.int32]:
    """Poisson draws: record numbers (steps, capacity) int32 of all steps; free slots hold ABSENT, come last.

    Guarantee:
        Each of the n records is in each step with probability q, independently of all others; a draw above
        the capacity is cut to a uniformly random subset. This is the sampler that `privacy.accounting`
        assumes. Draws read no data. They must be secret, or epsilon is the one without amplification.
    """
    return draws(rng, n=mechanism.n, q=mechanism.q, capacity=mechanism.capacity, steps=mechanism.steps)


def draws(rng: np.random.Generator, *, n: int, q: float, capacity: int, steps: int) -> NDArray[np.int32]:
    """Poisson draws as `draw`, without a mechanism: for models without privacy.

    Examples:
        >>> draws(np.random.default_rng(1), n=4, q=0.5, capacity=3, steps=2).tolist()
        [[2, -1, -1], [0, 1, 3]]
    """
    order = np.full((steps, capacity), ABSENT, np.int32)
    for row in order:
        # Random numbers are below 1: with q = 1, each step holds all records.
        drawn = np.flatnonzero(rng.random(n) < q)
        # A random subset: the first ones in order would give the last records a lower sampling rate than q.
        if len(drawn) > capacity:
            drawn = rng.permutation(drawn)[:capacity]
        row[: len(drawn)] = drawn
    return order


def with_released(
    order: NDArray[np.int32], mechanism: Mechanism, released: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Add draws of `released` further records to `order`: (steps, capacity + released) int32.

    Released records are numbered from the mechanism's n upwards, and are drawn with its q. They have capacity
    of their own: no draw of a real record is cut for them.
    """
    drawn = draws(rng, n=released, q=mechanism.q, capacity=released, steps=mechanism.steps)
    both = np.hstack([order, np.where(drawn == ABSENT, ABSENT, drawn + mechanism.n)])
    # Free slots come last again: a step passes only over as many slots as it has records.
    return np.take_along_axis(both, np.argsort(both == ABSENT, axis=1, kind="stable"), axis=1)
