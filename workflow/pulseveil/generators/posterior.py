"""Private people: one noised query, shrunk to a public prior; synthetic people are drawn from the posterior.

A window is summed up by three statistics of each channel: mean, log SD and slope. The query asks how stress
and rest differ, and where their midpoint lies, on the few statistics that the noise leaves room for. What the
query did not tell is not filled with one guess: it becomes difference between synthetic people, so that a
detector learns how little is known. That spread is what makes small budgets work.

By default the prior is the literature's (`windows.literature`) and round public numbers: no recording of
anybody takes part beside the protected ones. `prior: pool` takes it from cohorts that the study calls public.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import STRESS
from pulseveil.core.errors import InputError
from pulseveil.core.settings import Settings
from pulseveil.generators import GeneratorKind, GeneratorSettings, Training
from pulseveil.generators.prior_only import People, PriorOnly, PriorSettings, people_around, prior_of
from pulseveil.generators.public_prior import NAMES, Prior, statistics_of
from pulseveil.privacy import accounting, ledger
from pulseveil.privacy.budget import Budget, Mechanism, Unit
from pulseveil.privacy.gaussian import clip_rows, release
from pulseveil.privacy.ledger import Entry
from pulseveil.privacy.programs import RELEASE
from pulseveil.privacy.records import admitted_rows, means_by_class

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
_FEW = ("heart_rate_mean", "eda_level_mean", "eda_phasic_log_sd")
_ANY_NOISE = 1e9
OF_PEOPLE = (
    Question(noise=0.045, statistics=_MANY, clip_norm=3.0),
    Question(noise=0.2, statistics=_FEW, clip_norm=1.5),
    Question(noise=_ANY_NOISE, statistics=_FEW, clip_norm=1.0),
)
OF_WINDOWS = (Question(noise=_ANY_NOISE, statistics=_MANY, clip_norm=4.0),)


class PosteriorSettings(PriorSettings):
    """Settings of `posterior`; the questions were chosen on simulated cohorts."""

    of_people: tuple[Question, ...] = Field(
        OF_PEOPLE, min_length=1, description="questions at unit subject, the first that fits the noise"
    )
    of_windows: tuple[Question, ...] = Field(
        OF_WINDOWS, min_length=1, description="questions at unit window, the first that fits the noise"
    )


def contributions(
    statistics: Floats, stress: NDArray[np.bool_], subject: NDArray[np.str_], prior: Prior, unit: Unit
) -> Floats:
    """What each record adds to the query (records, 2 s), less the prior, in public units, before clipping.

    A person: difference and midpoint of the own class means; NaN, which clipping makes zero, where a class is
    missing. A window: its deviation from the prior of its class, in the half of that class, stress first.
    """
    if unit == "window":
        own = np.where(stress[:, np.newaxis], prior.stress, prior.rest)
        deviation = np.clip((statistics - own) / prior.unit, -_FARTHEST_OF_WINDOW, _FARTHEST_OF_WINDOW)
        return np.hstack([np.where(side[:, np.newaxis], deviation, 0.0) for side in (stress, ~stress)])
    values = np.clip(statistics / prior.unit, -_FARTHEST, _FARTHEST)
    means = means_by_class(values, stress, subject)
    difference = means[0] - means[1] - (prior.stress - prior.rest) / prior.unit
    midpoint = means.mean(axis=0) - (prior.stress + prior.rest) / 2 / prior.unit
    return np.hstack([difference, midpoint])


def posterior(
    found: Floats, noise_variance: Floats, asked: NDArray[np.bool_], settings: PosteriorSettings
) -> tuple[Floats, Floats]:
    """Posterior mean and SD (k, s), in public units, of `found` (k, s) with its noise variance (k, 1).

    Statistics that were not asked keep the prior: mean 0, SD `prior_spread`.
    """
    spread = settings.prior_spread**2
    trust = np.where(asked, spread / (spread + noise_variance), 0.0)
    return trust * found, settings.person_spread * np.sqrt(spread * (1 - trust))


class Posterior(PriorOnly):
    """People drawn from what one query over the real people leaves open."""

    Settings: ClassVar[type[GeneratorSettings]] = PosteriorSettings
    title: ClassVar[str] = "Posterior"
    colour: ClassVar[str] = "#56B4E9"
    version: ClassVar[int] = 2
    learns: ClassVar[bool] = True
    audited: ClassVar[bool] = True
    no_budget: ClassVar[str] = GeneratorKind.no_budget
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
        prior, budget = prior_of(settings, training), training.budget
        statistics = statistics_of(training.windows, training.rate_hz)
        stress = training.condition == STRESS
        shape = (training.windows.shape[1], training.windows.shape[2])
        if not budget.is_private:
            records = contributions(statistics, stress, training.subject, prior, "subject")
            question = _question(settings, "subject", 0.0)
            asked = _asked(question)
            complete = records[np.isfinite(records).all(axis=1)][:, np.tile(asked, 2)]
            if not len(complete):
                raise InputError("posterior: no person has windows with and without stress; train on others")
            found = _spread_out(clip_rows(complete, question.clip_norm).mean(axis=0), asked)
            people = _people(found.reshape(2, -1), np.zeros((2, 1)), asked, prior, settings)
            return cls(people, shape, training.rate_hz)
        (mechanism,), noise = cls.mechanisms(settings, budget), budget.noise_source()
        population = budget.known_population()
        question = _question(settings, budget.unit, mechanism.noise_multiplier / mechanism.n)
        asked = _asked(question)
        order = np.arange(len(training.subject), dtype=np.float64)
        rows = admitted_rows(training.subject, order, population)
        records = contributions(statistics[rows], stress[rows], training.subject[rows], prior, budget.unit)[
            :, np.tile(asked, 2)
        ]
        total = _spread_out(release(records, mechanism, noise), asked).reshape(2, -1)
        share = np.ones(2)
        if budget.unit == "window":
            share = np.array([population.stress_share, 1 - population.stress_share])
        divisor = (mechanism.n * share)[:, np.newaxis]
        variance = (mechanism.noise_multiplier * mechanism.clip_norm / divisor) ** 2
        people = _people(
            total / divisor, variance, asked, prior, settings, of_classes=budget.unit == "window"
        )
        entry = ledger.close(
            mechanism,
            steps_noised=1,
            delta=budget.delta,
            noise=noise,
            public_quantities=(*PUBLIC_QUANTITIES, *(f"recordings of {p.cohort}" for p in training.public)),
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


def _asked(question: Question) -> NDArray[np.bool_]:
    """Which of the statistics `NAMES` (s) a question asks."""
    return np.isin(NAMES, question.statistics)


def _spread_out(values: Floats, asked: NDArray[np.bool_]) -> Floats:
    """Values (2 k) of the statistics that were asked among all (2 s), zero elsewhere."""
    everywhere = np.zeros(2 * len(asked))
    everywhere[np.tile(asked, 2)] = values
    return everywhere


def _people(
    found: Floats,
    variance: Floats,
    asked: NDArray[np.bool_],
    prior: Prior,
    settings: PosteriorSettings,
    *,
    of_classes: bool = False,
) -> People:
    """People by the posterior of `found` (2, s): difference and midpoint, or means of stress and rest."""
    mean, sd = posterior(found, variance, asked, settings)
    if of_classes:
        mean = np.stack([mean[0] - mean[1], mean.mean(axis=0)])
        total = np.square(sd).sum(axis=0)
        sd = np.sqrt(np.stack([total, total / 4]))
    return people_around(prior, mean, sd)
