"""Windows of a private GAN's training as records in public numbers, and which of them a step sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulseveil.privacy.budget import Population, Unit
from pulseveil.privacy.records import admitted_rows, places

NOBODY = -1


@dataclass(frozen=True, eq=False)
class Records:
    """Real windows as n records of up to k windows each.

    windows (n k, ...) float32, condition (n k) int32; rows (n, k) int32: the windows of each
    record, NOBODY in places that stay free, which come last.
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
    person, place = places(subject[admitted])
    # Public sizes: all folds of a study share a compilation, and none tells how many windows there are.
    size = population.records("window")
    position = person * population.windows_per_subject + place
    laid_windows, laid_condition = np.zeros((size, *windows.shape[1:]), np.float32), np.zeros(size, np.int32)
    laid_windows[position], laid_condition[position] = windows[admitted], condition[admitted]
    rows = np.full(size, NOBODY, np.int32)
    rows[position] = position
    return Records(laid_windows, laid_condition, rows.reshape(population.records(unit), -1))


def drawn_rows(
    records: Records, order: NDArray[np.int32], windows_each: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Windows (steps, room, windows_each) of the records that `order` (steps, room) names.

    A record's windows are drawn with replacement, by random numbers that belong to the step and the record:
    they depend neither on other records nor on the record's position in the draw. NOBODY for records that
    have none, and where `order` is negative.
    """
    counts = (records.rows != NOBODY).sum(axis=1)
    uniform = rng.random((len(order), len(counts), windows_each))
    own = np.take_along_axis(uniform, np.maximum(order, 0)[..., np.newaxis], axis=1)
    place = (own * counts[order][..., np.newaxis]).astype(np.int32)
    return np.where(
        order[..., np.newaxis] >= 0, records.rows[order[..., np.newaxis], place], np.int32(NOBODY)
    )
