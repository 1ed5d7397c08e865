"""Generators: models that synthesize windows; registered under `pulseveil.generators`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pulseveil.checkpoints import Checkpoint
from pulseveil.privacy.budget import Budget, Unit
from pulseveil.randomness import Stream
from pulseveil.settings import Settings

if TYPE_CHECKING:
    from pulseveil.privacy.ledger import Entry
    from pulseveil.privacy.mechanism import Mechanism


class GeneratorSettings(Settings):
    """Base of all generators' settings."""


class TrainingSet(NamedTuple):
    """What one of several models learns: windows (n, time, channels), their codes (n), its random numbers."""

    windows: NDArray[np.float32]
    condition: NDArray[np.int8]
    stream: Stream


@runtime_checkable
class FitsTogether(Protocol):
    """A kind of generator that can also train many models in one program, which fills a GPU."""

    @classmethod
    def fit_together(
        cls,
        settings: Any,
        parts: Sequence[TrainingSet],
        *,
        classes: int,
        checkpoint: Checkpoint | None = None,
    ) -> list[Self]:
        """One model a part, none of them private: those of `fit` but for rounding."""
        ...


@runtime_checkable
class Discriminates(Protocol):
    """A kind of generator whose trained models have their discriminator with them, which audits attack."""

    def realness(self, windows: NDArray[np.float32], condition: NDArray[np.int8]) -> NDArray[np.float32]:
        """How much (n) the discriminator takes windows (n, time, channels) of codes (n) for real ones."""
        ...


class Generator(Protocol):
    """A model fitted to windows of known condition.

    `Settings` are its keys in the study; `version` rises whenever the same settings and stream give another
    model; `uses_tensorflow` tells the plan whether a job pays TensorFlow's start-up; `private_units` are the
    units at which it has a private training, which leaves its `ledger`, one entry a mechanism, in the model;
    `programs` are the versions of what trains it there (see `privacy.programs`). A kind without private units
    needs neither `ledger`, `mechanisms` nor `programs`. Poisson draws are set by
    `private.batch_size`, the records that a step expects: audits scale it with the number of records.
    """

    Settings: ClassVar[type[GeneratorSettings]]
    version: ClassVar[int]
    uses_tensorflow: ClassVar[bool]
    private_units: ClassVar[frozenset[str]]
    programs: ClassVar[tuple[int, ...]]

    @classmethod
    def fit(
        cls,
        settings: Any,
        windows: NDArray[np.float32],
        condition: NDArray[np.int8],
        *,
        classes: int,
        budget: Budget,
        stream: Stream,
        checkpoint: Checkpoint | None = None,
        subject: NDArray[np.str_] | None = None,
    ) -> Self:
        """Fit to windows (n, time, channels) with condition codes (n) in 0..classes-1.

        `subject` (n) says whose windows these are, in order of time: private trainings must know.
        """
        ...

    @staticmethod
    def mechanisms(settings: Any, budget: Budget) -> tuple[Mechanism, ...]:
        """The mechanisms of a private training, calibrated to `budget`: from public constants alone."""
        ...

    @property
    def ledger(self) -> tuple[Entry, ...]:
        """The ledger entries of a private training; empty for others, and for models read from arrays."""
        ...

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that one window is made from."""
        ...

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), made from noise (n, noise_size).

        The noise is standard normal; a window depends on its own code and noise only, to the last bit as long
        as the number of rows n stays the same.
        """
        ...

    @staticmethod
    def expected_seconds(settings: Any, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows: a guide, not a promise.

        private: the unit of a private training, None for others.
        """
        ...

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The fitted state as named arrays, for `store.write_models`."""
        ...

    @classmethod
    def from_arrays(cls, settings: Any, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The generator whose `arrays()` these are."""
        ...
