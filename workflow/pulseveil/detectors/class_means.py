"""Nearest class mean, whose private training is one noised query, shrunk towards public knowledge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.core.arrays import Arrays, Floats
from pulseveil.core.contracts import FeatureSet
from pulseveil.core.errors import InputError
from pulseveil.detectors import Detector, Fitted, Training
from pulseveil.detectors.public_knowledge import (
    PUBLIC_QUANTITIES,
    FittedLinear,
    PublicInputs,
    public_inputs,
    weights_by_name,
)
from pulseveil.detectors.tabular import TabularSettings, require_both_classes, require_statistics
from pulseveil.privacy import accounting, ledger
from pulseveil.privacy.budget import Budget, Mechanism, Population, Unit
from pulseveil.privacy.gaussian import posterior_mean, release
from pulseveil.privacy.programs import RELEASE
from pulseveil.privacy.records import admitted_rows, means_by_class

# Variance of a squashed column within a class. A public round number, because an estimate from the data would
# cost epsilon. It scales the log odds and never changes a decision.
WITHIN_VARIANCE = 0.3


class ClassMeansSettings(TabularSettings):
    """Keys of `class_means`."""

    clip_norm: float = Field(1.5, gt=0, description="private: largest norm of one record's contribution")
    shrink: bool = Field(
        True, description="shrink towards the literature rule, the more the larger the noise"
    )
    difference: float = Field(
        0.3, gt=0, description="prior mean of the class difference of a squashed column, along its sign"
    )
    difference_spread: float = Field(0.3, gt=0, description="prior SD of the class difference")
    midpoint_spread: float = Field(
        0.15, gt=0, description="prior SD of the midpoint around the public midpoint"
    )


@dataclass(frozen=True, eq=False)
class Contrast:
    """Difference and midpoint (d each) of the class means, and the variance of the privacy noise in each."""

    difference: Floats
    midpoint: Floats
    difference_variance: float = 0.0
    midpoint_variance: float = 0.0


class ClassMeans(Detector):
    """Nearest class mean of squashed window statistics, a linear classifier.

    A private training is a single Gaussian query, whatever the number of columns. At unit window the query
    sums the windows of each class. At unit subject it sums each person's difference and midpoint.
    """

    Settings: ClassVar[type[ClassMeansSettings]] = ClassMeansSettings
    title: ClassVar[str] = "Class means"
    colour: ClassVar[str] = "#56B4E9"
    version: ClassVar[int] = 1
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    programs: ClassVar[tuple[int, ...]] = (RELEASE,)
    private_differences: ClassVar[tuple[str, ...]] = (
        "at unit subject the mean over people's own class means instead of over windows",
        "divided by public counts; shrunk to the literature rule by the noise variance",
    )
    public_knowledge: ClassVar[Literal["never", "private", "always"]] = "private"
    is_linear: ClassVar[bool] = True

    @staticmethod
    def weights(settings: ClassMeansSettings, arrays: Arrays, columns: Sequence[str]) -> Mapping[str, float]:
        """Weight of each squashed statistic."""
        return weights_by_name(arrays)

    @staticmethod
    def expected_seconds(settings: ClassMeansSettings, rows: int, private: Unit | None) -> float:
        """Rough estimate of the CPU seconds of fitting to `rows` windows."""
        return 0.003

    @staticmethod
    def mechanisms(settings: ClassMeansSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """The single query of a private training.

        Raises:
            InputError: `settings` read spectra, which have no public scales.
        """
        require_statistics("class_means", settings)
        # A full batch: with one step there is nothing to gain from amplification by sampling.
        n = budget.known_population().records(budget.unit)
        return (
            accounting.calibrate(
                budget, name="class_means", n=n, q=1.0, capacity=n, steps=1, clip_norm=settings.clip_norm
            ),
        )

    @classmethod
    def fit(cls, settings: ClassMeansSettings, training: Training) -> Fitted:
        """Fit to the rows of a training; deterministic apart from privacy noise, so `stream` is not used.

        Raises:
            InputError: the inputs have no public scales. Private: the rows have more people than the public
                constants, or synthetic windows. Not private: all rows have the same class.
        """
        require_statistics("class_means", settings)
        features = training.features
        inputs = public_inputs(features, settings.statistics)
        if training.budget.is_private:
            return cls._fit_private(settings, features, inputs, training.budget)
        # Only without a budget: whether both classes occur is a private fact that an error would reveal.
        require_both_classes("class_means", features.stress)
        values = inputs.read(features)
        stress, rest = (values[rows].mean(axis=0) for rows in (features.stress, ~features.stress))
        return _model(settings, inputs, Contrast(stress - rest, (stress + rest) / 2))

    @staticmethod
    def from_arrays(settings: ClassMeansSettings, arrays: Arrays) -> Fitted:
        """The linear detector with the weights in `arrays`."""
        return FittedLinear.from_arrays(arrays)

    @classmethod
    def _fit_private(
        cls, settings: ClassMeansSettings, features: FeatureSet, inputs: PublicInputs, budget: Budget
    ) -> FittedLinear:
        (mechanism,), noise = cls.mechanisms(settings, budget), budget.noise_source()
        population = budget.known_population()
        if (features.fold != "").any():
            raise InputError(
                "class_means: a private training takes real windows only, found synthetic ones; "
                "leave it out of evaluations with train real+synthetic"
            )
        rows = features.take(admitted_rows(features.subject, features.start_s, population))
        records = contributions(inputs.read(rows), rows.stress, rows.subject, budget.unit)
        contrast = released_contrast(release(records, mechanism, noise), mechanism, population)
        entry = ledger.close(
            mechanism,
            steps_noised=1,
            delta=budget.delta,
            noise=noise,
            public_quantities=PUBLIC_QUANTITIES,
            program=RELEASE,
        )
        return _model(settings, inputs, contrast, (entry,))


def _model(
    settings: ClassMeansSettings, inputs: PublicInputs, contrast: Contrast, ledger: tuple[Any, ...] = ()
) -> FittedLinear:
    found = shrunk(contrast, inputs, settings) if settings.shrink else contrast
    # Log odds of two normal classes with equal variances: linear in the inputs, 0 at the midpoint.
    weights = found.difference / WITHIN_VARIANCE
    return FittedLinear(inputs, weights, -float(weights @ found.midpoint), ledger)


def contributions(inputs: Floats, stress: NDArray[np.bool_], subject: NDArray[np.str_], unit: Unit) -> Floats:
    """Contributions of the records to the query (records, 2 d), before clipping, from `inputs` (n, d).

    At unit window a record has its inputs in the half of its class and zeros in the other half. At unit
    subject a record is the difference and the midpoint of the person's two class means. A person without one
    of the classes contributes NaN, which clipping turns into zero.

    Examples:
        >>> rows = np.array([[1.0], [3.0], [5.0]])
        >>> stress, subject = np.array([False, True, True]), np.array(["S1", "S1", "S2"])
        >>> contributions(rows, stress, subject, "subject")
        array([[ 2.,  2.],
               [nan, nan]])
    """
    if unit == "window":
        return np.hstack([np.where(side[:, np.newaxis], inputs, 0.0) for side in (stress, ~stress)])
    # One vector per person, so that clipping bounds the person and not each of the windows.
    means = means_by_class(inputs, stress, subject)
    return np.hstack([means[0] - means[1], means.mean(axis=0)])


def released_contrast(total: Floats, mechanism: Mechanism, population: Population) -> Contrast:
    """Contrast from the released sum (2 d) of `contributions`, divided by public constants only.

    The numbers of records and the share of stress are those of the plan: counts from the data would need
    noise of their own.
    """
    first, second = np.split(total, 2)
    deviation = mechanism.noise_multiplier * mechanism.clip_norm / mechanism.n
    if mechanism.unit == "subject":
        return Contrast(first / mechanism.n, second / mechanism.n, deviation**2, deviation**2)
    share = population.stress_share
    stress, rest = first / (mechanism.n * share), second / (mechanism.n * (1 - share))
    variance = deviation**2 * (1 / share**2 + 1 / (1 - share) ** 2)
    return Contrast(stress - rest, (stress + rest) / 2, variance, variance / 4)


def shrunk(contrast: Contrast, inputs: PublicInputs, settings: ClassMeansSettings) -> Contrast:
    """Posterior mean of the contrast, shrunk towards the public one; differences of wrong sign become zero.

    Each value is the mean of the normal posterior with the known noise variance and the prior of `settings`.
    Shrinkage is post-processing of released values and costs no epsilon.
    """
    difference = posterior_mean(
        contrast.difference,
        contrast.difference_variance,
        settings.difference * inputs.sign,
        settings.difference_spread**2,
    )
    midpoint = posterior_mean(
        contrast.midpoint,
        contrast.midpoint_variance,
        inputs.midpoint * inputs.sign,
        settings.midpoint_spread**2,
    )
    return Contrast(np.where(difference * inputs.sign < 0, 0.0, difference), midpoint)
