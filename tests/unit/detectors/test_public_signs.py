import math
from dataclasses import replace

import numpy as np
import pytest

from pulseveil.cohorts.simulated import Simulated
from pulseveil.core import registry
from pulseveil.core.contracts import CHANNEL_SETS, PHYSIOLOGICAL_CHANNELS, PUBLISHED_CHANNELS, FeatureSet
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.detectors import Training
from pulseveil.detectors.public_knowledge import public_inputs
from pulseveil.privacy.budget import NOT_PRIVATE, Budget
from pulseveil.windows.cutting import cut_windows
from pulseveil.windows.features import extract_features, statistic_names
from pulseveil.windows.literature import COLUMNS

PRIVATE = Budget(0.1, 1e-5, "window")


def rows(n=3, channels=PHYSIOLOGICAL_CHANNELS, scaling="calibration", **columns) -> FeatureSet:
    """Windows whose statistics are 0 but for the given columns."""
    names = statistic_names(channels)
    statistics = np.zeros((n, len(names)), np.float32)
    for name, values in columns.items():
        statistics[:, names.index(name)] = values
    return FeatureSet(
        features=np.zeros((n, 6, 3), np.float32),
        statistics=statistics,
        condition=np.zeros(n, np.int8),
        stress=np.zeros(n, bool),
        calibration=np.zeros(n, bool),
        subject=np.full(n, "S1"),
        fold=np.full(n, ""),
        start_s=60.0 * np.arange(n),
        frequency_hz=np.zeros((6, 3), np.float32),
        statistic_names=names,
        scaling=scaling,
        protocol="sound",
    )


def rule(train, allowance=NOT_PRIVATE, **values):
    kind = registry.load("detectors", "public_signs")
    return kind.fit(kind.Settings(**values), Training(train, allowance, root_stream(0)))


@pytest.mark.parametrize("channels", [PUBLISHED_CHANNELS, PHYSIOLOGICAL_CHANNELS])
@pytest.mark.parametrize("scaling", ["calibration", "min-max"])
@pytest.mark.parametrize(
    ("words", "sign"), [(("eda", "EDA"), 1), (("heart",), 1), (("temp", "TEMP"), -1), (("pulse",), -1)]
)
def test_signs_are_those_of_the_literature(channels, scaling, words, sign):
    given = rows(2, channels, scaling)
    fitted = rule(given)
    known = [name for name in fitted.inputs.names if name.startswith(words)]
    for name in known:
        column = COLUMNS[scaling][name]
        values = column.centre + np.array([0.0, column.scale])
        score = fitted.score(rows(2, channels, scaling, **{name: values})).score
        assert np.sign(score[1] - score[0]) == sign, name
    assert known or channels == PUBLISHED_CHANNELS


def test_movement_has_no_sign():
    fitted = rule(rows())
    assert "activity_mean" in fitted.inputs.names
    score = fitted.score(rows(activity_mean=[-3.0, 0.0, 3.0])).score
    assert score[0] == score[1] == score[2]


def test_the_rule_adds_squashed_columns_and_cuts_them_half_way():
    # 20 beats/min more and a sixth of conductance more, all else as at rest, SDs at their centres.
    at_centre = {"eda_level_log_sd": -3.0, "eda_phasic_log_sd": -2.0}
    given = rows(1, heart_rate_mean=2.0, eda_level_mean=math.log(7 / 6), **at_centre)
    total = math.tanh(1.0) + math.tanh(math.log(7 / 6) / 2)
    expected = 1 / (1 + math.exp(-(total - 8 * 0.15)))
    outputs = rule(given).score(given)
    assert outputs.score[0] == pytest.approx(expected, rel=1e-6)
    assert not outputs.predicted[0]
    more = rows(1, heart_rate_mean=2.0, eda_level_mean=1.0, **at_centre)
    assert rule(given).score(more).predicted[0]


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_no_row_of_training_data_and_no_epsilon_is_spent(unit):
    kind = registry.load("detectors", "public_signs")
    assert unit in kind.private_units
    assert kind.role == "public_signs"
    assert kind.mechanisms(kind.Settings(), replace(PRIVATE, unit=unit)) == ()
    some = rows(heart_rate_mean=[1.0, 2.0, 3.0])
    other = replace(rows(heart_rate_mean=[np.nan, -9.0, 0.0]), stress=np.ones(3, bool))
    scores = [
        rule(train, replace(PRIVATE, unit=unit)).score(some).score
        for train in (some, other, some.take(np.zeros(3, bool)))
    ]
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])
    assert rule(some, PRIVATE).ledger == ()


def test_every_public_column_exists():
    names = {name for channels in CHANNEL_SETS.values() for name in statistic_names(channels)}
    for columns in COLUMNS.values():
        assert set(columns) <= names
        assert all(column.scale > 0 and column.sign in (-1, 0, 1) for column in columns.values())


def test_squashed_inputs_stay_within_one_and_are_half_way_at_one_scale():
    given = rows(heart_rate_mean=[1.0, np.inf, -1e30])
    inputs = public_inputs(given, ("heart_rate_mean",))
    assert inputs.read(given)[:, 0].tolist() == pytest.approx([math.tanh(0.5), 1.0, -1.0])


def test_centres_are_those_of_the_windows_scaling():
    wanted = ("EDA_mean",)
    for scaling, centre in (("min-max", 0.5), ("calibration", 0.0)):
        assert public_inputs(rows(2, PUBLISHED_CHANNELS, scaling), wanted).centre.tolist() == [centre]


def test_statistics_of_which_nothing_is_known_are_refused():
    with pytest.raises(InputError, match="no public scale is known for maximum; private trainings read"):
        rule(rows(), statistics=("maximum",))
    with pytest.raises(InputError, match="reads statistics"):
        rule(rows(), inputs="spectra")
    with pytest.raises(InputError, match="scaling public: no public scales are known"):
        rule(rows(scaling="public"))


def test_the_rule_beats_the_majority_on_people_it_has_never_seen():
    cohort = Simulated(Simulated.Settings(subjects=6, seed=77))
    windows = cut_windows(
        cohort.recordings(),
        protocol="sound",
        channels="physiological",
        scaling="calibration",
        window_s=60,
        stride_s=60,
        audience="detector",
    )
    features = extract_features(windows, protocol="sound", pairing="intended")
    tested = features.take(~features.calibration)
    right = (rule(tested).score(tested).predicted == tested.stress).mean()
    majority = max(tested.stress.mean(), 1 - tested.stress.mean())
    # 96 windows: a chance hit rate of the majority's would exceed it by 0.1 once in 70 cohorts.
    assert right > majority + 0.1


def test_the_rule_of_three_is_the_rule_of_those_statistics_alone():
    kind = registry.load("detectors", "public_signs_three")
    given = rows(4, heart_rate_mean=[0.0, 2.0, -1.0, 0.3], eda_level_mean=[0.0, 1.0, 2.0, 0.4])
    three = kind.fit(kind.Settings(), Training(given, NOT_PRIVATE, root_stream(0)))
    named = rule(given, statistics=["heart_rate_mean", "eda_level_mean", "eda_phasic_log_sd"])
    np.testing.assert_array_equal(three.score(given).score, named.score(given).score)
    assert (three.score(given).score != rule(given).score(given).score).any()
    assert kind.role == "public_signs_three"
    assert kind.mechanisms(kind.Settings(), PRIVATE) == ()
