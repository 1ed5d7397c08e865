"""The audit of a registered detector, from a file of features to a table or a refusal."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pulseveil.audit.attacks import attack_detector
from pulseveil.audit.canaries import confidence
from pulseveil.audit.tables import require_no_refutation
from pulseveil.audit.trade_off import GaussianTradeOff
from pulseveil.audit.verdict import Claim, Defence
from pulseveil.core import registry, store
from pulseveil.core.errors import InputError
from pulseveil.core.randomness import root_stream
from pulseveil.detectors import Training
from pulseveil.privacy.noise import reproducible
from pulseveil.runs.audits import audit_detector
from pulseveil.study.audit_jobs import DetectorAuditJob
from pulseveil.study.audit_settings import AuditSettings
from tests.unit.detectors.test_simple_detectors import features

ROOT = Path(__file__).resolve().parents[3]
SMALL = AuditSettings(trainings=4, runs=30, repetitions=0)


def job(**changes):
    values = {
        "study": "study",
        "versions": (1, 1),
        "root_seed": 3,
        "threads": 1,
        "unit": "subject",
        "delta": 1e-5,
        "windows_per_subject": 20,
        "stress_share": 0.3,
        "noise_mode": "secret",
        "dp_backend": "fast",
        "epsilon_generator": math.inf,
        "seeds": (0,),
        "cohort": "simulated",
        "generator": "none",
        "detector": "logistic",
        "kind": "logistic",
        "settings": {},
        "epsilon_detector": math.inf,
        "subjects": ("S0", "S1", "S2", "S3"),
        "synthetic_subjects": 0,
        "audit": SMALL,
        "audits": 10,
    }
    return DetectorAuditJob.model_validate({**values, **changes})


def run_script(tmp_path, given):
    store.write_record(tmp_path / "features.h5", features(80), cell_hash="0")
    script = [sys.executable, str(ROOT / "scripts" / "audit.py"), "detector", "features.h5"]
    return subprocess.run(
        [*script, "--out", "audit.csv", "--job", given.model_dump_json()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_a_detector_without_a_claim_is_described(unit):
    table = audit_detector(job(unit=unit), features(80))
    assert set(table.detector) == {"logistic"}
    assert list(table.attack) == ["membership"] * (5 if unit == "subject" else 1) + ["canaries"]
    assert not table.failed.eq(True).any()
    canary = table[table.attack == "canaries"].iloc[0]
    assert (canary.canaries, canary.guesses) == (120, 60)
    assert 0 <= canary.epsilon_low <= canary.epsilon_ceiling


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_without_trainings_of_a_side_canaries_are_the_only_attack(unit, monkeypatch):
    kind = registry.load("detectors", "logistic")
    fitted, fit = [], kind.fit
    monkeypatch.setattr(kind, "fit", lambda *given: fitted.append(1) or fit(*given))
    alone = AuditSettings(trainings=0, canaries=40, guesses=20, runs=2, repetitions=0)
    table = audit_detector(job(unit=unit, audit=alone, epsilon_detector=1.0), features(80))
    assert list(table.attack) == ["canaries", "canaries, trade-off curve"]
    assert len(table) == alone.verdicts(unit, 4, has_curve=True)
    assert len(fitted) == alone.trained_models("detector", unit, 4) == 3


@pytest.mark.parametrize(("epsilon", "attacked"), [(0.3, True), (1.0, False), (math.inf, True)])
def test_people_are_attacked_where_the_claim_can_be_tested_or_nothing_is_claimed(
    epsilon, attacked, monkeypatch
):
    """An attack without an error in 8 + 8 trainings shows log(.631 / .369) = .54 at most."""
    kind = registry.load("detectors", "logistic")
    fitted, fit = [], kind.fit
    monkeypatch.setattr(kind, "fit", lambda *given: fitted.append(1) or fit(*given))
    settings = AuditSettings(trainings=8, canaries=40, guesses=20, runs=2, repetitions=0)
    table = audit_detector(job(audit=settings, epsilon_detector=epsilon), features(80))
    assert ("membership" in set(table.attack)) == attacked
    # All four people, and all but one of them, 8 times each; with canaries 2, and one without them.
    assert len(fitted) == (8 * 5 if attacked else 0) + 3


def test_a_detector_of_real_and_synthetic_windows_learns_from_one_release_in_every_training(monkeypatch):
    made = features(40, seed=9)
    names = np.array([f"SYN{i // 10}" for i in range(40)])
    made = replace(made, subject=names, fold=np.repeat(["S0", "S1"], 20))
    kind = registry.load("detectors", "logistic")
    seen, fit = [], kind.fit

    def spy(settings, training):
        seen.append(training.features.take(training.features.fold != ""))
        return fit(settings, training)

    monkeypatch.setattr(kind, "fit", spy)
    mixed = {
        "generator": "moments",
        "epsilon_generator": 8.0,
        "generator_fold": "S1",
        "synthetic_subjects": 1,
    }
    small = AuditSettings(trainings=3, membership="always", runs=2, repetitions=0)
    table = audit_detector(job(audit=small, epsilon_detector=8.0, audits=100, **mixed), features(80), made)
    assert set(table.generator) == {"moments"}
    assert len(seen) == small.trained_models("detector", "subject", 4)
    assert {tuple(np.unique(rows.subject)) for rows in seen} == {("SYN2",)}
    assert all(len(rows) == 10 for rows in seen)


def test_the_public_number_of_records_has_capacity_for_the_canaries():
    plain, with_canaries = (job().fold(with_canaries=flag) for flag in (False, True))
    assert len(with_canaries.train_subjects) == len(plain.train_subjects) + SMALL.canaries
    windows = job(unit="window").fold(with_canaries=True)
    assert len(windows.train_subjects) == len(plain.train_subjects) + 1  # of 4 windows


@pytest.mark.parametrize("kind", ["logistic", "class_means"])
@pytest.mark.parametrize("unit", ["subject", "window"])
def test_a_private_detector_keeps_its_claim_and_its_curve(unit, kind):
    """Its verdicts have an error of .05 % each: in fact far less, as the attack sees the last model only."""
    settings = AuditSettings(trainings=3, membership="always", runs=40, repetitions=40)
    table = audit_detector(
        job(unit=unit, kind=kind, epsilon_detector=1.0, audit=settings, audits=100), features(80)
    )
    judged = table[table.failed.notna()]
    assert list(judged.attack[-4:]) == [
        "canaries",
        "canaries, trade-off curve",
        "repeated canary",
        "repeated canary, trade-off curve",
    ]
    assert len(judged) == settings.verdicts(unit, 4, has_curve=True)
    assert not judged.failed.astype(bool).any()
    require_no_refutation(table)
    assert (judged.epsilon_claimed == 1.0).all()


@pytest.mark.parametrize("kind", ["logistic", "class_means"])
@pytest.mark.parametrize("unit", ["subject", "window"])
def test_a_private_detector_with_too_little_noise_is_caught(unit, kind):
    """The noise of epsilon 10,000 under a claim of 1 and of 10: the training that a lost noise would leave.

    One canary changes the model visibly each time, so that each of about 50 + 50 trainings is called right.
    """
    bare = job(unit=unit, kind=kind, epsilon_detector=1e4)
    detector = registry.load("detectors", kind)

    def train(rows, stream):
        budget = replace(bare.budget(1e4, bare.fold(with_canaries=True)), noise=reproducible(stream))
        return confidence(detector.fit(detector.Settings(), Training(rows, budget, stream)))

    settings = AuditSettings(trainings=3, runs=5, repetitions=100)
    for epsilon, mu in ((1.0, 0.268), (10.0, 2.0)):
        defence = Defence(Claim(kind, epsilon, 1e-5, unit), GaussianTradeOff(mu), 10)
        found = attack_detector(train, train, features(80), settings, defence, root_stream(5))
        failed = set(found.attack[found.failed.eq(True)])
        assert "repeated canary, trade-off curve" in failed
        assert epsilon > 1 or "repeated canary" in failed
        with pytest.raises(InputError, match="the claim is refuted"):
            require_no_refutation(found)


def test_the_script_writes_the_table_of_a_detector_without_a_claim(tmp_path):
    done = run_script(tmp_path, job())
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "audit.csv")
    assert len(table) == 6
    assert table.verdict.notna().sum() == 5
