"""Generators: models that synthesize windows; registered under `pulseveil.generators`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import Stream
from pulseveil.core.registry import of_private_kinds
from pulseveil.core.settings import Settings
from pulseveil.privacy.budget import Budget, Mechanism, Unit
from pulseveil.privacy.ledger import Entry

# What other packages may use, in reading order.
__all__ = [  # noqa: RUF022
    "GeneratorSettings",
    "Training",
    "FitsTogether",
    "Discriminates",
    "GeneratorKind",
    "GeneratorModel",
    "Generator",
    "subjects",
]


class GeneratorSettings(Settings):
    """Base of all generators' settings."""


@dataclass(frozen=True, eq=False)
class Training:
    """What one model learns from, and how.

    windows (n, time, channels) of `subject` (n), those of each subject in order of time; condition (n):
    their codes in 0..classes-1. stream: decides all random numbers but those of privacy noise.
    checkpoint: where the training's state is kept; the training goes on from a state that is found there.
    """

    windows: NDArray[np.float32]
    condition: NDArray[np.int8]
    subject: NDArray[np.str_]
    classes: int
    budget: Budget
    stream: Stream
    checkpoint: Checkpoint | None = None


class FitsTogether(ABC):
    """Second base of a kind whose model can also train many in one program, which fills a GPU."""

    @classmethod
    @abstractmethod
    def fit_together(
        cls, settings: Any, trainings: Sequence[Training], checkpoint: Checkpoint | None
    ) -> list[Self]:
        """One model per training, none of them private: those of `fit` but for rounding.

        All trainings have the same classes. `checkpoint` is that of the program: their own are not used.
        """
        ...


class Discriminates(ABC):
    """Second base of a kind whose trained models keep their discriminator, which audits attack."""

    @abstractmethod
    def realness(self, windows: NDArray[np.float32], condition: NDArray[np.int8]) -> NDArray[np.float32]:
        """How much (n) the discriminator takes windows (n, time, channels) of codes (n) for real ones."""
        ...


class GeneratorKind(Protocol):
    """What plans know of a kind of generator, without TensorFlow and other imports of seconds.

    `Settings` are its keys in the study; `title` is the kind's name for readers, and `colour` that of its
    marks in figures; `version` rises whenever the same settings and stream give another model;
    `uses_tensorflow` tells the plan whether a job pays TensorFlow's start-up; `private_units` are the units
    at which it has a private training, which leaves its `ledger`, one entry per mechanism, in the model;
    `programs` are the versions of what trains it there (see `privacy.programs`); `private_differences` say
    what else a private training changes beside clipping and noise, for readers who compare a model with and
    without a budget. A kind without private units leaves all but `private_units` as they are here.

    `model` is the kind's `GeneratorModel` as `module:Class`: jobs import it, plans do not. Empty: the kind is
    its own model (`Generator`). Bases `FitsTogether` and `Discriminates` say what its model can do beside.
    """

    Settings: ClassVar[type[GeneratorSettings]]
    title: ClassVar[str]
    colour: ClassVar[str | None] = None
    version: ClassVar[int]
    uses_tensorflow: ClassVar[bool] = False
    private_units: ClassVar[frozenset[str]] = frozenset()
    programs: ClassVar[tuple[int, ...]] = ()
    private_differences: ClassVar[tuple[str, ...]] = ()
    model: ClassVar[str] = ""

    @staticmethod
    @of_private_kinds
    def mechanisms(settings: Any, budget: Budget) -> tuple[Mechanism, ...]:
        """The mechanisms of a private training, calibrated to `budget`: from public constants alone."""
        raise InputError("this kind of generator has no private training; use epsilon inf")

    @staticmethod
    def audited_settings(settings: Any, claimed: Budget, audited: Budget) -> Any:
        """Settings that run within `audited`, on more records, the mechanisms of `settings` within `claimed`.

        As they are where steps take all records. Poisson draws keep their q by `privacy.budget.at_rate`.
        """
        return settings

    @staticmethod
    @abstractmethod
    def expected_seconds(settings: Any, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows: a guide, not a promise.

        private: the unit of a private training, None for others.
        """
        ...


class GeneratorModel(Protocol):
    """A trained model, which makes windows of an asked condition.

    `settings` are those of its kind. `ledger` has one entry per mechanism of a private training.
    """

    @classmethod
    @abstractmethod
    def fit(cls, settings: Any, training: Training) -> Self:
        """The model of one training; a resumed training ends in the same bits as an unbroken one."""
        ...

    @property
    @of_private_kinds
    def ledger(self) -> tuple[Entry, ...]:
        """The ledger entries of a private training; empty for others, and for models read from arrays."""
        return ()

    @property
    @abstractmethod
    def noise_size(self) -> int:
        """Standard normal numbers that one window is made from."""
        ...

    @abstractmethod
    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), made from noise (n, noise_size).

        The noise is standard normal; a window depends on its own code and noise only, to the last bit as long
        as the number of rows n stays the same.
        """
        ...

    @abstractmethod
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The fitted state as named arrays, for `store.write_models`."""
        ...

    @classmethod
    @abstractmethod
    def from_arrays(cls, settings: Any, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The generator whose `arrays()` these are."""
        ...


class Generator(GeneratorKind, GeneratorModel, Protocol):
    """The base of kinds that are their own models: whatever they import, plans import too."""
