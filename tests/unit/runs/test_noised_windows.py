"""Detectors of noised windows, and the attack on these windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pulseveil.core import randomness
from pulseveil.core.contracts import WindowSet
from pulseveil.detectors import Training
from pulseveil.detectors.logistic import Logistic, LogisticSettings
from pulseveil.privacy.budget import Budget
from pulseveil.runs.audits import audit_noised
from pulseveil.runs.cohort import prepare_cohort
from pulseveil.runs.detectors import Data, train_detectors
from pulseveil.runs.run_store import Journal, RunStore
from pulseveil.study import audits
from pulseveil.study.cells import NoisedCell
from pulseveil.study.checks import make_plan
from pulseveil.study.jobs import DetectorJob
from pulseveil.study.plan import Plan
from pulseveil.study.reading import check_study
from pulseveil.windows.features import extract_features
from pulseveil.windows.recipe import Recipe

SCALE = 0.4


def plan(**keys: object) -> Plan:
    evaluation = {"name": "noised", "cohort": "people", "train": "real", "input_noise": [0, SCALE]}
    return make_plan(
        check_study(
            {
                "name": "noise",
                "seed": 4,
                "seeds": 1,
                "folds": 1,
                "keep": "none",
                "protocol": "sound",
                "cohorts": {"people": {"kind": "simulated", "subjects": 4, "seed": 3}},
                "detectors": ["logistic", "majority"],
                "evaluations": [{**evaluation, "noise_on": "windows", **keys}],
                "audit": {"evaluation": "noised"},
            },
            "test",
        )
    )


def job(of: Plan) -> DetectorJob:
    (pack,) = (pack for pack in of.detector_packs if not pack.timeline)
    return of.detector_job(pack, "logistic", of.privacies(pack, "logistic")[0])


@pytest.fixture(scope="module")
def windows() -> WindowSet:
    settings = plan().study.cohort_settings["people"]
    return prepare_cohort(settings, Recipe.with_defaults("sound", "detector")).windows


def scores(of: Plan, windows: WindowSet, folder: Path) -> dict[float, np.ndarray]:
    features = extract_features(windows, protocol="sound", pairing="published")
    data = Data(features, features, lambda *_: features, (), windows)
    runs, journal = RunStore(folder / "runs"), Journal(folder / "journal.jsonl")
    return {
        found.keys["noise"]: found.scores.score for found in train_detectors(job(of), data, runs, journal)
    }


@pytest.mark.parametrize("distribution", ["laplace", "gaussian"])
def test_a_detector_learns_from_features_of_noised_windows_and_is_tested_on_real_ones(
    windows: WindowSet, tmp_path: Path, distribution: str
) -> None:
    of = plan(noise_distribution=distribution)
    found = scores(of, windows, tmp_path)
    (fold,) = job(of).folds
    features = extract_features(windows, protocol="sound", pairing="published")
    tested = features.take((features.subject == fold.test_subjects[0]) & ~features.calibration)
    for scale, keys in zip((0.0, SCALE), job(of).cells(), strict=True):
        stream = job(of).stream(keys, fold.name)
        training = windows.take(np.isin(windows.subject, fold.train_subjects))
        random = randomness.generator(randomness.child(stream, "input_noise"))
        draw = random.laplace if distribution == "laplace" else random.normal
        noised = training.windows + (draw(0, scale, training.windows.shape) if scale else 0)
        noised = replace(training, windows=noised.astype(np.float32))
        rows = extract_features(noised, protocol="sound", pairing="published")
        fit_stream = randomness.child(stream, "fit")
        budget = Budget(float("inf"), 1e-5, "subject")
        model = Logistic.fit(LogisticSettings(), Training(rows, budget, fit_stream))
        np.testing.assert_array_equal(found[scale], model.score(tested).score)
    assert not np.array_equal(found[0.0], found[SCALE])


def test_noise_on_features_and_on_windows_are_different_runs(windows: WindowSet, tmp_path: Path) -> None:
    on_windows = scores(plan(), windows, tmp_path)
    on_features = scores(plan(noise_on="features"), windows, tmp_path)
    gaussian = scores(plan(noise_on="features", noise_distribution="gaussian"), windows, tmp_path)
    # One stored run per seed, fold and level, and the level without noise once more for other windows.
    assert not np.array_equal(on_windows[SCALE], on_features[SCALE])
    assert not np.array_equal(gaussian[SCALE], on_features[SCALE])
    np.testing.assert_array_equal(on_windows[0.0], on_features[0.0])


def test_the_attack_has_two_rows_per_scale_and_knows_everybody_without_noise(windows: WindowSet) -> None:
    table = audit_noised(audits.noised_job(plan(), NoisedCell("noised")), windows)
    assert table["input_noise"].tolist() == [0, 0, SCALE, SCALE]
    assert table["attack"].tolist() == ["linked recording", "linked smoothed recording"] * 2
    assert set(table["people"]) == {4}
    assert set(table["chance"]) == {0.25}
    assert set(table["evaluation"]) == {"noised"}
    again = audit_noised(audits.noised_job(plan(), NoisedCell("noised")), windows)
    assert table.equals(again)
