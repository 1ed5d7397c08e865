"""The audit of a registered generator: what is claimed, what is trained, and a lost noise."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pulseveil.audit import canaries
from pulseveil.audit.tables import require_no_refutation
from pulseveil.core import registry, store
from pulseveil.core.errors import InputError
from pulseveil.generators.moments import Moments
from pulseveil.runs.audits import audit_generator
from pulseveil.study.audit_jobs import GeneratorAuditJob
from pulseveil.study.audit_settings import AuditSettings
from tests.unit.audit.test_generator import windows

ROOT = Path(__file__).resolve().parents[3]
SMALL = AuditSettings(trainings=3, membership="always", canaries=2, runs=10, repetitions=60)


def job(**changes):
    values = {
        "study": "study",
        "versions": (1, 1),
        "root_seed": 3,
        "threads": 1,
        "unit": "subject",
        "delta": 1e-5,
        "windows_per_subject": 12,
        "stress_share": 0.5,
        "noise_mode": "reproducible",
        "dp_backend": "fast",
        "epsilon_generator": math.inf,
        "epsilon_detector": math.inf,
        "seeds": (0,),
        "cohort": "simulated",
        "generator": "moments",
        "detector": "none",
        "kind": "moments",
        "settings": {"rank": 4},
        "classes": 2,
        "subjects": tuple(f"S{i}" for i in range(5)),
        "synthetic_subjects": 3,
        "audit": SMALL,
        "audits": 10,
    }
    return GeneratorAuditJob.model_validate({**values, **changes})


@pytest.fixture
def fixed_coins(monkeypatch):
    """Coins of a seed: outside of tests, nobody may be able to replay them."""
    random = np.random.default_rng(11)
    monkeypatch.setattr(canaries, "coins", lambda count: random.integers(0, 2, count).astype(bool))


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_a_generator_without_a_claim_gives_canaries_away_and_is_not_judged(unit, fixed_coins):
    """A bound above 0 with 60 trainings at 95 % takes an attack that is right in about four of five.

    A false bound above 0 has probability 5 %; coins and seeds are fixed.
    """
    table = audit_generator(job(unit=unit), windows())
    people = 5 if unit == "subject" else 0
    assert list(table.attack) == [
        *["membership"] * (1 + people),
        "canaries",
        "repeated canary",
        "missing person",
    ]
    assert set(table.part) == {"generator"}
    assert not table.failed.eq(True).any()
    repeated = table[table.attack == "repeated canary"].iloc[0]
    assert 0 < repeated.epsilon_low <= repeated.epsilon_ceiling


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_a_private_generator_keeps_its_claim_and_its_curve(unit, fixed_coins):
    """Its verdicts have an error of .05 % each: in fact less, as the attack sees synthetic windows only."""
    table = audit_generator(job(unit=unit, epsilon_generator=1.0, audits=100), windows())
    judged = table[table.failed.notna()]
    assert len(judged) == SMALL.verdicts(unit, 5, has_curve=True)
    assert not judged.failed.astype(bool).any()
    assert (judged.epsilon_claimed == 1.0).all()
    require_no_refutation(table)


@pytest.mark.parametrize("unit", ["subject", "window"])
def test_a_private_generator_with_too_little_noise_is_caught(unit, fixed_coins, monkeypatch):
    """The noise of epsilon 10,000 under a claim of .5: the training that a lost noise would leave.

    A true claim fails with probability .5 % a verdict, 5 % in all; coins and seeds are fixed.
    """
    fit_private = Moments._fit_private

    def quiet(settings, training):
        return fit_private(settings, replace(training, budget=replace(training.budget, epsilon=1e4)))

    monkeypatch.setattr(Moments, "_fit_private", quiet)
    settings = AuditSettings(trainings=5, canaries=1, guesses=1, runs=60, repetitions=100)
    table = audit_generator(job(unit=unit, epsilon_generator=0.5, audit=settings), windows())
    failed = set(table.attack[table.failed.eq(True)])
    assert {"repeated canary", "repeated canary, trade-off curve"} <= failed
    with pytest.raises(InputError, match=r"moments, unit .* the claim is refuted"):
        require_no_refutation(table)


def test_every_training_is_the_studys_own_with_a_key_of_its_own(fixed_coins, monkeypatch):
    kind = registry.load("generators", "moments")
    calls, fit = [], kind.fit

    def spy(settings, training):
        calls.append((np.unique(training.subject), training.budget))
        return fit(settings, training)

    monkeypatch.setattr(kind, "fit", spy)
    settings = AuditSettings(trainings=3, membership="always", canaries=2, runs=4, repetitions=0)
    audit_generator(job(epsilon_generator=8.0, noise_mode="secret", audit=settings, audits=100), windows())
    assert len(calls) == settings.trained_models("generator", "subject", 5)
    # Without a person the public number stays; beside canaries it has capacity for both.
    sizes = [budget.known_population().subjects for _, budget in calls]
    assert sizes == [5] * (3 * 6) + [7] * (3 + 4) + [5] * 5
    assert all(budget.noise.secret for _, budget in calls)
    drawn = {budget.noise.seeds("x", shape=(2,)).tobytes() for _, budget in calls}
    assert len(drawn) == len(calls)
    assert any("CANARY00001" in names for names, _ in calls)


def test_the_script_writes_the_table_of_a_generator(tmp_path):
    store.write_record(tmp_path / "windows.h5", windows(), cell_hash="0")
    script = [sys.executable, str(ROOT / "scripts" / "audit.py"), "generator", "windows.h5"]
    given = job(audit=AuditSettings(trainings=3, runs=5, repetitions=0)).model_dump_json()
    done = subprocess.run(
        [*script, "--out", "audit.csv", "--job", given], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "audit.csv")
    assert table.attack.iloc[-1] == "missing person"
    assert table.chance.iloc[-1] == pytest.approx(0.2)
