"""Windows as records of a private training: whose they are, and how many of each person count."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulseveil.errors import InputError
from pulseveil.privacy.budget import Population

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
    place = np.arange(len(ordered)) - first[person[ordered]]
    return ordered[place < population.windows_per_subject]


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
