"""Public people as the prior: what they give, whom a plan refuses, and that they cannot fake private data."""

from dataclasses import replace

import numpy as np
import pytest

from pulseveil.core import registry
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import child, root_stream
from pulseveil.detectors import Training as DetectorTraining
from pulseveil.generators import PublicPeople
from pulseveil.generators.posterior import Posterior, PosteriorSettings
from pulseveil.generators.prior_only import PriorOnly, PriorSettings
from pulseveil.generators.public_prior import pool_prior, statistics_of
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.privacy.budget import NOT_PRIVATE, Budget, Population
from pulseveil.privacy.noise import reproducible
from pulseveil.runs.generators import as_training, public_people
from pulseveil.study import tasks
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from tests.benchmarks.simulated_cohorts import features_of, scores, windows_of
from tests.synthetic_sets import as_set
from tests.unit.generators.test_posterior import budget, training, windows_of_people
from tests.workflow.conftest import LIGHT

POOL = PosteriorSettings(prior="pool")


def public(seed=5, name="other", people=4):
    windows, code, subject = windows_of_people(people, seed)
    return PublicPeople(name, windows, code == 1, subject)


def test_the_prior_of_a_pool_is_the_mean_of_its_cohorts_class_means():
    cohorts = public(5, "small", 2), public(6, "large", 9)
    prior = pool_prior(cohorts, 1.0)
    for stress, found in ((True, prior.stress), (False, prior.rest)):
        of_cohorts = []
        for cohort in cohorts:
            statistics = statistics_of(cohort.windows, 1.0)
            of_people = [
                statistics[(cohort.subject == name) & (cohort.stress == stress)].mean(axis=0)
                for name in np.unique(cohort.subject)
            ]
            of_cohorts.append(np.mean(of_people, axis=0))
        np.testing.assert_allclose(found, np.mean(of_cohorts, axis=0))
    # Cohorts of 2 and 9 people leave as many windows each.
    assert len(prior.pool.residuals) == 240
    np.testing.assert_allclose(prior.pool.shapes.std(axis=1), 1.0)


def test_windows_of_a_pool_have_its_residuals_and_shapes():
    data = replace(training(windows_of_people(), NOT_PRIVATE), public=(public(),))
    model = PriorOnly.fit(PriorSettings(prior="pool", prior_spread=1e-9), data)
    noise = np.random.default_rng(0).standard_normal((50, model.noise_size), dtype=np.float32)
    found = statistics_of(model.sample(np.zeros(50, np.int8), noise), 1.0)
    prior = pool_prior(data.public, 1.0)
    means = slice(0, 6)
    residuals = found[:, means] - prior.rest[means]
    nearest = np.abs(residuals[:, None] - prior.pool.residuals[None, :, means]).max(axis=2).min(axis=1)
    assert nearest.max() < 1e-3
    stored = PriorOnly.from_arrays(PriorSettings(prior="pool"), model.arrays())
    np.testing.assert_array_equal(
        stored.sample(np.zeros(50, np.int8), noise), model.sample(np.zeros(50, np.int8), noise)
    )


def test_the_ledger_and_the_statement_name_the_public_cohorts():
    model = Posterior.fit(POOL, replace(training(windows_of_people(), budget()), public=(public(),)))
    assert "recordings of other" in model.ledger[0].public_quantities
    alone = Posterior.fit(PosteriorSettings(), training(windows_of_people(), budget()))
    assert not any("recordings" in quantity for quantity in alone.ledger[0].public_quantities)


def test_a_pool_that_teaches_nothing_is_refused():
    calm = replace(public(), stress=np.zeros(len(public().stress), bool))
    with pytest.raises(InputError, match="public cohort other: nobody has windows with and without stress"):
        pool_prior((calm,), 1.0)
    with pytest.raises(InputError, match="expected public_cohorts in the study"):
        Posterior.fit(POOL, training(windows_of_people(), budget()))


SIMULATED = {"kind": "simulated", "subjects": 4}
STUDY = LIGHT | {
    "cohorts": {"simulated": SIMULATED | {"seed": 3}, "others": SIMULATED | {"seed": 4}},
    "public_cohorts": ["others"],
    "generators": [{"name": "pooled", "kind": "posterior", "settings": {"prior": "pool"}}, "posterior"],
    "detectors": ["logistic"],
    "evaluations": [{"name": "tstr", "cohort": "simulated", "train": "synthetic"}],
}


def plan(**changes):
    return make_plan(check_study(STUDY | changes, "study.yaml"))


def test_a_plan_gives_public_windows_to_the_generators_that_ask_for_them():
    made = plan()
    (pooled, alone) = (made.generator_job(cell, (0,)) for cell in made.generator_cells())
    assert pooled.public_cohorts == ("others",)
    assert alone.public_cohorts == ()
    prepared = [task.cell for task in tasks.tasks(made) if task.rule == "prepare_cohort"]
    assert ("others", "generator") in [tuple(cell) for cell in prepared]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"public_cohorts": ["simulated"]},
            "simulated shares people with cohort simulated of evaluation tstr",
        ),
        ({"public_cohorts": ["nobody"]}, "nobody"),
        ({"public_cohorts": []}, "generators: pooled: prior pool needs public people"),
        (
            {"cohorts": {name: SIMULATED | {"seed": 3} for name in ("simulated", "others")}},
            "others shares people with cohort simulated",
        ),
    ],
)
def test_a_pool_of_protected_or_tested_people_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        plan(**changes)


def accuracy(kind, settings, allowance, pool):
    """Accuracy on people whom nobody knows, of logistic regression from people of cohort 101 or the prior."""
    windows, stream = windows_of(101, "generator"), root_stream(1)
    model = kind.fit(settings, as_training(windows, 2, allowance, stream, public=pool))
    made = synthetic_subjects(model, subjects=28, classes=2, stream=child(stream, "sample"))
    synthetic = as_set(made, windows, generator="posterior", unit="subject", epsilon=1, seed=0)
    detector = registry.load("detectors", "logistic")
    fitted = detector.fit(detector.Settings(), DetectorTraining(features_of(synthetic), NOT_PRIVATE, stream))
    return scores(fitted, 101)[0]


@pytest.mark.slow
def test_a_wrong_pool_cannot_fake_use_of_private_data():
    """With swapped labels the pool alone is worse than a coin.

    Private data move its people towards the truth, as far as the clip norm lets them: a wrong prior costs
    accuracy, and no row owes it any.
    """
    (right,) = public_people(["other"], [windows_of(105, "generator")])
    wrong = replace(right, stress=~right.stress)
    noise = reproducible(root_stream(2))
    private = Budget(10.0, 1e-5, "subject", Population(14, 74, 0.3), noise)
    alone, taught = (
        [accuracy(kind, settings, allowance, (pool,)) for pool in (right, wrong)]
        for kind, settings, allowance in (
            (PriorOnly, PriorSettings(prior="pool"), NOT_PRIVATE),
            (Posterior, POOL, private),
        )
    )
    assert alone[1] < taught[1] < 0.5 < alone[0]
    assert taught[0] > taught[1]
