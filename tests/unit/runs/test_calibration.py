import subprocess
import sys
from pathlib import Path

import pytest

from pulseveil.core import registry
from pulseveil.runs import calibration
from pulseveil.runs.calibration import Calibration, Timing, Trial
from pulseveil.study import costs

ROOT = Path(__file__).resolve().parents[3]


def test_the_factor_is_the_geometric_mean_and_scales_the_hours():
    """Measured over planned: 1/2, 2 and 8, whose product is 2 cubed."""
    seconds = [(4.0, 2.0), (1.0, 2.0), (0.5, 4.0)]
    timings = tuple(
        Timing(trial, *pair, first=9.0) for trial, pair in zip(calibration.TRIALS, seconds, strict=True)
    )
    found = Calibration(timings, gflops=51.0)
    assert found.factor == pytest.approx(2)
    lines = calibration.describe(found, cpu_hours=10).splitlines()
    assert [line.split()[-1] for line in lines[1:4]] == ["0.50", "2.00", "8.00"]
    assert lines[4].startswith("factor 2.00 (0.50 to 8.00): ")
    assert lines[5] == "matrix products: 51 float32 GFLOP/s; the core of the plan: 100"
    assert lines[6].endswith("10.00 planned CPU hours x 2.00 = 20.00 CPU hours (5.00 to 80.00), on one core")


def test_seconds_of_a_trial_are_those_by_which_the_longer_training_is_longer(monkeypatch):
    """A clock of trainings that take 5 s and 3 s per epoch; the first one takes 7 s more."""
    taken = iter([5 + 3 + 7, 5 + 3, 5 + 3 + 1, 5 + 9 + 1, 5 + 9])
    monkeypatch.setattr(calibration, "cpu_seconds", lambda *_: next(taken))
    trial = Trial("detectors", "cnn", None, {"epochs": 1}, {"epochs": 3})
    timing = calibration.measure(trial, calibration.random_features(210), rounds=2)
    assert (timing.measured, timing.first) == (6, 7)
    cnn, rows = registry.load("detectors", "cnn"), 14 * costs.WINDOWS_PER_SUBJECT
    short, longer = (cnn.expected_seconds(cnn.Settings(epochs=n), rows, None) for n in (1, 3))
    assert timing.planned == pytest.approx(longer - short)


def test_synthetic_people_train_beside_the_real_ones():
    features = calibration.random_features(31, synthetic=15)
    real = features.fold == ""
    assert (real.sum(), (~real).sum()) == (14 * 36, 15 * 35)
    assert len(set(features.subject[~real])) == 15
    settings = registry.load("detectors", "logistic").Settings()
    planned = calibration.planned_seconds(Trial("detectors", "logistic"), settings, features)
    logistic = registry.load("detectors", "logistic")
    assert planned == logistic.expected_seconds(settings, 14 * 36 + 15 * 35, None)


@pytest.mark.slow
def test_the_script_prints_the_hours_of_the_study_here():
    command = [sys.executable, ROOT / "scripts" / "plan.py", ROOT / "tests" / "study.yaml", "--calibrate"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    lines = done.stdout.splitlines()
    factor = float(next(line for line in lines if line.startswith("factor ")).split()[1])
    # Any machine on which the tests run is within ten times of the plan's core.
    assert 0.1 < factor < 10
    words = lines[-1].split()
    planned, here = float(words[words.index("planned") - 1]), float(words[words.index("=") + 1])
    assert here == pytest.approx(planned * factor, abs=0.01)
