"""Evaluation protocols: who trains and who is tested, the folds, and the rows of each fold.

A new protocol is one class, registered as `pulseveil.protocols`.
"""

from __future__ import annotations

import typing
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pulseveil.core import randomness
from pulseveil.core.contracts import FeatureSet, WindowSet
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import Stream
from pulseveil.core.settings import Settings

ALL = "all"
Train = Literal["real", "synthetic", "real+synthetic"]
NoiseDistribution = Literal["laplace", "gaussian"]
NoiseOn = Literal["features", "windows"]
Outline = Mapping[str, tuple[str, ...]]


class Fold(Settings):
    """One split into the subjects that train and the subjects that are tested."""

    name: str
    train_subjects: tuple[str, ...]
    test_subjects: tuple[str, ...]


@dataclass(frozen=True)
class People:
    """The subjects that an evaluation can train on and test.

    train, test: outlines of the cohort that trains and of the cohort that is tested; the same one unless the
    evaluation has a `test_cohort`. selection: the study's `folds`, which limits the left-out subjects ("all",
    the first k, or names).
    """

    train: Outline
    test: Outline
    selection: str | int | tuple[str, ...]

    def left_out(self) -> tuple[str, ...]:
        """The subjects of the training cohort that `selection` leaves out, in the cohort's order.

        Raises:
            InputError: `selection` names a subject or a number of subjects that the cohort does not have.
        """
        subjects = tuple(self.train)
        if self.selection == ALL:
            return subjects
        if isinstance(self.selection, int):
            if self.selection > len(subjects):
                raise InputError(
                    f"folds: {self.selection} asked for, but the cohort has {len(subjects)} subjects"
                )
            return subjects[: self.selection]
        unknown = [s for s in self.selection if s not in subjects]
        if unknown:
            raise InputError(f"folds: no subject {unknown[0]!r} in the cohort; it has {', '.join(subjects)}")
        return tuple(s for s in subjects if s in self.selection)

    def without(self, *left_out: str) -> tuple[str, ...]:
        """The subjects of the training cohort except `left_out`."""
        return tuple(s for s in self.train if s not in left_out)


class EvaluationKeys(typing.Protocol):
    """The keys of a study's evaluation that a protocol can read."""

    @property
    def cohort(self) -> str:
        """The cohort that trains."""
        ...

    @property
    def test_cohort(self) -> str | None:
        """The cohort that is tested, if it is not the cohort that trains."""
        ...

    @property
    def train(self) -> Train:
        """The windows that train: real, synthetic or both."""
        ...

    @property
    def test(self) -> str:
        """The registered name of the protocol."""
        ...


class EvaluationProtocol(typing.Protocol):
    """A rule of who trains and who is tested; a study selects it by its registered name in `test`.

    `title` describes the tested subjects in reports. A plan trains one generator per cohort and fold name:
    two protocols may use the same name only for the same training subjects.
    """

    title: ClassVar[str]

    @staticmethod
    def check(evaluation: EvaluationKeys) -> None:
        """Check the keys of an evaluation; by default the tested people belong to the cohort that trains.

        Raises:
            InputError: the keys do not fit this protocol; the message begins with the key.
        """
        if evaluation.test_cohort is not None:
            raise InputError(f"test_cohort: test {evaluation.test} tests `cohort` itself; leave this key out")

    @classmethod
    @abstractmethod
    def folds(cls, people: People) -> tuple[Fold, ...]:
        """The folds, in the order of their runs.

        Raises:
            InputError: `people` do not allow the split.
        """
        ...

    @classmethod
    def shared_folds(cls, people: People) -> tuple[Fold, ...]:
        """The folds of detectors that train only on the windows of one generator shared by all folds.

        By default the same as `folds`, with one training each.
        """
        return cls.folds(people)


class LeaveOneSubjectOut(EvaluationProtocol):
    """LOSO: each fold tests one subject and trains on all others; the study's `folds` limits the tested ones.

    Examples:
        >>> outline = {name: ("baseline", "stress") for name in ("S1", "S2", "S3")}
        >>> LeaveOneSubjectOut.folds(People(outline, outline, selection=1))
        (Fold(name='S1', train_subjects=('S2', 'S3'), test_subjects=('S1',)),)
    """

    title = "each left-out subject"

    @classmethod
    def folds(cls, people: People) -> tuple[Fold, ...]:
        """One fold per left-out subject, named after the subject.

        Raises:
            InputError: the cohort has fewer than 2 subjects, or lacks a selected one.
        """
        if len(people.train) < 2:
            raise InputError("needs at least 2 subjects in the cohort")
        return tuple(
            Fold(name=subject, train_subjects=people.without(subject), test_subjects=(subject,))
            for subject in people.left_out()
        )

    @classmethod
    def shared_folds(cls, people: People) -> tuple[Fold, ...]:
        """A single fold: with the same synthetic windows in all folds, one training tests everybody."""
        # Everybody is in `train_subjects`, because the shared generator was trained on everybody.
        return (Fold(name=ALL, train_subjects=tuple(people.train), test_subjects=people.left_out()),)


class OrderCrossed(EvaluationProtocol):
    """Each fold tests the subjects with one order of conditions and trains on the subjects with other orders.

    Under LOSO a detector can use elapsed time, because subjects share a few orders of conditions. Here the
    tested order never occurs in training.

    Examples:
        >>> outline = {"S1": ("baseline", "stress", "amusement"), "S2": ("baseline", "amusement", "stress")}
        >>> folds = OrderCrossed.folds(People(outline, outline, "all"))
        >>> [(fold.train_subjects, fold.test_subjects) for fold in folds]
        [(('S1',), ('S2',)), (('S2',), ('S1',))]
    """

    title = "subjects of the other order of conditions"

    @classmethod
    def folds(cls, people: People) -> tuple[Fold, ...]:
        """One fold per order of conditions, named after the tested order.

        Raises:
            InputError: all subjects have the same order.
        """
        orders: dict[str, tuple[str, ...]] = {}
        for subject, conditions in people.train.items():
            order = "-".join(conditions)
            orders[order] = (*orders.get(order, ()), subject)
        if len(orders) < 2:
            raise InputError("needs subjects with at least 2 orders of conditions")
        return tuple(
            Fold(name=order, train_subjects=people.without(*members), test_subjects=members)
            for order, members in sorted(orders.items())
        )


class Transfer(EvaluationProtocol):
    """One fold that trains on the whole cohort and tests all subjects of `test_cohort`."""

    title = "another cohort"

    @staticmethod
    def check(evaluation: EvaluationKeys) -> None:
        """Check that the evaluation names another cohort to test.

        Raises:
            InputError: `test_cohort` is missing or names the cohort that trains.
        """
        if evaluation.test_cohort in (None, evaluation.cohort):
            raise InputError(
                f"test_cohort: test {evaluation.test} needs another cohort to test; found "
                f"{evaluation.test_cohort!r}"
            )

    @classmethod
    def folds(cls, people: People) -> tuple[Fold, ...]:
        """The single fold, named `all`."""
        return (Fold(name=ALL, train_subjects=tuple(people.train), test_subjects=tuple(people.test)),)


def require_folds(folds: tuple[Fold, ...], people: People) -> None:
    """Check the folds of a protocol, which can come from another package.

    Raises:
        InputError: there is no fold, two folds share a name, a name holds a slash, or a fold has no subjects,
            a subject twice or a subject outside `people`.
    """
    # Names of folds become groups of HDF5 files, where a slash would nest them.
    names = [fold.name for fold in folds]
    if not names or len(set(names)) < len(names) or any(not name or "/" in name for name in names):
        raise InputError(f"expected at least one fold, and different names without a slash; found {names}")
    for fold in folds:
        # Rows are selected by name, so that an unknown subject would silently contribute none.
        for verb, subjects, known in (
            ("trains on", fold.train_subjects, people.train),
            ("tests", fold.test_subjects, people.test),
        ):
            strangers = [subject for subject in subjects if subject not in known]
            if strangers or not subjects or len(set(subjects)) < len(subjects):
                found = ", ".join(strangers or subjects) or "nobody"
                raise InputError(
                    f"fold {fold.name} {verb} {found}; expected one or more of {', '.join(known)}, each once"
                )


def require_apart(folds: tuple[Fold, ...]) -> None:
    """Check that no fold of one cohort tests a subject on whom it trains.

    Raises:
        InputError: a fold does.
    """
    # A detector tested on its own training subjects would look like a success.
    for fold in folds:
        both = set(fold.train_subjects).intersection(fold.test_subjects)
        if both:
            raise InputError(f"fold {fold.name} tests {', '.join(sorted(both))}, on whom it trains")


def training_rows(
    real: FeatureSet,
    synthetic: FeatureSet | None,
    fold: Fold,
    *,
    train: Train,
    generator_fold: str,
    subjects: int,
) -> FeatureSet:
    """The rows that a detector of this fold trains on.

    Real rows: all rows of the fold's training subjects. Synthetic rows: all rows of the first `subjects`
    synthetic subjects of the generator of `generator_fold`.

    Raises:
        InputError: the generator synthesized fewer subjects.
        ValueError: `train` needs synthetic rows and `synthetic` is None.
    """
    parts = []
    if train != "synthetic":
        parts.append(real.take(np.isin(real.subject, fold.train_subjects)))
    if train != "real":
        if synthetic is None:
            raise ValueError("train includes synthetic windows, but none were given")
        # Every fold has its own SYN0001. Names have leading zeros: they sort in the order of synthesis,
        # and a smaller number of subjects is a part of a larger one.
        own = synthetic.take(synthetic.fold == generator_fold)
        wanted = np.unique(own.subject)[:subjects]
        if len(wanted) < subjects:
            raise InputError(
                f"fold {generator_fold}: {subjects} synthetic subjects needed, {len(wanted)} found; "
                "rerun synthesize"
            )
        parts.append(own.take(np.isin(own.subject, wanted)))
    return FeatureSet.concatenate(parts)


def test_rows(real: FeatureSet, fold: Fold) -> FeatureSet:
    """The rows that a detector of this fold is tested on."""
    # Without calibration windows: the scaling has used the knowledge that they are rest.
    return real.take(np.isin(real.subject, fold.test_subjects) & ~real.calibration)


def with_input_noise(
    features: FeatureSet, scale: float, distribution: NoiseDistribution, stream: Stream
) -> FeatureSet:
    """Rows with noise added to spectra and statistics; scale 0 changes nothing.

    Args:
        scale: the parameter of Laplace noise (standard deviation `sqrt(2) * scale`), or the standard
            deviation of Gaussian noise.

    Source: the input-noise experiment of Lange et al., Sensors 2024, 24(10):3052 (training rows only).
    """
    if scale == 0:
        return features
    random = randomness.generator(stream)
    spectra, statistics = (
        _noisy(values, scale, distribution, random) for values in (features.features, features.statistics)
    )
    return replace(features, features=spectra, statistics=statistics)


def with_noised_samples(
    windows: WindowSet, scale: float, distribution: NoiseDistribution, stream: Stream
) -> WindowSet:
    """Windows with independent noise on each sample of each channel; arguments as in `with_input_noise`."""
    if scale == 0:
        return windows
    noised = _noisy(windows.windows, scale, distribution, randomness.generator(stream))
    return replace(windows, windows=noised)


def _noisy(
    values: NDArray[np.float32], scale: float, distribution: NoiseDistribution, random: np.random.Generator
) -> NDArray[np.float32]:
    draw = random.laplace if distribution == "laplace" else random.normal
    return (values + draw(0.0, scale, values.shape)).astype(np.float32)
