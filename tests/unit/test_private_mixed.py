"""Private detectors beside synthetic windows: who needs noise, and which combinations protect nobody."""

from dataclasses import replace

import numpy as np
import pytest

from pulseveil.contracts import FeatureSet
from pulseveil.detectors.private_logistic import Descent
from pulseveil.detectors.public_knowledge import public_inputs
from pulseveil.errors import InputError
from tests.unit.test_plan import demo
from tests.unit.test_private_simple import MEANS, PEOPLE, SHARE, WINDOWS, budget, features, fit, parameters

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


def test_class_means_refuse_synthetic_windows():
    both = FeatureSet.concatenate([features(), synthetic(1)])
    with pytest.raises(InputError, match=r"real windows only"):
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
