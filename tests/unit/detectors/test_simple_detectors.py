import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from pulseveil.cohorts.simulated import SimulatedSettings
from pulseveil.core import randomness, registry
from pulseveil.core.contracts import PHYSIOLOGICAL_CHANNELS, FeatureSet
from pulseveil.core.errors import InputError
from pulseveil.detectors import Training
from pulseveil.detectors.rules import elapsed_minutes
from pulseveil.detectors.schedules import SCHEDULES
from pulseveil.privacy.budget import NOT_PRIVATE, Budget
from pulseveil.windows.features import statistic_names

NAMES = ("logistic", "forest", "majority", "elapsed_time")
COLUMNS = statistic_names(PHYSIOLOGICAL_CHANNELS)
STREAM = randomness.root_stream(7)


def features(n=200, *, seed=0, subjects=4) -> FeatureSet:
    """Stress in the last third of each subject's windows; only the mean heart rate knows of it."""
    random = np.random.default_rng(seed)
    position = np.arange(n) % (n // subjects)
    stress = position >= 2 * (n // subjects) // 3
    statistics = random.normal(size=(n, len(COLUMNS))).astype(np.float32)
    statistics[:, COLUMNS.index("heart_rate_mean")] += 4 * stress
    spectra = random.normal(size=(n, 6, 3)).astype(np.float32)
    spectra[:, 2, 1] += 4 * stress
    return FeatureSet(
        features=spectra,
        statistics=statistics,
        condition=stress.astype(np.int8),
        stress=stress,
        calibration=np.zeros(n, bool),
        subject=np.array([f"S{i // (n // subjects)}" for i in range(n)]),
        fold=np.full(n, ""),
        start_s=60.0 * position,
        frequency_hz=np.zeros((6, 3), np.float32),
        statistic_names=COLUMNS,
        scaling="calibration",
        protocol="sound",
    )


def fit(name, given, *, budget=NOT_PRIVATE, stream=STREAM, **settings):
    kind = registry.load("detectors", name)
    return kind.fit(kind.Settings(**settings), Training(given, budget, stream))


def accuracy(fitted, given) -> float:
    return float((fitted.score(given).predicted == given.stress).mean())


@pytest.mark.parametrize("name", ["logistic", "forest"])
@pytest.mark.parametrize("inputs", ["statistics", "spectra"])
def test_a_plain_signal_is_found_in_new_windows(name, inputs):
    fitted = fit(name, features(seed=1), inputs=inputs)
    assert accuracy(fitted, features(seed=2)) > 0.93


def test_logistic_regression_is_the_optimum_of_its_balanced_penalised_loss():
    train = features()
    columns = [i for i, name in enumerate(COLUMNS) if name.endswith(("_mean", "_log_sd", "_slope"))]
    inputs = train.statistics[:, columns].astype(float)
    inputs = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    score = fit("logistic", train).score(train).score.astype(float)
    design = np.column_stack([inputs, np.ones(len(train))])
    coefficients = np.linalg.lstsq(design, np.log(score / (1 - score)), rcond=None)[0]
    share = train.stress.mean()
    weight = np.where(train.stress, 0.5 / share, 0.5 / (1 - share))
    gradient = 0.1 * design.T @ (weight * (score - train.stress)) + np.append(coefficients[:-1], 0)
    assert np.abs(gradient).max() < 1e-3


@pytest.mark.parametrize("name", ["logistic", "forest"])
def test_columns_that_were_not_asked_for_do_not_matter(name):
    train, test = features(seed=1), features(seed=2)
    unused = np.array(["_maximum" in c or "_minimum" in c for c in COLUMNS])
    changed = replace(test, statistics=np.where(unused, 99, test.statistics).astype(np.float32))
    fitted = fit(name, train)
    np.testing.assert_array_equal(fitted.score(changed).score, fitted.score(test).score)
    everything = fit(name, train, statistics=("mean", "minimum"))
    assert (everything.score(changed).score != everything.score(test).score).any()


@pytest.mark.parametrize("name", NAMES)
def test_a_window_is_scored_without_help_from_its_neighbours(name):
    test = features(seed=2)
    fitted = fit(name, features(seed=1))
    some = test.take(np.array([0, 20, 49]))
    np.testing.assert_allclose(fitted.score(some).score, fitted.score(test).score[[0, 20, 49]], rtol=1e-6)


def test_logistic_regression_does_not_see_the_unit_of_a_column():
    train, test = features(seed=1), features(seed=2)
    factor = np.float32(1000)
    in_other_units = fit("logistic", replace(train, statistics=train.statistics * factor))
    expected = fit("logistic", train).score(test).score
    found = in_other_units.score(replace(test, statistics=test.statistics * factor)).score
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("name", ["forest", "elapsed_time"])
def test_forests_grow_from_their_stream_alone(name):
    # Labels that time does not explain, so that the trees differ.
    train = replace(features(seed=1), stress=np.random.default_rng(3).random(200) < 0.4)
    test = features(seed=2)
    first, again = (fit(name, train, trees=20).score(test).score for _ in range(2))
    other = fit(name, train, trees=20, stream=randomness.root_stream(8)).score(test).score
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_probabilities_that_sum_to_one(name):
    outputs = fit(name, features(seed=1)).score(features(seed=2))
    assert outputs.score.dtype == outputs.score_rest.dtype == np.float32
    assert outputs.predicted.dtype == bool
    assert ((outputs.score >= 0) & (outputs.score <= 1)).all()
    np.testing.assert_allclose(outputs.score + outputs.score_rest, 1, atol=1e-6)
    np.testing.assert_array_equal(outputs.predicted, outputs.score > 0.5)


@pytest.mark.parametrize(("stressed", "answer"), [(3, False), (5, False), (6, True)])
def test_majority_answers_the_more_frequent_label_and_rest_at_a_tie(stressed, answer):
    train = replace(features(10, subjects=1), stress=np.arange(10) < stressed)
    outputs = fit("majority", train).score(features())
    assert outputs.predicted.tolist() == [answer] * 200
    assert outputs.score == pytest.approx(stressed / 10)


def test_elapsed_time_sees_the_clock_and_no_sensor():
    train, test = features(seed=1), features(seed=2)
    blind = replace(test, statistics=test.statistics * 0, features=test.features * 0)
    fitted = fit("elapsed_time", train)
    assert accuracy(fitted, blind) > 0.97
    # Another order of conditions: the clock is now wrong.
    assert accuracy(fitted, replace(test, stress=test.start_s < 60 * 16)) < 0.5


def test_clocks_start_at_each_subjects_first_tested_window():
    given = features(8, subjects=2)
    given = replace(
        given,
        start_s=np.array([100.0, 160, 220, 280, 900, 960, 1020, 1080]),
        calibration=np.array([1, 1, 0, 0, 1, 0, 0, 0], bool),
    )
    assert elapsed_minutes(given).tolist() == [-2, -1, 0, 1, -1, 0, 1, 2]
    tested = given.take(~given.calibration)
    assert elapsed_minutes(tested).tolist() == [0, 1, 0, 1, 2]
    assert elapsed_minutes(given.take(given.calibration)).tolist() == [0, 1, 0]


def test_elapsed_time_refuses_windows_without_a_time():
    with pytest.raises(InputError, match="found synthetic ones"):
        fit("elapsed_time", replace(features(), start_s=np.full(200, np.nan)))


PRIVATE = Budget(1.0, 1e-5, "subject")


def test_a_forest_has_no_private_training():
    with pytest.raises(InputError, match=r"forest: no private training .* use epsilon inf, not 1"):
        fit("forest", features(), budget=PRIVATE)
    assert registry.load("detectors", "forest").private_units == frozenset()


@pytest.mark.parametrize("name", ["majority", "elapsed_time"])
def test_labels_are_refused_under_a_private_budget_and_protocols_cost_nothing(name):
    kind = registry.load("detectors", name)
    for refused in (
        lambda: kind.mechanisms(kind.Settings(), PRIVATE),
        lambda: fit(name, features(), budget=PRIVATE),
    ):
        with pytest.raises(
            InputError, match=rf"{name}: no private training on labels .*`source: wesad or sim"
        ):
            refused()
    assert kind.mechanisms(kind.Settings(source="wesad"), PRIVATE) == ()
    test, nobody = features(seed=2), features().take(np.zeros(200, bool))
    found, of_others = (
        fit(name, train, budget=PRIVATE, source="wesad").score(test).score
        for train in (nobody, replace(features(), stress=~features().stress))
    )
    np.testing.assert_array_equal(found, of_others)


def test_majority_of_wesads_protocol_is_rest():
    # 10 of 20 + 10 + 6.53 minutes are stress (Schmidt et al. 2018).
    outputs = fit("majority", features(), source="wesad").score(features())
    assert outputs.score == pytest.approx(10 / 36.53, abs=1e-3)
    assert not outputs.predicted.any()


@pytest.mark.parametrize(
    ("minute", "stress"),
    # Baseline to 20; then stress to 30, or amusement to 26.5, meditation to 33.5 and stress to 43.5.
    [(0, False), (10, False), (17, False), (28, True), (32, True), (36, True)],
)
def test_the_clock_of_wesads_protocol_knows_when_stress_is_likely(minute, stress):
    given = replace(features(2, subjects=1), start_s=np.array([0.0, 60.0 * minute]))
    fitted = fit("elapsed_time", features(), source="wesad", first_tested_min=0)
    assert fitted.score(given).predicted.tolist() == [False, stress]


def test_the_clock_of_a_protocol_starts_where_calibration_ends():
    # Minute 28 of the protocol is minute 23 of the tested windows, if calibration takes the first 5.
    scores = [
        fit("elapsed_time", features(), source="wesad", first_tested_min=taken)
        .score(replace(features(2, subjects=1), start_s=np.array([0.0, 60.0 * (28 - taken)])))
        .score[1]
        for taken in (0, 5)
    ]
    assert scores[0] == scores[1]
    assert fit("elapsed_time", features(), source="wesad").first_tested_min == 5


def test_both_orders_of_a_protocol_count_equally():
    schedule = SCHEDULES["wesad"]
    # 23 minutes: half of the people are in stress, the others in amusement, some still in the baseline.
    assert 0.35 < schedule.stress_probability(np.array([23.0]))[0] < 0.5
    minutes = np.array([-50.0, 0.0, 60.0, 500.0])
    assert np.isfinite(schedule.stress_probability(minutes)).all()


def test_the_simulated_protocol_has_the_lengths_of_the_simulated_cohort():
    cohort = SimulatedSettings()
    lengths = {True: [cohort.stress_s], False: [cohort.baseline_s, cohort.amusement_s]}
    for version in SCHEDULES["simulated"].versions:
        for stress, seconds in lengths.items():
            found = [60 * (stage.end - stage.start) for stage in version if stage.stress == stress]
            assert found == pytest.approx(seconds)


@pytest.mark.parametrize("name", ["logistic", "forest", "elapsed_time"])
@pytest.mark.parametrize("stress", [True, False])
def test_training_on_one_class_is_refused(name, stress):
    with pytest.raises(InputError, match=rf"{name}: expected training windows with and without stress"):
        fit(name, replace(features(), stress=np.full(200, stress)))


def test_majority_needs_a_window():
    with pytest.raises(InputError, match="found none"):
        fit("majority", features().take(np.zeros(200, bool)))


def test_unknown_statistics_are_refused_before_any_job():
    settings = registry.load("detectors", "logistic").Settings
    with pytest.raises(ValidationError, match="unknown statistic 'median'; expected mean, log_sd"):
        settings(statistics=("median",))
    assert settings(statistics=("heart_rate_mean", "slope")).statistics == ("heart_rate_mean", "slope")


def test_a_statistic_of_other_channels_is_named():
    with pytest.raises(InputError, match="no column 'BVP_mean'"):
        fit("logistic", features(), statistics=("BVP_mean",))


def test_models_and_rules_say_so():
    roles = {name: registry.load("detectors", name).role for name in NAMES}
    assert roles == {
        "logistic": "model",
        "forest": "model",
        "majority": "majority",
        "elapsed_time": "elapsed_time",
    }


@pytest.mark.parametrize("name", NAMES)
def test_expected_cost_grows_with_the_rows(name):
    kind = registry.load("detectors", name)
    costs = [kind.expected_seconds(kind.Settings(), rows, None) for rows in (100, 10_000)]
    assert 0 < costs[0] <= costs[1]


def test_a_plan_can_load_the_classes_without_scikit_learn():
    code = (
        "import sys; import pulseveil.detectors.logistic, pulseveil.detectors.tabular, "
        "pulseveil.detectors.rules; print(sorted({'sklearn', 'scipy', 'pandas', 'h5py'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
