"""Detectors as arrays: what is read back scores as what was fitted, and damaged arrays are refused."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from pulseveil.core import registry
from pulseveil.detectors import Training
from pulseveil.detectors.trees import Trees
from pulseveil.privacy.budget import NOT_PRIVATE, Budget, Population
from pulseveil.privacy.noise import reproducible
from tests.unit.detectors.test_simple_detectors import STREAM, features

SMALL = {
    "cnn": {"filters": 4, "dense_units": (8,), "epochs": 1},
    "cnn_lstm": {"filters": 4, "dense_units": (8,), "lstm_units": (4, 4), "epochs": 1},
    "transformer": {"blocks": 1, "head_size": 4, "epochs": 1},
}
NETWORKS = list(SMALL.items())
TABLES = [
    ("logistic", {}),
    ("logistic", {"inputs": "spectra"}),
    ("forest", {"trees": 20}),
    ("forest", {"trees": 20, "inputs": "spectra"}),
    ("class_means", {}),
    ("majority", {}),
    ("majority", {"source": "wesad"}),
    ("elapsed_time", {"trees": 20}),
    ("elapsed_time", {"source": "wesad"}),
    ("public_signs", {}),
    ("public_signs_three", {}),
]
# Another network than without a budget.
NOISED = SMALL["cnn_lstm"] | {"private": {"steps": 2}}
PRIVATE = [("logistic", {}), ("class_means", {}), ("cnn_lstm", NOISED)]


WIDE = Budget(1e4, 1e-5, "window", noise=reproducible(STREAM), population=Population(4, 50, 1 / 3))


def data(seed):
    given = features(seed=seed)
    # Four bins at least, for the networks.
    spectra = np.random.default_rng(seed).normal(size=(len(given), 6, 5)).astype(np.float32)
    return type(given)(**vars(given) | {"features": spectra, "frequency_hz": np.zeros((6, 5), np.float32)})


def fitted(name, settings, budget=NOT_PRIVATE):
    kind = registry.load("detectors", name)
    model, chosen = registry.model("detectors", name), kind.Settings(**settings)
    return model, chosen, model.fit(chosen, Training(data(1), budget, STREAM))


def require_equal_scores(model, settings, found):
    arrays = {name: np.array(value) for name, value in found.arrays().items()}
    again = model.from_arrays(settings, arrays)
    given = data(2)
    for name, value in vars(found.score(given)).items():
        np.testing.assert_array_equal(getattr(again.score(given), name), value, strict=True)
    assert again.arrays().keys() == arrays.keys()
    assert all(np.array_equal(again.arrays()[name], value) for name, value in arrays.items())


@pytest.mark.parametrize(("name", "settings"), [*TABLES, *NETWORKS])
def test_what_is_read_back_gives_equal_scores(name, settings):
    require_equal_scores(*fitted(name, settings))


@pytest.mark.parametrize(("name", "settings"), PRIVATE)
def test_a_private_detector_too(name, settings):
    budget = Budget(5.0, 1e-5, "subject", Population(4, 50, 0.33), reproducible(STREAM))
    require_equal_scores(*fitted(name, settings, budget))


@pytest.mark.parametrize("missing", [False, True])
def test_trees_give_the_probabilities_of_scikit_learn(missing):
    random = np.random.default_rng(3)
    values = random.normal(size=(9000, 7))
    if missing:
        values[random.random(values.shape) < 0.1] = np.nan
    stress = np.nan_to_num(values[:, 0]) + np.nan_to_num(values[:, 3]) > 0.3
    forest = RandomForestClassifier(30, random_state=0).fit(values[:4000], stress[:4000])
    np.testing.assert_array_equal(
        Trees.of_forest(forest).probability(values), forest.predict_proba(values)[:, 1]
    )


def test_trees_of_different_depths_on_one_column():
    values = np.random.default_rng(1).normal(size=(500, 1))
    forest = RandomForestClassifier(30, random_state=0).fit(values, np.sin(5 * values[:, 0]) > 0)
    np.testing.assert_array_equal(
        Trees.of_forest(forest).probability(values), forest.predict_proba(values)[:, 1]
    )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("feature", lambda feature: feature - 1),
        ("left", lambda left: np.where(left == -1, left, 0)),
        ("right", lambda right: np.where(right == -1, right, 10**6)),
        ("first", lambda first: first - 1),
        ("first", lambda first: first[:0]),
        ("threshold", lambda threshold: threshold[1:]),
    ],
)
def test_trees_that_lead_nowhere_are_refused(name, change):
    model, settings, found = fitted("forest", {"trees": 3})
    arrays = dict(found.arrays())
    arrays[name] = change(arrays[name])
    with pytest.raises(ValueError, match="expected"):
        model.from_arrays(settings, arrays)


@pytest.mark.parametrize(("name", "settings"), [TABLES[0], TABLES[4], NETWORKS[0]])
def test_arrays_of_another_shape_are_refused(name, settings):
    model, chosen, found = fitted(name, settings)
    arrays = dict(found.arrays())
    of_weights = next(key for key in arrays if key.startswith(("weights", "parameters")))
    arrays[of_weights] = arrays[of_weights][..., 1:]
    with pytest.raises(ValueError, match="expected"):
        model.from_arrays(chosen, arrays)


@pytest.mark.parametrize(
    ("name", "budget"), [("logistic", NOT_PRIVATE), ("logistic", WIDE), ("class_means", NOT_PRIVATE)]
)
def test_weights_are_changes_of_the_log_odds(name, budget):
    given = data(2)
    _, settings, detector = fitted(name, {}, budget)
    kind = registry.load("detectors", name)
    weights = kind.weights(settings, detector.arrays(), given.statistic_names)
    assert max(weights, key=lambda column: abs(weights[column])) == "heart_rate_mean"
    # A small step of one column alone: the sign of the change of the log odds is that of the weight.
    for column, weight in weights.items():
        moved = given.statistics.copy()
        moved[:, given.statistic_names.index(column)] += 0.01
        before, after = (
            detector.score(type(given)(**vars(given) | {"statistics": values})).score.astype(float)
            for values in (given.statistics, moved)
        )
        change = np.median(np.log(after / (1 - after)) - np.log(before / (1 - before)))
        if abs(weight) > 0.05:
            assert np.sign(change) == np.sign(weight), column
    read = {column for column in given.statistic_names if not column.endswith(("_minimum", "_maximum"))}
    assert weights.keys() <= read


def test_a_detector_of_spectra_has_no_weights_of_statistics():
    _, settings, detector = fitted("logistic", {"inputs": "spectra"})
    kind = registry.load("detectors", "logistic")
    assert kind.weights(settings, detector.arrays(), data(2).statistic_names) == {}
