"""Private people: one noised query, shrunk to a public prior; synthetic people are drawn from the posterior.

A window is summed up by three statistics of each channel: mean, log SD and slope. The query asks how people
are under stress, on the few statistics that the noise leaves room for. It can ask the same of rest, but
scaling by the person's own rest holds the rest near the prior: for whole people, that answer is not worth its
noise. What the query did not tell is not filled with one guess: it becomes difference between synthetic
people, so that a detector learns how little is known. That spread is what makes small budgets work.

The prior is the literature's (`windows.literature`) and round public numbers: no recording of anybody takes
part beside the protected one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from pulseveil.core.contracts import STRESS
from pulseveil.core.errors import InputError
from pulseveil.core.settings import Settings
from pulseveil.generators import GeneratorSettings, Training
from pulseveil.generators.prior_only import People, PriorOnly, PriorSettings, people_around, spreads
from pulseveil.generators.public_prior import NAMES, Prior, literature_prior, statistics_of
from pulseveil.privacy import accounting, ledger
from pulseveil.privacy.budget import Budget, Mechanism, Unit
from pulseveil.privacy.gaussian import clip_rows, release
from pulseveil.privacy.ledger import Entry
from pulseveil.privacy.programs import RELEASE
from pulseveil.privacy.records import admitted_rows, means_by_class

Array = NDArray[np.float64]

PUBLIC_QUANTITIES = (
    "number of people",
    "windows of a person",
    "shares of the conditions",
    "scales, signs and spreads of the window statistics",
)

# Statistics of a window beyond this many units are artefacts.
_FARTHEST = 8.0
_FARTHEST_OF_WINDOW = 4.0


class Question(Settings):
    """What a query asks while the noise on a mean, noise multiplier / records, is at most `noise`."""

    noise: float = Field(gt=0, description="largest noise multiplier divided by the number of records")
    statistics: tuple[str, ...] = Field(min_length=1, description="statistics asked, such as heart_rate_mean")
    clip_norm: float = Field(gt=0, description="largest norm of one record's contribution")
    rest_weight: float = Field(
        1.0, ge=0, description="weight of the statistics at rest in a contribution; 0: they are not asked"
    )

    def weights(self) -> Array:
        """Weight (2, s) of each of the statistics `NAMES` under stress and at rest; 0: not asked."""
        weights: Array = np.array([[1.0], [self.rest_weight]]) * np.isin(NAMES, self.statistics)
        return weights

    @field_validator("statistics")
    @classmethod
    def _known(cls, statistics: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(statistics) - set(NAMES))
        if unknown:
            raise ValueError(f"{unknown[0]} is unknown; use some of {', '.join(NAMES)}")
        return statistics


_MANY = tuple(
    name
    for name in NAMES
    if (name.endswith(("_mean", "_log_sd")) and name != "eda_phasic_mean")
    or name in ("eda_level_slope", "temperature_slope")
)
_FEW = ("heart_rate_mean", "pulse_amplitude_mean", "eda_level_mean", "eda_phasic_log_sd")
_SOME = (*_FEW, "temperature_mean", "activity_log_sd")
_ANY_NOISE = 1e9
OF_PEOPLE = (
    Question(noise=0.2, statistics=_MANY, clip_norm=2.0, rest_weight=0.0),
    Question(noise=0.4, statistics=_SOME, clip_norm=1.5, rest_weight=0.0),
    Question(noise=_ANY_NOISE, statistics=_FEW, clip_norm=0.7, rest_weight=0.0),
)
OF_WINDOWS = (
    Question(noise=0.01, statistics=_MANY, clip_norm=4.0),
    Question(noise=_ANY_NOISE, statistics=_SOME, clip_norm=2.5),
)


class PosteriorSettings(PriorSettings):
    """Settings of `posterior`; the questions were chosen on simulated cohorts."""

    of_people: tuple[Question, ...] = Field(
        OF_PEOPLE, min_length=1, description="questions at unit subject, the first that fits the noise"
    )
    of_windows: tuple[Question, ...] = Field(
        OF_WINDOWS, min_length=1, description="questions at unit window, the first that fits the noise"
    )


def contributions(
    statistics: Array, stress: NDArray[np.bool_], subject: NDArray[np.str_], prior: Prior, unit: Unit
) -> Array:
    """What each record adds to the query (records, 2 s), in public units, before weights and clipping.

    The values are deviations from the prior of stress, and behind them from the prior of rest. A person: of
    the own class means; NaN, which clipping makes zero, where a class is missing. A window: of its statistics
    in the half of its class, and zeros in the other half.
    """
    if unit == "window":
        own = np.where(stress[:, np.newaxis], prior.stress, prior.rest)
        deviation = np.clip((statistics - own) / prior.unit, -_FARTHEST_OF_WINDOW, _FARTHEST_OF_WINDOW)
        return np.hstack([np.where(side[:, np.newaxis], deviation, 0.0) for side in (stress, ~stress)])
    values = np.clip(statistics / prior.unit, -_FARTHEST, _FARTHEST)
    of_stress, of_rest = means_by_class(values, stress, subject)
    return np.hstack([of_stress - prior.stress / prior.unit, of_rest - prior.rest / prior.unit])


def posterior(found: Array, noise_variance: Array, settings: PosteriorSettings) -> tuple[Array, Array]:
    """Mean and SD (2, s) of synthetic people, in public units from the prior, by what a query found (2, s).

    noise_variance: (2, s); infinite where nothing was asked: these statistics keep the prior.
    """
    spread = np.square(spreads(settings))
    trust = spread / (spread + noise_variance)
    return trust * found, settings.person_spread * np.sqrt(spread * (1 - trust))


class Posterior(PriorOnly):
    """People drawn from what one query over the real people leaves open."""

    Settings: ClassVar[type[GeneratorSettings]] = PosteriorSettings
    title: ClassVar[str] = "Posterior"
    colour: ClassVar[str] = "#56B4E9"
    version: ClassVar[int] = 2
    learns: ClassVar[bool] = True
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    programs: ClassVar[tuple[int, ...]] = (RELEASE,)
    private_differences: ClassVar[tuple[str, ...]] = (
        "fewer statistics and a smaller clip norm where the noise on a mean is large",
        "posterior SDs that grow with the noise: synthetic people differ more",
    )

    def __init__(
        self, people: People, shape: tuple[int, int], rate_hz: float, ledger: tuple[Entry, ...] = ()
    ):
        super().__init__(people, shape, rate_hz)
        self._ledger = ledger

    @staticmethod
    def mechanisms(settings: PosteriorSettings, budget: Budget) -> tuple[Mechanism, ...]:
        """The one query of a private training: the first question that fits the noise.

        The noise multiplier follows from the budget and n from the plan, so that the choice is public.
        """
        n = budget.known_population().records(budget.unit)
        query = accounting.calibrate(budget, name="posterior", n=n, q=1.0, capacity=n, steps=1, clip_norm=1.0)
        question = _question(settings, budget.unit, query.noise_multiplier / n)
        return (replace(query, clip_norm=question.clip_norm),)

    @classmethod
    def audited_settings(
        cls, settings: PosteriorSettings, claimed: Budget, audited: Budget
    ) -> PosteriorSettings:
        """The settings that ask the question of `claimed`, whatever the noise on the records of an audit.

        Canaries add records, and a smaller noise on the mean could choose another question: the audit would
        then attack another query than the claimed one.
        """
        (mechanism,) = cls.mechanisms(settings, claimed)
        question = _question(settings, claimed.unit, mechanism.noise_multiplier / mechanism.n)
        key = "of_people" if claimed.unit == "subject" else "of_windows"
        return settings.model_copy(update={key: (question.model_copy(update={"noise": _ANY_NOISE}),)})

    @classmethod
    def fit(cls, settings: PosteriorSettings, training: Training) -> Self:
        """Fit to the windows of a training.

        Raises:
            InputError: the windows have no public prior, nobody has windows of both classes (a private
                training does not look), or there are more people than the public constants of a private
                budget say.
        """
        cls.require_windows(settings, training.channels, training.scaling)
        prior, budget = literature_prior(), training.budget
        statistics = statistics_of(training.windows, training.rate_hz)
        stress = training.condition == STRESS
        shape = (training.windows.shape[1], training.windows.shape[2])
        if not budget.is_private:
            records = contributions(statistics, stress, training.subject, prior, "subject")
            question = _question(settings, "subject", 0.0)
            weights = question.weights()
            complete = _weighted(records[np.isfinite(records).all(axis=1)], weights)
            if not len(complete):
                raise InputError("posterior: no person has windows with and without stress; train on others")
            total = clip_rows(complete, question.clip_norm).sum(axis=0)
            found, variance = _found(total, weights, 0.0, np.full((2, 1), len(complete)))
            people = people_around(prior, *posterior(found, variance, settings))
            return cls(people, shape, training.rate_hz)
        (mechanism,), noise = cls.mechanisms(settings, budget), budget.noise_source()
        population = budget.known_population()
        question = _question(settings, budget.unit, mechanism.noise_multiplier / mechanism.n)
        weights = question.weights()
        order = np.arange(len(training.subject), dtype=np.float64)
        rows = admitted_rows(training.subject, order, population)
        records = contributions(statistics[rows], stress[rows], training.subject[rows], prior, budget.unit)
        total = release(_weighted(records, weights), mechanism, noise)
        share = np.ones(2)
        if budget.unit == "window":
            share = np.array([population.stress_share, 1 - population.stress_share])
        noise_sd = mechanism.noise_multiplier * mechanism.clip_norm
        found, variance = _found(total, weights, noise_sd, (mechanism.n * share)[:, np.newaxis])
        people = people_around(prior, *posterior(found, variance, settings))
        entry = ledger.close(
            mechanism,
            steps_noised=1,
            delta=budget.delta,
            noise=noise,
            public_quantities=PUBLIC_QUANTITIES,
            program=RELEASE,
        )
        return cls(people, shape, training.rate_hz, (entry,))

    @property
    def ledger(self) -> tuple[Entry, ...]:
        """The entry of a private training; empty for others, and for models read from arrays."""
        return self._ledger


def _question(settings: PosteriorSettings, unit: Unit, noise: float) -> Question:
    """The first question of the unit whose noise limit holds; the last one beyond all limits."""
    questions = settings.of_people if unit == "subject" else settings.of_windows
    return next((question for question in questions if noise <= question.noise), questions[-1])


def _weighted(records: Array, weights: Array) -> Array:
    """Contributions (records, k) to the query: the asked columns of `records` (records, 2 s), weighted."""
    asked = weights.ravel() > 0
    return (records * weights.ravel())[:, asked]


def _found(total: Array, weights: Array, noise_sd: float, records: Array) -> tuple[Array, Array]:
    """Deviations from the prior by the sum `total` (k) of a query, and their noise variance (2, s each).

    records: (2, 1), the number of records that add to stress and to rest. Zero and infinite where nothing was
    asked.
    """
    asked = weights > 0
    divisor = weights * records
    found, variance = np.zeros(weights.shape), np.full(weights.shape, np.inf)
    found[asked] = total / divisor[asked]
    variance[asked] = np.square(noise_sd / divisor[asked])
    return found, variance
