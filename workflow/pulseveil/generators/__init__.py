"""Generators: models that synthesize windows. Kinds are registered under `pulseveil.generators`."""

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
    "PublicPeople",
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


# Compared by identity: arrays have no single truth value.
@dataclass(frozen=True, eq=False)
class PublicPeople:
    """Windows of a cohort that a study takes for public: no budget protects these people.

    cohort: its name in the study. windows (n, time, channels) float32; stress (n) bool; subject (n).
    """

    cohort: str
    windows: NDArray[np.float32]
    stress: NDArray[np.bool_]
    subject: NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class Training:
    """Training data of one generator, its budget, random stream and checkpoint.

    Args:
        windows: (n, time, channels) float32; the rows of each subject are in order of time.
        condition: (n) int8, codes in 0..classes-1.
        subject: (n), the person of each window.
        stream: decides all random numbers except privacy noise, which comes from `budget.noise`.
        checkpoint: keeps the state of the training. A training continues from a stored state.
        channels: names of the windows' channels, for kinds with public knowledge of these.
        rate_hz: samples per second.
        scaling: the windows' scaling, such as `calibration`.
        public: the public cohorts, for a kind that uses them with its settings.

    Examples:
        >>> from pulseveil.core.randomness import root_stream
        >>> from pulseveil.core.registry import model
        >>> from pulseveil.privacy.budget import NOT_PRIVATE
        >>> windows = np.random.default_rng(0).normal(size=(8, 60, 6)).astype(np.float32)
        >>> condition, subject = np.array([0, 1] * 4, np.int8), np.repeat(["S2", "S3"], 4)
        >>> training = Training(windows, condition, subject, 2, NOT_PRIVATE, root_stream(1))
        >>> moments = model("generators", "moments")
        >>> fitted = moments.fit(moments.Settings(rank=3), training)
        >>> noise = np.random.default_rng(1).standard_normal((2, fitted.noise_size), dtype=np.float32)
        >>> fitted.sample(np.array([0, 1], np.int8), noise).shape
        (2, 60, 6)
    """

    windows: NDArray[np.float32]
    condition: NDArray[np.int8]
    subject: NDArray[np.str_]
    classes: int
    budget: Budget
    stream: Stream
    checkpoint: Checkpoint | None = None
    channels: tuple[str, ...] = ()
    rate_hz: float = 1.0
    scaling: str = ""
    public: tuple[PublicPeople, ...] = ()


# Abstract classes and not protocols: the registry reads from a kind's bases what its model can do.
class FitsTogether(ABC):
    """Second base of a kind whose model can train many models in one program, meant to fill a GPU."""

    @classmethod
    @abstractmethod
    def fit_together(
        cls, settings: Any, trainings: Sequence[Training], checkpoint: Checkpoint | None
    ) -> list[Self]:
        """Train one model per training, none of them private, equal to the models of `fit` up to rounding.

        All trainings have the same `classes`. `checkpoint` keeps the state of all models together; the
        checkpoints of the trainings are not used.
        """
        ...


class Discriminates(ABC):
    """Second base of a kind whose trained models keep their discriminator, which audits attack.

    The discriminator stays in memory only: it is never stored or released.
    """

    @abstractmethod
    def realness(self, windows: NDArray[np.float32], condition: NDArray[np.int8]) -> NDArray[np.float32]:
        """Discriminator scores (n) of windows (n, time, channels) with condition codes (n), higher for real.

        Raises:
            ValueError: the model was read from arrays and has no discriminator.
        """
        ...


class GeneratorKind(Protocol):
    """A kind of generator as plans know it, without TensorFlow and other imports that take seconds.

    Attributes:
        Settings: the keys of the kind in a study.
        title: the kind's name for readers.
        colour: the colour of its marks in figures.
        version: rises whenever the same settings and stream give another model.
        uses_tensorflow: whether a job of the kind pays TensorFlow's start-up.
        learns: whether the kind reads the windows of a training. A kind of public knowledge alone does not.
        audited: whether an audit can train the kind with and without a person.
        no_budget: why models without a budget are not private, for cards and statements.
        private_units: the units at which the kind has a private training. Its model then has a `ledger`.
        programs: versions of the programs of the private training (see `privacy.programs`).
        private_differences: what a private training changes besides clipping and noise, for readers who
            compare models with and without a budget.
        model: the kind's `GeneratorModel` as `module:Class`, which jobs import and plans do not. Empty: the
            kind is its own model (`Generator`).

    A kind without private units keeps the defaults of `mechanisms`, `programs` and `private_differences`. The
    bases `FitsTogether` and `Discriminates` say what else a kind's model can do.
    """

    Settings: ClassVar[type[GeneratorSettings]]
    title: ClassVar[str]
    colour: ClassVar[str | None] = None
    version: ClassVar[int]
    uses_tensorflow: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    audited: ClassVar[bool] = True
    no_budget: ClassVar[str] = "it was trained without a privacy budget"
    private_units: ClassVar[frozenset[str]] = frozenset()
    programs: ClassVar[tuple[int, ...]] = ()
    private_differences: ClassVar[tuple[str, ...]] = ()
    model: ClassVar[str] = ""

    @staticmethod
    @of_private_kinds
    def mechanisms(settings: Any, budget: Budget) -> tuple[Mechanism, ...]:
        """The mechanisms of a private training, calibrated to `budget` from public constants only.

        Raises:
            InputError: the kind has no private training, or none with these settings and this backend.
        """
        raise InputError("this kind of generator has no private training; use epsilon inf")

    @staticmethod
    def require_windows(settings: Any, channels: Sequence[str], scaling: str) -> None:
        """Refuse windows of channels or of a scaling that the kind cannot learn; plans ask before any job.

        Raises:
            InputError: the kind knows nothing of these windows.
        """

    @staticmethod
    def uses_public_people(settings: Any) -> bool:
        """Whether trainings with `settings` read the study's public cohorts."""
        return False

    @staticmethod
    def audited_settings(settings: Any, claimed: Budget, audited: Budget) -> Any:
        """Settings that, on the records of an audit, run the mechanisms that `settings` run as `claimed`.

        A full batch needs no change. Kinds with Poisson sampling keep q by `privacy.budget.at_rate`: the
        canaries of an audit add records, and the same batch size would lower the sampling rate.
        """
        return settings

    @staticmethod
    @abstractmethod
    def expected_seconds(settings: Any, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows, for the hours of a plan.

        private: the unit of a private training, None without a budget.
        """
        ...


class GeneratorModel(Protocol):
    """A trained model, which synthesizes windows of a given condition.

    `settings` are those of its kind. `ledger` has one entry per mechanism of a private training.

    Examples:
        >>> from pulseveil.generators.moments import Moments, MomentsSettings
        >>> mean, factors, residual = np.array([[0.0], [2.0]]), np.ones((2, 1, 1)), np.zeros((2, 1))
        >>> arrays = {"mean": mean, "factors": factors, "residual": residual, "shape": np.array([1, 1])}
        >>> fitted = Moments.from_arrays(MomentsSettings(rank=1), arrays)
        >>> fitted.noise_size
        2
        >>> fitted.sample(np.array([0, 1], np.int8), np.array([[0.5, 0], [-0.5, 0]])).ravel().tolist()
        [0.5, 1.5]
    """

    @classmethod
    @abstractmethod
    def fit(cls, settings: Any, training: Training) -> Self:
        """Train a model; a resumed training ends in the same bits as an unbroken one.

        Raises:
            InputError: the data cannot be learnt with these settings, or `mechanisms` refuses the budget.
        """
        ...

    @property
    @of_private_kinds
    def ledger(self) -> tuple[Entry, ...]:
        """Ledger entries of a private training; empty without a budget and for models read from arrays."""
        return ()

    @property
    @abstractmethod
    def noise_size(self) -> int:
        """Number of standard normal numbers from which one window is synthesized."""
        ...

    @property
    def person_noise(self) -> int:
        """How many leading numbers of its noise a window shares with all windows of one synthetic person."""
        return 0

    @abstractmethod
    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, time, channels) of the codes `condition` (n), from noise (n, noise_size).

        The noise is standard normal. A window depends only on its own code and noise. This holds to the last
        bit if n stays the same.
        """
        ...

    @abstractmethod
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The fitted state as named arrays, which are stored and released."""
        ...

    @classmethod
    @abstractmethod
    def from_arrays(cls, settings: Any, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The generator with the state `arrays`, as `arrays()` returned it."""
        ...


class Generator(GeneratorKind, GeneratorModel, Protocol):
    """Base of kinds that are their own models. Whatever such a kind imports, plans import too."""
