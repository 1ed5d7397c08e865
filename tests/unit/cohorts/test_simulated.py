from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from pulseveil.cohorts.simulated import Simulated, SimulatedSettings
from pulseveil.core.contracts import BASELINE, PUBLISHED_CHANNELS, STRESS, Recording
from pulseveil.windows.cutting import Channels, cut_windows
from pulseveil.windows.features import window_statistics
from pulseveil.windows.physiology import physiological_channels

# S1 of seed 1 at 200 s, one value a channel.
GOLDEN = (-2.58, 2.21632, -9.0, -46.0, -44.0, 32.26)


def simulate(**settings: int) -> list[Recording]:
    return list(Simulated(SimulatedSettings(**settings)).recordings())


@pytest.fixture(scope="module")
def cohort() -> list[Recording]:
    return simulate(subjects=12, seed=1)


def same(one: Recording, other: Recording) -> bool:
    values = [(one.signals[n].values, other.signals[n].values) for n in PUBLISHED_CHANNELS]
    return all(np.array_equal(a, b) for a, b in values) and one.intervals == other.intervals


def test_outline_alternates_both_orders_and_names_subjects() -> None:
    outline = Simulated(SimulatedSettings(subjects=1000)).outline()
    assert list(outline) == [f"S{i}" for i in range(1, 1001)]
    stress_first = [order.index("stress") < order.index("amusement") for order in outline.values()]
    assert sum(stress_first) == 500
    assert {order[0] for order in outline.values()} == {"baseline"}


def test_recordings_follow_the_outline_and_the_seconds_asked_for() -> None:
    cohort = Simulated(SimulatedSettings(subjects=3, baseline_s=120, stress_s=60, amusement_s=90))
    for recording, (subject, order) in zip(cohort.recordings(), cohort.outline().items(), strict=True):
        assert recording.subject == subject
        assert tuple(interval.name for interval in recording.intervals) == order
        lengths = {interval.name: interval.end_s - interval.start_s for interval in recording.intervals}
        assert lengths == {"baseline": 120, "stress": 60, "amusement": 90}


def test_signals_are_those_of_an_empatica(cohort: list[Recording]) -> None:
    for recording in cohort:
        signals = recording.signals
        assert tuple(signals) == PUBLISHED_CHANNELS
        assert [signals[name].rate_hz for name in PUBLISHED_CHANNELS] == [64, 4, 32, 32, 32, 4]
        assert len({len(s.values) / s.rate_hz for s in signals.values()}) == 1
        assert all(np.isfinite(s.values).all() for s in signals.values())
        acceleration = np.stack([signals[f"ACC_{axis}"].values for axis in "xyz"])
        assert np.array_equal(acceleration, np.rint(acceleration))
        assert np.median(np.linalg.norm(acceleration, axis=0)) == pytest.approx(64, abs=2)
        assert 20 < signals["TEMP"].values.min() < signals["TEMP"].values.max() < 40
        assert 0.05 < signals["EDA"].values.min() < signals["EDA"].values.max() < 60


def test_a_subject_is_the_same_in_any_cohort_of_its_seed(cohort: list[Recording]) -> None:
    again = simulate(subjects=3, seed=1)
    assert all(same(one, other) for one, other in zip(again, cohort, strict=False))
    assert not same(simulate(subjects=1, seed=2)[0], cohort[0])
    assert not same(cohort[0], cohort[2])


def test_values_change_only_with_the_version() -> None:
    signals = simulate(subjects=1, seed=1)[0].signals
    assert Simulated.version == 1
    found = [signals[name].values[round(200 * signals[name].rate_hz)] for name in PUBLISHED_CHANNELS]
    np.testing.assert_allclose(found, GOLDEN, atol=0.011)


def test_stress_moves_the_body_as_in_the_literature(cohort: list[Recording]) -> None:
    changes: dict[str, list[float]] = {}
    for recording in cohort:
        spans = {i.condition: slice(int(i.start_s), int(i.end_s)) for i in recording.intervals}
        for name, values in physiological_channels(recording).channels.items():
            change = np.median(values[spans[STRESS]]) - np.median(values[spans[BASELINE]])
            changes.setdefault(name, []).append(float(change))
    mean = {name: np.mean(values) for name, values in changes.items()}
    assert 8 < mean["heart_rate"] < 25
    assert mean["pulse_amplitude"] < 0
    assert mean["eda_level"] > 0
    assert mean["temperature"] < 0
    # Some hardly respond: S4 and S11.
    responses = np.array(changes["heart_rate"])
    assert responses[[3, 10]].max() < np.median(responses)


@pytest.mark.parametrize("channels", ["physiological", "published"])
def test_detecting_stress_is_neither_trivial_nor_impossible(
    cohort: list[Recording], channels: Channels
) -> None:
    accuracy, majority = forest_accuracy(cohort, channels)
    assert 0.6 < majority < 0.75
    assert 0.80 < accuracy < 0.97


def test_detection_fails_on_shuffled_labels(cohort: list[Recording]) -> None:
    accuracy, majority = forest_accuracy(cohort, "physiological", np.random.default_rng(1))
    assert accuracy < majority + 0.08


def forest_accuracy(
    cohort: list[Recording], channels: Channels, shuffle: np.random.Generator | None = None
) -> tuple[float, float]:
    """Pooled accuracy of a random forest, each subject left out once, and the share of the majority."""
    from sklearn.ensemble import RandomForestClassifier

    windows = cut_windows(
        cohort,
        protocol="sound",
        channels=channels,
        scaling="calibration",
        window_s=60,
        stride_s=60,
        audience="detector",
    )
    statistics = window_statistics(windows.windows, windows.rate_hz)
    stress: NDArray[np.bool_] = windows.stress if shuffle is None else shuffle.permutation(windows.stress)
    predicted = np.zeros(len(windows), bool)
    for subject in np.unique(windows.subject):
        test = windows.subject == subject
        forest = RandomForestClassifier(100, random_state=0).fit(statistics[~test], stress[~test])
        predicted[test] = forest.predict(statistics[test])
    tested = ~windows.calibration
    return float(np.mean((predicted == stress)[tested])), 1 - float(np.mean(stress[tested]))


@pytest.mark.parametrize("wrong", [{"subjects": 0}, {"seed": -1}, {"stress_s": 10}, {"subject": 3}])
def test_settings_refuse_what_cannot_be_simulated(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        SimulatedSettings(**wrong)


def test_a_simulated_cohort_has_no_files() -> None:
    assert Simulated(SimulatedSettings()).sources() == ()


def test_planning_a_simulated_cohort_needs_no_signal_processing() -> None:
    code = "import sys, pulseveil.cohorts.simulated; print('scipy' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
