"""Class-conditional Gaussian of low rank: the baseline that a GAN must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.core.errors import InputError
from pulseveil.generators import Generator, GeneratorSettings, Training, private_moments
from pulseveil.generators.private_moments import PrivateMoments
from pulseveil.generators.subjects import class_shares
from pulseveil.privacy import ledger
from pulseveil.privacy.budget import Budget, Mechanism, Unit
from pulseveil.privacy.gaussian import release
from pulseveil.privacy.ledger import Entry
from pulseveil.privacy.programs import RELEASE
from pulseveil.privacy.records import admitted_rows


class MomentsSettings(GeneratorSettings):
    """Settings of `moments`."""

    rank: int = Field(30, gt=0, description="principal directions kept per condition")
    # Chosen on simulated cohorts: white noise hides the spread within windows (tests/benchmarks/moments.py).
    residual: Literal["none", "white"] = Field(
        "none",
        description="variance outside the kept directions: left out, or added as white noise",
    )
    private: PrivateMoments = Field(PrivateMoments(), description="private training: one noised query")


class Moments(Generator):
    """Class-conditional Gaussian of the flattened windows.

    mean (k, d), factors (k, rank, d) and residual (k, d), where d = time * channels: a window of condition c
    is `mean[c] + noise[:rank] @ factors[c] + noise[rank:] * residual[c]`. A white residual is the standard
    deviation that the kept directions leave at each second and channel. Without a residual, windows lack a
    little variance but stay as smooth as real ones: detectors that read the spread within a window learn more
    (simulated cohorts, tests/benchmarks/moments.py).

    A private training is one noised query of the few moments of `private_moments`, in the same form.

    Examples:
        >>> from pulseveil.core.randomness import root_stream
        >>> from pulseveil.privacy.budget import NOT_PRIVATE
        >>> windows = np.array([0, 2, 10, 14], np.float32).reshape(4, 1, 1)
        >>> condition, subject = np.array([0, 0, 1, 1], np.int8), np.repeat(["S2"], 4)
        >>> training = Training(windows, condition, subject, 2, NOT_PRIVATE, root_stream(1))
        >>> model = Moments.fit(MomentsSettings(rank=1), training)
        >>> noise = np.zeros((2, model.noise_size), np.float32)
        >>> model.sample(np.array([0, 1], np.int8), noise).ravel().tolist()
        [1.0, 12.0]
    """

    Settings: ClassVar[type[GeneratorSettings]] = MomentsSettings
    title: ClassVar[str] = "Moments"
    colour: ClassVar[str] = "#D55E00"
    version: ClassVar[int] = 2
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    programs: ClassVar[tuple[int, ...]] = (RELEASE,)
    private_differences: ClassVar[tuple[str, ...]] = (
        "few moments of each channel instead of all seconds of a window",
        "public spectrum of the rest, public ranges",
    )

    def __init__(
        self,
        mean: NDArray[np.float32],
        factors: NDArray[np.float32],
        residual: NDArray[np.float32],
        shape: tuple[int, int],
        ledger: tuple[Entry, ...] = (),
    ) -> None:
        self._mean, self._factors, self._residual, self._shape = mean, factors, residual, shape
        self._ledger = ledger

    @classmethod
    def fit(cls, settings: MomentsSettings, training: Training) -> Self:
        """Fit to the windows of a training.

        Raises:
            InputError: a condition has fewer than two windows (checked only without a budget), or a private
                training has more people than its public constants.
        """
        if training.budget.is_private:
            return cls._fit_private(settings, training)
        windows = training.windows
        flat = windows.reshape(len(windows), -1).astype(np.float64)
        parts = []
        for code in range(training.classes):
            rows = flat[training.condition == code]
            if len(rows) < 2:
                raise InputError(
                    f"moments: condition {code} has {len(rows)} windows, at least 2 are needed; "
                    "train on more subjects or set another number of classes"
                )
            mean, factors, left = _low_rank(rows, settings.rank)
            parts.append((mean, factors, left if settings.residual == "white" else np.zeros_like(left)))
        means, directions, residual = (np.stack(part).astype(np.float32) for part in zip(*parts, strict=True))
        return cls(means, directions, residual, (windows.shape[1], windows.shape[2]))

    @classmethod
    def _fit_private(cls, settings: MomentsSettings, training: Training) -> Self:
        windows, subject, budget = training.windows, training.subject, training.budget
        private, (mechanism,) = settings.private, cls.mechanisms(settings, budget)
        population, noise = budget.known_population(), budget.noise_source()
        # Windows beyond the public number per person are left out: the accountant counts no further records.
        rows = admitted_rows(subject, np.arange(len(subject), dtype=np.float64), population)
        summaries = private_moments.window_summaries(windows[rows], private)
        records = private_moments.contributions(
            summaries, training.condition[rows], subject[rows], training.classes, budget.unit
        )
        released = private_moments.released_moments(
            release(records, mechanism, noise),
            private,
            mechanism,
            class_shares(training.classes, population.stress_share),
            windows.shape[2],
        )
        parts = private_moments.as_gaussian(released, private, windows.shape[1])
        mean, factors, residual = (part.astype(np.float32) for part in parts)
        entry = ledger.close(
            mechanism,
            steps_noised=1,
            delta=budget.delta,
            noise=noise,
            public_quantities=private_moments.PUBLIC_QUANTITIES,
            program=RELEASE,
        )
        return cls(mean, factors, residual, (windows.shape[1], windows.shape[2]), (entry,))

    @staticmethod
    def mechanisms(settings: MomentsSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """The query of a private training."""
        return (private_moments.moments_mechanism(settings.private, budget),)

    @property
    def ledger(self) -> tuple[Entry, ...]:
        """The ledger entry of a private training; empty without a budget and for models read from arrays."""
        return self._ledger

    @staticmethod
    def expected_seconds(settings: MomentsSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows."""
        return 0.007 if private else 0.01 + 8e-5 * rows

    @property
    def noise_size(self) -> int:
        """Number of standard normal numbers from which one window is synthesized."""
        return int(self._factors.shape[1] + self._factors.shape[2])

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), from noise (n, noise_size)."""
        rank = self._factors.shape[1]
        # All rows by the factors of all conditions: a matrix product rounds differently for another number of
        # rows, and a window must not depend on the conditions of other rows.
        drawn = (noise[:, :rank] @ self._factors)[condition, np.arange(len(condition))]
        windows: NDArray[np.float32] = (
            self._mean[condition] + drawn + noise[:, rank:] * self._residual[condition]
        )
        return windows.reshape(len(condition), *self._shape)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """mean, factors, residual and the shape (time, channels) of a window."""
        return {
            "mean": self._mean,
            "factors": self._factors,
            "residual": self._residual,
            "shape": np.array(self._shape),
        }

    @classmethod
    def from_arrays(cls, settings: MomentsSettings, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The generator with the state `arrays`, as `arrays()` returned it."""
        time, channels = (int(size) for size in arrays["shape"])
        return cls(arrays["mean"], arrays["factors"], arrays["residual"], (time, channels))


def _low_rank(
    rows: NDArray[np.float64], rank: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean (d), scaled principal directions (rank, d; zero beyond n - 1) and residual deviation (d)."""
    mean = rows.mean(axis=0)
    _, scale, directions = np.linalg.svd((rows - mean) / np.sqrt(len(rows) - 1), full_matrices=False)
    kept = min(rank, len(scale))
    factors = np.zeros((rank, rows.shape[1]))
    factors[:kept] = scale[:kept, np.newaxis] * directions[:kept]
    # The signs of singular vectors are arbitrary. Fixed signs give the same model on every machine.
    largest = np.take_along_axis(factors, np.abs(factors).argmax(axis=1)[:, np.newaxis], axis=1)
    factors *= np.where(largest < 0, -1, 1)
    # Rounding can leave a variance slightly below 0 where the kept directions hold all of it.
    residual = np.sqrt(np.maximum(rows.var(axis=0, ddof=1) - np.square(factors).sum(axis=0), 0))
    return mean, factors, residual
