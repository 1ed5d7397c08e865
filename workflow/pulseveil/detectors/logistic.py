"""Logistic regression, the plain baseline that a network must beat, without and with a budget.

The private one is noised gradient descent over all records, leaning on public signs. Source: Bassily, Smith
and Thakurta, FOCS 2014, with full batches and the mean of the last iterates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseveil.core.contracts import FeatureSet
from pulseveil.core.settings import Settings
from pulseveil.detectors import Detector, Fitted, Training
from pulseveil.detectors.public_knowledge import (
    PUBLIC_QUANTITIES,
    FittedLinear,
    PublicInputs,
    public_direction,
    public_inputs,
    sigmoid,
)
from pulseveil.detectors.tabular import (
    FittedTable,
    TabularSettings,
    require_both_classes,
    require_statistics,
    table,
)
from pulseveil.privacy import accounting, ledger
from pulseveil.privacy.budget import Budget, Mechanism, Unit
from pulseveil.privacy.gaussian import clip_rows, release
from pulseveil.privacy.noise import Noise
from pulseveil.privacy.programs import DESCENT
from pulseveil.privacy.records import admitted_rows, person_means

Array = NDArray[np.float64]


class Descent(Settings):
    """How a private logistic regression is trained."""

    steps: int = Field(gt=0, description="noised gradient steps over all records")
    learning_rate: float = Field(gt=0, description="step size")
    clip_norm: float = Field(gt=0, description="largest norm of one record's gradient")
    penalty: float = Field(ge=0, description="L2 penalty on the distance from the public weights")
    public_weight: float = Field(ge=0, description="size of the public weights: start and centre of penalty")


# From the least epsilon upwards, the settings that tests/benchmarks/private_settings.py chose on simulated
# cohorts. The less noise, the longer the steps and the weaker the pull to the public signs.
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
    """The settings for the unit and epsilon of a private budget."""
    return [descent for least, descent in CHOSEN[budget.unit] if budget.epsilon >= least][-1]


def descent_mechanism(descent: Descent, budget: Budget) -> Mechanism:
    """The mechanism of a training within `budget`: `descent.steps` full batches."""
    n = budget.known_population().records(budget.unit)
    return accounting.calibrate(
        budget, name="logistic", n=n, q=1.0, room=n, steps=descent.steps, clip_norm=descent.clip_norm
    )


def fit_private(
    features: FeatureSet, inputs: PublicInputs, descent: Descent, budget: Budget, *, balanced: bool
) -> FittedLinear:
    """Train on the real rows of `features` that the public constants admit, and on all synthetic ones.

    Raises InputError where there are more people than those say.
    """
    mechanism, noise = descent_mechanism(descent, budget), budget.noise_source()
    population = budget.known_population()
    share = population.stress_share if balanced else 0.5
    real, released = (features.take(rows) for rows in (features.fold == "", features.fold != ""))
    real = real.take(admitted_rows(real.subject, real.start_s, population))
    gradients, of_released = (
        record_gradients(
            inputs.read(rows), rows.stress, class_weights(rows.stress, share), rows.subject, budget.unit
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


def class_weights(stress: NDArray[np.bool_], share: float) -> Array:
    """Weights (n) under which both classes count half, if `share` of the windows are stress."""
    return np.where(stress, 0.5 / share, 0.5 / (1 - share))


def record_gradients(
    inputs: Array, stress: NDArray[np.bool_], weight: Array, subject: NDArray[np.str_], unit: Unit
) -> Callable[[Array], Array]:
    """Gradients (records, d + 1) of the weighted log loss as a function of the parameters (d + 1).

    The intercept is last. A record is a window or, at unit subject, the mean over a person's windows.
    """
    design = np.column_stack([inputs, np.ones(len(inputs))])

    def gradients(parameters: Array) -> Array:
        residual = weight * (sigmoid(design @ parameters) - stress)
        of_windows = residual[:, np.newaxis] * design
        return person_means(of_windows, subject) if unit == "subject" else of_windows

    return gradients


def descend(
    gradients: Callable[[Array], Array],
    of_released: Callable[[Array], Array],
    public: Array,
    descent: Descent,
    mechanism: Mechanism,
    noise: Noise,
) -> tuple[Array, int]:
    """The mean of the last half of the iterates (d + 1), and how many steps were noised.

    Starts at `public`, towards which the penalty pulls. Each step clips the records, noises their sum and
    divides by the public number of records. Records `of_released` windows, which a private generator made,
    are clipped alike, but need no noise: their sum is a function of what has been released.
    """
    parameters, total, noised = public, np.zeros_like(public), 0
    for step in range(mechanism.steps):
        noised_sum = release(gradients(parameters), mechanism, noise, step)
        noised += 1
        known = clip_rows(of_released(parameters), mechanism.clip_norm)
        mean = (noised_sum + known.sum(axis=0)) / (mechanism.expected_batch + len(known))
        parameters = parameters - descent.learning_rate * (mean + descent.penalty * (parameters - public))
        if step >= mechanism.steps // 2:
            total = total + parameters
    return total / (mechanism.steps - mechanism.steps // 2), noised


class LogisticSettings(TabularSettings):
    """Keys of `logistic`."""

    inverse_penalty: float = Field(0.1, gt=0, description="C of scikit-learn; smaller is smoother")
    class_weight: Literal["balanced", "none"] = Field("balanced", description="weights of the two classes")
    private: Descent | None = Field(
        None, description="private: the training; default: chosen for unit and epsilon on simulated cohorts"
    )


class Logistic(Detector):
    """L2-penalised logistic regression on columns standardised on the training rows.

    A private one reads the wanted statistics of which the literature knows the scale, see
    `public_knowledge`, and has settings of its own.
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

    @staticmethod
    def expected_seconds(settings: LogisticSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of fitting to `rows` windows."""
        return 0.01 + (5e-6 if settings.inputs == "statistics" else 5e-5) * rows

    @staticmethod
    def mechanisms(settings: LogisticSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """The noised steps of a private training; raises InputError for inputs without public scales."""
        require_statistics("logistic", settings)
        return (descent_mechanism(settings.private or chosen(budget), budget),)

    @staticmethod
    def fit(settings: LogisticSettings, training: Training) -> Fitted:
        """Fit to the rows of a training; apart from privacy noise deterministic, so its stream is not used.

        Raises InputError for training rows of one class; a private training does not look.
        """
        features, budget = training.features, training.budget
        if budget.is_private:
            require_statistics("logistic", settings)
            inputs = public_inputs(features, settings.statistics)
            descent = settings.private or chosen(budget)
            balanced = settings.class_weight == "balanced"
            return fit_private(features, inputs, descent, budget, balanced=balanced)
        # Plans import this module; scikit-learn takes seconds to import.
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        require_both_classes("logistic", features.stress)
        weight = None if settings.class_weight == "none" else "balanced"
        model = make_pipeline(
            StandardScaler(),
            LogisticRegression(C=settings.inverse_penalty, class_weight=weight, max_iter=1000),
        )
        return FittedTable(settings, model.fit(table(features, settings), features.stress))
