"""Who trains and who is tested: folds, and the training and test rows of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pulseveil import randomness
from pulseveil.contracts import FeatureSet
from pulseveil.errors import InputError
from pulseveil.randomness import Stream
from pulseveil.settings import Settings

ALL = "all"
Test = Literal["loso", "order_crossed", "transfer"]
Train = Literal["real", "synthetic", "real+synthetic"]
Outline = Mapping[str, tuple[str, ...]]


class Fold(Settings):
    """One split: its name, the subjects that train, the subjects that are tested."""

    name: str
    train_subjects: tuple[str, ...]
    test_subjects: tuple[str, ...]


def make_folds(
    test: Test,
    outline: Outline,
    selection: str | int | tuple[str, ...],
    *,
    test_outline: Outline | None = None,
) -> tuple[Fold, ...]:
    """The folds of an evaluation.

    `loso` leaves out one subject a fold, `order_crossed` trains on all orders of conditions but one and tests
    on that one, `transfer` trains on the whole cohort and tests on `test_outline`. `selection` ("all", the
    first k, or names) narrows the left-out subjects of `loso`. Raises InputError when a split is not defined.
    """
    subjects = tuple(outline)
    match test:
        case "loso":
            if len(subjects) < 2:
                raise InputError("test loso needs at least 2 subjects in the cohort")
            return tuple(
                Fold(name=left_out, train_subjects=_without(subjects, (left_out,)), test_subjects=(left_out,))
                for left_out in _selected(subjects, selection)
            )
        case "order_crossed":
            orders: dict[str, tuple[str, ...]] = {}
            for subject, conditions in outline.items():
                order = "-".join(conditions)
                orders[order] = (*orders.get(order, ()), subject)
            if len(orders) < 2:
                raise InputError("test order_crossed needs subjects with at least 2 orders of conditions")
            return tuple(
                Fold(name=order, train_subjects=_without(subjects, members), test_subjects=members)
                for order, members in sorted(orders.items())
            )
        case "transfer":
            return (Fold(name=ALL, train_subjects=subjects, test_subjects=tuple(test_outline or ())),)


def one_fold(outline: Outline, selection: str | int | tuple[str, ...]) -> tuple[Fold, ...]:
    """A single split whose training data come from no subject: train once, test each selected subject."""
    return (
        Fold(name=ALL, train_subjects=tuple(outline), test_subjects=_selected(tuple(outline), selection)),
    )


def training_rows(
    real: FeatureSet,
    synthetic: FeatureSet | None,
    fold: Fold,
    *,
    train: Train,
    generator_fold: str,
    subjects: int,
) -> FeatureSet:
    """The rows that a detector of this fold learns from.

    Real rows are those of the fold's training subjects; synthetic rows are those of the first `subjects`
    synthetic subjects made by the generator of `generator_fold`.
    """
    parts = []
    if train != "synthetic":
        parts.append(real.take(np.isin(real.subject, fold.train_subjects)))
    if train != "real":
        if synthetic is None:
            raise ValueError("train includes synthetic windows, but none were given")
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
    """The rows that a detector of this fold is tested on; windows used for calibration are never tested."""
    return real.take(np.isin(real.subject, fold.test_subjects) & ~real.calibration)


def with_input_noise(features: FeatureSet, scale: float, stream: Stream) -> FeatureSet:
    """The rows with Laplace noise of `scale` added to spectra and statistics; scale 0 changes nothing.

    Source: the input-noise experiment of Lange et al., Sensors 2024, 24(10):3052 (training rows only).
    """
    if scale == 0:
        return features
    random = randomness.generator(stream)

    def noisy(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return (values + random.laplace(0.0, scale, values.shape)).astype(np.float32)

    return replace(features, features=noisy(features.features), statistics=noisy(features.statistics))


def _without(subjects: tuple[str, ...], left_out: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(s for s in subjects if s not in left_out)


def _selected(subjects: tuple[str, ...], selection: str | int | tuple[str, ...]) -> tuple[str, ...]:
    if selection == ALL:
        return subjects
    if isinstance(selection, int):
        if selection > len(subjects):
            raise InputError(f"folds: {selection} asked for, but the cohort has {len(subjects)} subjects")
        return subjects[:selection]
    unknown = [s for s in selection if s not in subjects]
    if unknown:
        raise InputError(f"folds: no subject {unknown[0]!r} in the cohort; it has {', '.join(subjects)}")
    return tuple(s for s in subjects if s in selection)
