"""Private training of the conditional GAN: public settings, records, and refusals.

Only the discriminator sees real windows, by noised sums of clipped records; the generator learns from the
discriminator alone. Larger batches suit the noise and, where there are thousands of steps, so do several of
the discriminator for one of the generator (Bie, Kamath and Zhang 2023, arXiv:2302.02936). A thousand windows
buy hundreds of steps: then the generator needs each of them, and a narrow discriminator draws less noise
(tests/benchmarks/private_cgan.py, where nothing was better than chance at epsilon 10).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.errors import InputError
from pulseveil.privacy import accounting
from pulseveil.privacy.budget import Budget, Population, Unit
from pulseveil.privacy.mechanism import Mechanism
from pulseveil.privacy.records import admitted_rows, places
from pulseveil.settings import Settings

NOBODY = -1
PUBLIC_QUANTITIES = ("number of people", "windows of a person", "shares of the conditions", "diversity bound")


class PrivateCGAN(Settings):
    """How a private conditional GAN is trained."""

    steps: int = Field(300, gt=0, description="noised steps of the discriminator")
    batch_size: float = Field(
        256, gt=0, description="unit window: expected real windows of a step (unit subject: all people)"
    )
    windows_each: int = Field(8, gt=0, description="unit subject: windows drawn of each person in a step")
    fakes: int = Field(64, gt=0, multiple_of=2, description="synthetic windows of a step, a fixed number")
    discriminator_steps: int = Field(
        1, gt=0, description="steps of the discriminator for each of the generator"
    )
    learning_rate: float = Field(1e-3, gt=0, description="Adam's rate, both networks")
    width_divisor: int = Field(
        4, gt=0, description="the discriminator's layers have their published widths, divided by this"
    )
    clip_norm: float = Field(1.0, gt=0, description="largest norm of one record's gradient")


@dataclass(frozen=True, eq=False)
class Records:
    """Real windows as n records of up to k windows each.

    windows (n k, time, channels) float32, condition (n k) int32; rows (n, k) int32: the windows of each
    record, NOBODY in places that stay free, which come last.
    """

    windows: NDArray[np.float32]
    condition: NDArray[np.int32]
    rows: NDArray[np.int32]


def discriminator_mechanism(
    private: PrivateCGAN, budget: Budget, *, selection: str, diversity: str, bound: float | None
) -> Mechanism:
    """The mechanism of a training within `budget`: Poisson draws of windows, or all people in each step.

    Raises InputError for settings that look at real windows beside the noised sums.
    """
    if selection != "last":
        raise InputError(
            f"cgan: selection {selection} compares with real windows, at no noise; "
            "private: use selection last"
        )
    if diversity == "effective" and bound is None:
        raise InputError(
            "cgan: diversity effective takes its bound from the training windows, at no noise; "
            "private: give diversity_bound, for example from simulated cohorts"
        )
    if budget.backend == "tensorflow_privacy":
        raise InputError("cgan: tensorflow-privacy has no such training; use dp_backend fast")
    n = budget.known_population().records(budget.unit)
    q = min(1.0, private.batch_size / n) if budget.unit == "window" else 1.0
    return accounting.calibrate(
        budget, name="discriminator", n=n, q=q, room=n, steps=private.steps, clip_norm=private.clip_norm
    )


def expected_examples(private: PrivateCGAN, windows: int, unit: Unit) -> float:
    """How many windows, real and synthetic, a training on `windows` windows is expected to process."""
    real = windows if unit == "subject" else min(private.batch_size, windows)
    return private.steps * (real + private.fakes)


def lay_out(
    windows: NDArray[np.float32],
    condition: NDArray[np.int8],
    subject: NDArray[np.str_],
    unit: Unit,
    population: Population,
) -> Records:
    """The windows that the public constants admit, as records in public numbers.

    windows (n, time, channels), those of each of `subject` (n) in order of time. Raises InputError where
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

    A record's windows are drawn with replacement, with numbers that do not depend on other records. NOBODY
    for records that have none, and where `order` is negative.
    """
    counts = (records.rows != NOBODY).sum(axis=1)
    uniform = rng.random((*order.shape, windows_each))
    place = (uniform * counts[order][..., np.newaxis]).astype(np.int32)
    return np.where(
        order[..., np.newaxis] >= 0, records.rows[order[..., np.newaxis], place], np.int32(NOBODY)
    )
