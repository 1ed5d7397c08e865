"""Logistic regression, the simple model that a network must beat, with and without a budget.

The private training is noised gradient descent over all records, with a penalty towards public weights.
Source: Bassily, Smith and Thakurta, FOCS 2014; here with full batches and the mean of the last iterates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.core.arrays import Arrays, Floats
from pulseveil.core.contracts import FeatureSet
from pulseveil.core.settings import Settings
from pulseveil.detectors import Detector, Fitted, Outputs, Training
from pulseveil.detectors.public_knowledge import (
    PUBLIC_QUANTITIES,
    FittedLinear,
    PublicInputs,
    public_direction,
    public_inputs,
    sigmoid,
    weights_by_name,
)
from pulseveil.detectors.tabular import (
    TabularSettings,
    require_both_classes,
    require_statistics,
    table,
)
from pulseveil.privacy import accounting, ledger
from pulseveil.privacy.budget import Budget, Mechanism, Unit
from pulseveil.privacy.gaussian import clip_rows, release
from pulseveil.privacy.ledger import Entry
from pulseveil.privacy.noise import Noise
from pulseveil.privacy.programs import DESCENT
from pulseveil.privacy.records import admitted_rows, person_means
from pulseveil.windows.features import select_columns


class Descent(Settings):
    """Settings of the private training of a logistic regression."""

    steps: int = Field(gt=0, description="noised gradient steps over all records")
    learning_rate: float = Field(gt=0, description="step size")
    clip_norm: float = Field(gt=0, description="largest norm of one record's gradient")
    penalty: float = Field(ge=0, description="L2 penalty on the distance from the public weights")
    public_weight: float = Field(
        ge=0, description="size of the public weights, at which training starts and the penalty is zero"
    )


# Pairs of (least epsilon, settings). tests/benchmarks/private_settings.py chose them on simulated cohorts: a
# choice by scores on real recordings would use private data without noise.
CHOSEN: Mapping[Unit, tuple[tuple[float, Descent], ...]] = {
    "subject": (
        (0.0, Descent(steps=5, learning_rate=0.5, clip_norm=0.02, penalty=0.1, public_weight=3)),
        (0.5, Descent(steps=20, learning_rate=6, clip_norm=0.05, penalty=0.01, public_weight=2)),
        (4.0, Descent(steps=30, learning_rate=12, clip_norm=0.1, penalty=0.003, public_weight=1)),
    ),
    "window": (
        (0.0, Descent(steps=10, learning_rate=12, clip_norm=0.1, penalty=0.01, public_weight=2)),
        (0.5, Descent(steps=40, learning_rate=6, clip_norm=0.5, penalty=0.003, public_weight=0)),
    ),
}


def chosen(budget: Budget) -> Descent:
    """Default settings for the unit and epsilon of a private budget."""
    return [descent for least, descent in CHOSEN[budget.unit] if budget.epsilon >= least][-1]


def descent_mechanism(descent: Descent, budget: Budget) -> Mechanism:
    """Mechanism of a training within `budget`: `descent.steps` noised sums over all records."""
    n = budget.known_population().records(budget.unit)
    return accounting.calibrate(
        budget, name="logistic", n=n, q=1.0, capacity=n, steps=descent.steps, clip_norm=descent.clip_norm
    )


def fit_private(
    features: FeatureSet, inputs: PublicInputs, descent: Descent, budget: Budget, *, balanced: bool
) -> FittedLinear:
    """Train on the real rows of `features` that the public constants admit, and on all synthetic rows.

    balanced: whether both classes have the same total weight, by the public share of stress.

    Raises:
        InputError: the real rows have more people than the public constants.
    """
    mechanism, noise = descent_mechanism(descent, budget), budget.noise_source()
    population = budget.known_population()
    # The public share: class weights counted in the training labels would be un-noised private values.
    share = population.stress_share if balanced else 0.5
    # Real rows have the empty fold, synthetic rows the fold of their generator.
    real, released = (features.take(rows) for rows in (features.fold == "", features.fold != ""))
    real = real.take(admitted_rows(real.subject, real.start_s, population))
    gradients, of_released = (
        log_loss_gradients(
            inputs.read(rows), rows.stress, balanced_weights(rows.stress, share), rows.subject, budget.unit
        )
        for rows in (real, released)
    )
    direction, intercept = public_direction(inputs)
    public = descent.public_weight * np.append(direction, intercept)
    parameters, noised = descend(gradients, of_released, public, descent, mechanism, noise)
    entry = ledger.close(
        mechanism,
        steps_noised=noised,
        delta=budget.delta,
        noise=noise,
        public_quantities=PUBLIC_QUANTITIES,
        program=DESCENT,
    )
    return FittedLinear(inputs, parameters[:-1], float(parameters[-1]), (entry,))


def balanced_weights(stress: NDArray[np.bool_], share: float) -> Floats:
    """Weights (n) of windows that give both classes the same total if `share` of the windows are stress.

    Examples:
        >>> balanced_weights(np.array([True, False, False, False]), 0.25)
        array([2.        , 0.66666667, 0.66666667, 0.66666667])
    """
    return np.where(stress, 0.5 / share, 0.5 / (1 - share))


def log_loss_gradients(
    inputs: Floats, stress: NDArray[np.bool_], weight: Floats, subject: NDArray[np.str_], unit: Unit
) -> Callable[[Floats], Floats]:
    """Function from parameters (d + 1) to the records' gradients (records, d + 1) of the weighted log loss.

    The intercept is the last parameter. `inputs` (n, d) are windows. At unit window a record is a window; at
    unit subject the gradient of a record is the mean over the person's windows.
    """
    design = np.column_stack([inputs, np.ones(len(inputs))])

    def gradients(parameters: Floats) -> Floats:
        residual = weight * (sigmoid(design @ parameters) - stress)
        of_windows = residual[:, np.newaxis] * design
        # The mean comes before clipping: clipped windows of one person could add up to many clip norms.
        return person_means(of_windows, subject) if unit == "subject" else of_windows

    return gradients


def descend(
    gradients: Callable[[Floats], Floats],
    of_released: Callable[[Floats], Floats],
    public: Floats,
    descent: Descent,
    mechanism: Mechanism,
    noise: Noise,
) -> tuple[Floats, int]:
    """Noised gradient descent: the mean of the last half of the iterates (d + 1) and the noised steps.

    The descent starts at `public` (d + 1), where the penalty is zero. Each step clips the gradients, adds
    noise to their sum and divides the sum by the public number of records. `of_released` gives the gradients
    of windows that a private generator synthesized. These gradients are clipped too, but their sum gets no
    noise, because it is a function of released values.
    """
    parameters, total, noised = public, np.zeros_like(public), 0
    for step in range(mechanism.steps):
        noised_sum = release(gradients(parameters), mechanism, noise, step)
        noised += 1
        known = clip_rows(of_released(parameters), mechanism.clip_norm)
        mean = (noised_sum + known.sum(axis=0)) / (mechanism.expected_batch + len(known))
        parameters = parameters - descent.learning_rate * (mean + descent.penalty * (parameters - public))
        # The mean of many iterates averages their noise, and costs no epsilon.
        if step >= mechanism.steps // 2:
            total = total + parameters
    return total / (mechanism.steps - mechanism.steps // 2), noised


class LogisticSettings(TabularSettings):
    """Keys of `logistic`."""

    inverse_penalty: float = Field(
        0.1, gt=0, description="C of scikit-learn; smaller values shrink the weights more"
    )
    class_weight: Literal["balanced", "none"] = Field(
        "balanced", description="balanced: the same total weight for both classes; none: for each window"
    )
    private: Descent | None = Field(
        None,
        description="settings of a private training; default: those chosen for unit and epsilon",
    )


@dataclass(frozen=True, eq=False)
class FittedLogistic:
    """Fitted scikit-learn pipeline of scaler and logistic regression; `settings` name the columns."""

    settings: LogisticSettings
    model: Any
    ledger: tuple[Entry, ...] = ()

    def score(self, features: FeatureSet) -> Outputs:
        """Outputs for each row of `features`."""
        # scikit-learn sorts the classes False and True: column 1 is stress.
        return Outputs.from_probability(self.model.predict_proba(table(features, self.settings))[:, 1])

    def arrays(self) -> Arrays:
        """Mean and scale (columns) of the scaler, weights (1, columns) and intercept (1)."""
        scaler, regression = (step for _, step in self.model.steps)
        return {
            "mean": scaler.mean_,
            "scale": scaler.scale_,
            "weights": regression.coef_,
            "intercept": regression.intercept_,
        }

    @classmethod
    def from_arrays(cls, settings: LogisticSettings, arrays: Arrays) -> Self:
        """The detector with the state `arrays`; raises ValueError if the arrays do not fit each other."""
        mean, scale, weights, intercept = (
            np.asarray(arrays[name], np.float64) for name in ("mean", "scale", "weights", "intercept")
        )
        columns = len(mean)
        if scale.shape != (columns,) or weights.shape != (1, columns) or intercept.shape != (1,):
            raise ValueError(f"expected the scale and the weight of {columns} columns, and one intercept")
        model = _pipeline(settings)
        scaler, regression = (step for _, step in model.steps)
        scaler.mean_, scaler.scale_, scaler.n_features_in_ = mean, scale, columns
        regression.coef_, regression.intercept_ = weights, intercept
        regression.classes_, regression.n_features_in_ = np.array([False, True]), columns
        return cls(settings, model)


def _pipeline(settings: LogisticSettings) -> Any:
    """Scaler and logistic regression of scikit-learn."""
    # Plans import this module; scikit-learn takes seconds to import.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    weight = None if settings.class_weight == "none" else "balanced"
    return make_pipeline(
        StandardScaler(),
        LogisticRegression(C=settings.inverse_penalty, class_weight=weight, max_iter=1000),
    )


class Logistic(Detector):
    """L2-penalised logistic regression on columns that are standardised on the training rows.

    A private training reads only those of the chosen statistics that have a public scale (see
    `public_knowledge`), and has its own settings.
    """

    Settings: ClassVar[type[LogisticSettings]] = LogisticSettings
    title: ClassVar[str] = "Logistic regression"
    colour: ClassVar[str] = "#CC79A7"
    version: ClassVar[int] = 1
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    programs: ClassVar[tuple[int, ...]] = (DESCENT,)
    private_differences: ClassVar[tuple[str, ...]] = (
        "gradient descent from the literature rule instead of scikit-learn's solver",
        "statistics with public scales instead of all, standardised on the training windows",
        "class weights by the public share of stress",
    )
    public_knowledge: ClassVar[Literal["never", "private", "always"]] = "private"
    is_linear: ClassVar[bool] = True

    @staticmethod
    def weights(settings: LogisticSettings, arrays: Arrays, columns: Sequence[str]) -> Mapping[str, float]:
        """Weight of each statistic, scaled by its SD in the training rows or by its public scale."""
        if "names" in arrays:
            return weights_by_name(arrays)
        if settings.inputs != "statistics":
            return {}
        names = np.array(columns)[select_columns(columns, settings.statistics)]
        return dict(zip(names.tolist(), arrays["weights"][0].tolist(), strict=True))

    @staticmethod
    def expected_seconds(settings: LogisticSettings, rows: int, private: Unit | None) -> float:
        """Rough estimate of the CPU seconds of fitting to `rows` windows."""
        # Spectra of 210 bins.
        return (0.012 if private else 0.005) + (4e-6 if settings.inputs == "statistics" else 3.5e-5) * rows

    @staticmethod
    def mechanisms(settings: LogisticSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """Mechanism of a private training: the noised gradient steps.

        Raises:
            InputError: `settings` read spectra, which have no public scales.
        """
        require_statistics("logistic", settings)
        return (descent_mechanism(settings.private or chosen(budget), budget),)

    @staticmethod
    def fit(settings: LogisticSettings, training: Training) -> Fitted:
        """Fit to the rows of a training; deterministic apart from privacy noise, so `stream` is not used.

        Raises:
            InputError: not private and all rows have the same class. Private: the inputs have no public
                scales, or the rows have more people than the public constants.
        """
        features, budget = training.features, training.budget
        if budget.is_private:
            require_statistics("logistic", settings)
            inputs = public_inputs(features, settings.statistics)
            descent = settings.private or chosen(budget)
            balanced = settings.class_weight == "balanced"
            return fit_private(features, inputs, descent, budget, balanced=balanced)
        # Not in a private training: whether both classes occur is a private fact that an error would reveal.
        require_both_classes("logistic", features.stress)
        model = _pipeline(settings)
        return FittedLogistic(settings, model.fit(table(features, settings), features.stress))

    @staticmethod
    def from_arrays(settings: LogisticSettings, arrays: Arrays) -> Fitted:
        """The detector with the weights in `arrays`, of a private training or of any other."""
        if "names" in arrays:
            return FittedLinear.from_arrays(arrays)
        return FittedLogistic.from_arrays(settings, arrays)
