from dataclasses import replace

import numpy as np
import pytest

from pulseveil.core import randomness, registry
from pulseveil.core.errors import InputError
from pulseveil.detectors import Training
from pulseveil.privacy.budget import NOT_PRIVATE, Budget, Population
from pulseveil.privacy.noise import reproducible
from pulseveil.study.checks import make_plan
from pulseveil.study.reading import check_study
from pulseveil.study.spending import unbudgeted
from tests.unit.detectors.test_neural_detectors import features

STREAM = randomness.root_stream(11)
NETWORKS = {
    "cnn": {"filters": 4, "dense_units": [8]},
    "cnn_lstm": {"filters": 4, "dense_units": [8], "lstm_units": [4, 4]},
    "transformer": {"blocks": 1, "head_size": 4, "dense_units": 8},
}


def fitted(name, settings, data, budget=NOT_PRIVATE, stream=STREAM):
    kind = registry.load("detectors", name)
    training = Training(data, budget, stream)
    return registry.model("detectors", name).fit(kind.Settings.model_validate(settings), training)


def untrained(network, data, **changes):
    return fitted("untrained", {"network": network, "settings": NETWORKS[network]}, data, **changes)


def study(*detectors, **keys):
    values = {
        "name": "yardstick",
        "seed": 1,
        "seeds": 2,
        "protocol": "sound",
        "cohorts": {"people": {"kind": "simulated", "subjects": 4}},
        "detectors": list(detectors),
        "evaluations": [{"name": "real", "cohort": "people", "train": "real"}],
    }
    return check_study({**values, **keys}, "study.yaml")


@pytest.mark.parametrize("network", NETWORKS)
def test_it_decides_as_a_private_training_whose_steps_are_too_small_to_change_weights(network):
    data = features(40)
    still = {**NETWORKS[network], "private": {"steps": 1, "learning_rate": 1e-12}}
    budget = Budget(1.0, 1e-5, "window", Population(1, 40, 0.3), reproducible(STREAM))
    private = fitted(network, still, data, budget).score(data)
    found = untrained(network, data).score(data)
    np.testing.assert_allclose(found.score, private.score, rtol=1e-6)
    np.testing.assert_allclose(found.score_rest, private.score_rest, rtol=1e-6)
    # Another draw of the weights is another network.
    other = untrained(network, data, stream=randomness.root_stream(12)).score(data)
    assert np.abs(other.score - found.score).max() > 1e-3


def test_it_reads_neither_values_nor_labels_of_its_training():
    data = features(40)
    other = replace(features(40, seed=1), stress=np.zeros(40, bool))
    scores = [untrained("cnn", rows).score(data).score for rows in (data, other)]
    np.testing.assert_array_equal(*scores)


def test_it_spends_nothing_and_does_not_count_as_a_model_without_a_budget():
    plan = make_plan(study("cnn", "untrained", epsilons=[1]))
    assert unbudgeted(plan) == ()
    assert set(plan.cells["detector"] + plan.cells["epsilon_detector"]) == {"cnn1", "untrainedinf"}


def test_settings_that_the_network_does_not_have_are_refused():
    def check(**settings):
        study({"name": "untrained", "settings": settings})

    check(network="transformer", settings={"blocks": 2})
    with pytest.raises(InputError, match=r"detectors\[0\].settings.*cnn: blocks: unknown key"):
        check(settings={"blocks": 2})
    with pytest.raises(InputError, match="'cnn', 'cnn_lstm' or 'transformer'"):
        check(network="forest")
