"""Private detectors beside synthetic windows: who needs noise, and which combinations protect nobody."""

from dataclasses import replace

import numpy as np
import pytest

from pulseveil.core.contracts import FeatureSet
from pulseveil.core.errors import InputError
from pulseveil.detectors.logistic import Descent
from pulseveil.detectors.private_neural import lay_out
from pulseveil.detectors.public_knowledge import public_inputs
from pulseveil.privacy import dpsgd
from pulseveil.privacy.budget import Population
from pulseveil.privacy.records import ABSENT
from tests.unit import dpsgd_cases as cases
from tests.unit.detectors import test_private_networks as networks
from tests.unit.detectors.test_private_simple import (
    MEANS,
    PEOPLE,
    SHARE,
    WINDOWS,
    budget,
    features,
    fit,
    parameters,
)
from tests.unit.study.test_plan import demo

CLIP = 0.2
ONE_STEP = Descent(steps=1, learning_rate=1, clip_norm=CLIP, penalty=0, public_weight=0)


def synthetic(people):
    """Windows that a private generator made."""
    rows = features(people=people, seed=5)
    names = np.char.replace(rows.subject, "S", "SYN")
    return replace(rows, subject=names, fold=np.full(len(rows), "S9"), start_s=np.full(len(rows), np.nan))


def clipped_gradients(rows, unit):
    """A slow loop over the records of `rows` at parameters 0."""
    inputs = public_inputs(rows, MEANS).read(rows)
    records = {}
    for i, (x, stress, subject) in enumerate(zip(inputs, rows.stress, rows.subject, strict=True)):
        weight = 0.5 / SHARE if stress else 0.5 / (1 - SHARE)
        gradient = weight * (0.5 - stress) * np.append(x, 1.0)
        records.setdefault(subject if unit == "subject" else i, []).append(gradient)
    means = [np.mean(record, axis=0) for record in records.values()]
    return [mean * min(1, CLIP / np.linalg.norm(mean)) for mean in means]


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_synthetic_records_count_like_real_ones(unit):
    real, made = features(), synthetic(3)
    both = FeatureSet.concatenate([real, made])
    found = parameters(fit("logistic", both, budget(1e12, unit), private=ONE_STEP, statistics=MEANS))
    total = np.sum(clipped_gradients(real, unit) + clipped_gradients(made, unit), axis=0)
    records = (PEOPLE + 3) * (1 if unit == "subject" else WINDOWS)
    np.testing.assert_allclose(found, -total / records, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_noise_is_that_of_the_real_records_alone(unit):
    both = FeatureSet.concatenate([features(), synthetic(3)])
    drawn = [
        parameters(fit("logistic", both, budget(1.0, unit, key=key), private=ONE_STEP, statistics=MEANS))
        for key in range(400)
    ]
    fitted = fit("logistic", both, budget(1.0, unit), private=ONE_STEP, statistics=MEANS)
    (entry,) = fitted.ledger
    records = (PEOPLE + 3) * (1 if unit == "subject" else WINDOWS)
    expected = entry.noise_multiplier * CLIP / records
    # SD of 400 x d normal draws: within 7 %, five standard errors, for d of at least 6.
    assert np.std(np.array(drawn) - np.mean(drawn, axis=0)) == pytest.approx(expected, rel=0.07)


def mixed_spectra(people):
    """Spectra of real people and of synthetic ones, of which the first has only 3 windows."""
    made = synthetic(people)
    made = made.take((made.subject != made.subject[0]) | (np.arange(len(made)) < 3))
    spectra = np.random.default_rng(3).normal(size=(len(made), 6, 8)).astype(np.float32)
    return FeatureSet.concatenate([networks.rows(), replace(made, features=spectra)]), made


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_synthetic_records_follow_the_public_number_of_real_ones(unit):
    population = Population(PEOPLE + 1, WINDOWS, SHARE)
    both, made = mixed_spectra(2)
    laid, alone = lay_out(both, unit, population), lay_out(networks.rows(), unit, population)
    real = population.records(unit)
    assert len(alone.x) == real
    assert len(laid.x) - real == (2 if unit == "subject" else WINDOWS + 3)
    for value, of_real in zip(laid, alone, strict=True):
        np.testing.assert_array_equal(value[:real], of_real)
    windows = laid.x[real:][laid.weight[real:] > 0]
    np.testing.assert_array_equal(windows, both.features[-len(made) :])


@pytest.mark.parametrize("name", ["cnn", "transformer"])
def test_a_network_beside_synthetic_windows_spends_what_the_real_ones_cost(name):
    both, _ = mixed_spectra(2)
    (alone,), (mixed,) = (networks.fit(name, r, unit="window").ledger for r in (networks.rows(), both))
    fields = ("n", "q", "expected_batch", "noise_multiplier", "steps_noised", "epsilon_pld")
    assert [getattr(mixed, f) for f in fields] == [getattr(alone, f) for f in fields]


def test_a_step_clips_synthetic_records_too_and_divides_by_all():
    data, run = cases.examples(40), cases.mechanism(30)
    gradients = cases.plain_gradients(data)
    run = replace(run, clip_norm=cases.median_norm(gradients))
    recipe = dpsgd.Recipe(cases.DENSE, run, learning_rate=1.0, optimizer="sgd", released_records=10)
    weights, _ = dpsgd.fit(recipe, data, cases.NOISE, cases.STREAM)
    moved = cases.flat(cases.start_parameters()) - cases.flat(weights.parameters)
    expected = cases.plain_clipped_sum(gradients, run.clip_norm) / 40
    cases.require_close(moved, expected, "the mean of all clipped records")


def test_noise_beside_synthetic_records_is_that_of_the_real_ones():
    run = cases.mechanism(noise_multiplier=2.0, clip_norm=0.1)
    data = cases.examples(40)
    recipe = dpsgd.Recipe(cases.DENSE, run, learning_rate=40.0, optimizer="sgd", released_records=10)
    weights, _ = dpsgd.fit(recipe, data._replace(weight=0 * data.weight), cases.NOISE, cases.STREAM)
    moved = cases.flat(cases.start_parameters()) - cases.flat(weights.parameters)
    # Some 5,000 normals: five standard errors are 5 %.
    assert np.std(moved) == pytest.approx(2.0 * 0.1, rel=0.05)


def test_synthetic_records_are_drawn_like_real_ones():
    run = cases.mechanism(40, q=0.3, steps=3000)
    alone = cases.recipe(run)
    order = dpsgd.draw(replace(alone, released_records=25), cases.NOISE, "draws").order
    real = dpsgd.draw(alone, cases.NOISE, "draws").order
    for row, of_real in zip(order, real, strict=True):
        drawn = row[row != ABSENT]
        np.testing.assert_array_equal(row[: len(drawn)], drawn)  # free places come last
        np.testing.assert_array_equal(drawn[drawn < 40], of_real[of_real != ABSENT])
    counts = np.bincount(order[order != ABSENT], minlength=65)[40:]
    # 25 counts of 3,000 draws: within five standard deviations of 900.
    assert len(counts) == 25
    assert np.abs(counts - 900).max() < 5 * np.sqrt(3000 * 0.3 * 0.7)


def test_class_means_refuse_synthetic_windows():
    both = FeatureSet.concatenate([features(), synthetic(1)])
    with pytest.raises(InputError, match=r"real windows only, found synthetic"):
        fit("class_means", both, budget())


def evaluations(**keys):
    return {
        "generators": ["moments"],
        "detectors": ["logistic"],
        "evaluations": [{"name": "both", "cohort": "simulated", **keys}],
    }


def test_a_budget_beside_windows_without_one_is_refused():
    with pytest.raises(InputError, match=r"both: epsilon_detector 1 protects nobody"):
        demo(**evaluations(train="real+synthetic", epsilon_generator=["inf"], epsilon_detector=[1]))


def test_a_detector_of_synthetic_windows_spends_nothing_of_its_own():
    with pytest.raises(InputError, match=r"both: .* spends nothing of its own"):
        demo(**evaluations(train="synthetic", epsilon_generator=[1], epsilon_detector=[1]))
