from dataclasses import replace

import numpy as np
import pytest

from pulseveil.core import randomness, registry
from pulseveil.core.errors import InputError
from pulseveil.detectors import PublicFeatures, Training
from pulseveil.privacy.budget import NOT_PRIVATE, Budget, Population
from pulseveil.privacy.models import Setting
from pulseveil.privacy.noise import reproducible
from pulseveil.privacy.statement import statement
from tests.unit.detectors.test_neural_detectors import features

STREAM = randomness.root_stream(3)
SMALL = {"filters": 4, "dense_units": [8], "epochs": 3, "batch_size": 20, "learning_rate": 5e-3}
PUBLIC = (PublicFeatures("others", features(60, seed=5)), PublicFeatures("more", features(40, seed=6)))
# One noised step that is too small to change any weight.
STILL = {"pretrain": "public", "private": {"steps": 1, "learning_rate": 1e-12}}


def fit(settings, data, *, budget=NOT_PRIVATE, stream=STREAM, public=()):
    kind, model = registry.load("detectors", "cnn"), registry.model("detectors", "cnn")
    training = Training(data, budget, stream, public=public)
    return model.fit(kind.Settings.model_validate({**SMALL, **settings}), training)


def private(backend="fast"):
    return Budget(1.0, 1e-5, "window", Population(1, 40, 0.3), reproducible(STREAM), backend)


@pytest.mark.parametrize("backend", ["fast", "tensorflow_privacy"])
def test_a_private_training_starts_where_a_training_on_the_public_people_ends(backend):
    data = features(40)
    together = replace(
        PUBLIC[0].features,
        **{
            column: np.concatenate([getattr(public.features, column) for public in PUBLIC])
            for column in PUBLIC[0].features.row_columns
        },
    )
    truth = fit({}, together, stream=randomness.child(STREAM, "pretraining")).score(data)
    found = fit(STILL, data, budget=private(backend), public=PUBLIC)
    np.testing.assert_allclose(found.score(data).score, truth.score, rtol=1e-5)
    fresh = fit({**STILL, "pretrain": None}, data, budget=private(backend)).score(data)
    assert np.abs(fresh.score - truth.score).max() > 0.01


def test_a_training_without_a_budget_goes_on_from_the_public_people_too():
    data = features(40)
    settings = {"pretrain": "public", "learning_rate": 1e-12}
    scores = [fit(settings, data, public=public).score(data).score for public in (PUBLIC, PUBLIC[:1])]
    # Neither of the trainings moves a weight: with other public people the result is the same start.
    np.testing.assert_allclose(*scores, rtol=1e-5)
    plain, pretrained = (
        fit(each, data, public=PUBLIC).score(data).score for each in ({}, {"pretrain": "public"})
    )
    assert np.abs(plain - pretrained).max() > 0.01


def test_ledger_and_statement_name_the_public_cohorts_and_spend_the_same():
    data = features(40)
    (entry,) = fit(STILL, data, budget=private(), public=PUBLIC).ledger
    (other,) = fit({**STILL, "pretrain": None}, data, budget=private()).ledger
    assert set(entry.public_quantities) - set(other.public_quantities) == {
        "recordings of others",
        "recordings of more",
    }
    assert entry.as_mechanism() == other.as_mechanism()
    assert "recordings of others" in statement((entry,), Setting(), [], ())


def test_without_public_people_there_is_no_pretraining():
    with pytest.raises(InputError, match="pretrain public: expected public_cohorts in the study, found none"):
        fit(STILL, features(40), budget=private())
    calm = features(20, share=0)
    with pytest.raises(InputError, match="pretrain public"):
        fit(STILL, features(40), budget=private(), public=(PublicFeatures("calm", calm),))


def test_settings_without_the_key_are_stored_as_before_there_was_one():
    settings = registry.load("detectors", "cnn").Settings
    assert "pretrain" not in settings().model_dump(mode="json")
    assert settings(pretrain="public").model_dump(mode="json")["pretrain"] == "public"
