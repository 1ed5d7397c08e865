"""The discriminator of a GAN, the part that sees real windows, is asked about canaries."""

import math
from dataclasses import replace

import numpy as np
import pytest

from pulseveil.audit import canaries
from pulseveil.audit.discriminator import discriminator_rows, least_real, surprisal
from pulseveil.audit.verdict import Claim, Defence
from pulseveil.core import registry, tensorflow
from pulseveil.core.randomness import root_stream
from pulseveil.generators import Training
from pulseveil.generators.cgan import CGANSettings
from pulseveil.generators.cgan.model import CGANModel
from pulseveil.privacy import dpgan
from pulseveil.privacy.budget import Budget, Population
from pulseveil.privacy.noise import reproducible
from pulseveil.runs.audits import audit_generator
from pulseveil.study import audits as audit_plan
from pulseveil.study.audit_settings import AuditSettings
from tests.unit.audit.test_generator import windows
from tests.unit.generators.test_private_cgan import budget, fit, people
from tests.unit.runs.test_audit_generator_job import job
from tests.unit.study.test_audit_plan import audited

TSTR = {"name": "tstr", "cohort": "simulated", "train": "synthetic", "synthetic_subjects": [2]}
# One canary a training: a discriminator that has seen one takes others for real, too.
ALONE = AuditSettings(trainings=3, canaries=1, guesses=1, repetitions=0, radius=6)
SETTINGS = {"discriminator": "fcn", "output": "linear"}
PRIVATE = {"batch_size": 99, "fakes": 16, "windows_each": 4, "clip_norm": 10}


def six_channels(each):
    """`each` windows of 5 people; six channels have 64 combinations of far-out levels."""
    rows = windows()
    values = np.random.default_rng(5).normal(size=(*rows.windows.shape[:2], 6)).astype(np.float32)
    rows = replace(rows, windows=values, channels=tuple("abcdef"))
    return rows.take(np.arange(len(rows)) % 12 < each)


def attacked(unit, epsilon, audits, steps, runs=16, learning_rate=3e-3):
    """The row of the attack on `runs` trainings of people with 4 windows each."""
    private = PRIVATE | {"steps": steps, "learning_rate": learning_rate, "width_divisor": 1}
    settings, audit = CGANSettings(**SETTINGS, private=private), ALONE.model_copy(update={"runs": runs})
    rows, number = six_channels(4), iter(range(99))
    population = Population(5 + audit.canary_people(unit), 4, 0.5)

    def train(rows, stream):
        noise = reproducible(root_stream(next(number)))
        budget = Budget(1.0, 1e-5, unit, population, noise)
        model = CGANModel.fit(
            settings,
            Training(rows.windows, rows.condition, rows.subject, 2, budget, stream),
        )
        return lambda asked: model.realness(asked.windows, asked.condition).astype(float)

    defence = Defence(Claim("cgan", epsilon, 1e-5, unit), None, audits)
    (row,) = discriminator_rows(train, rows, audit, defence, root_stream(3))
    return row


@pytest.fixture
def fixed_coins(monkeypatch):
    """Coins of a seed: outside of tests, nobody may be able to replay them."""
    random = np.random.default_rng(11)
    monkeypatch.setattr(canaries, "coins", lambda count: random.integers(0, 2, count).astype(bool))


@pytest.fixture
def lost_noise(monkeypatch):
    monkeypatch.setattr(dpgan, "add_noise", lambda sums, seed, deviation: (sums, np.int32(1)))
    dpgan.program.cache_clear()
    yield
    dpgan.program.cache_clear()


def test_a_discriminator_whose_noise_was_lost_is_caught(fixed_coins, lost_noise):
    """A claim of .25 that holds passes with probability 95 % at least: 18 of 24 right guesses refute it.

    In 300 steps without noise a discriminator learns 20 windows by heart: four other series of coins gave 21
    or 22 right guesses.
    """
    row = attacked("subject", epsilon=0.25, audits=1, steps=300, runs=24, learning_rate=6e-3)
    assert row["attack"] == "canaries, discriminator"
    assert row["failed"], row


def test_a_private_discriminator_keeps_its_claim(fixed_coins):
    """One verdict with an error of 1 %, in fact less."""
    row = attacked("window", epsilon=1.0, audits=5, steps=50)
    assert not row["failed"], row


def test_opinions_are_compared_within_a_class():
    """30 windows of each class: the least real of them is as real as all 30, the most real as itself."""
    never = windows()
    answers = np.where(never.stress, 100.0, 0.0) + np.arange(len(never))
    asked = np.array([0, 1, 58, 59])
    found = surprisal(
        lambda rows: answers if len(rows) == len(never) else answers[asked], never, never.take(asked)
    )
    np.testing.assert_allclose(found, -np.log([31 / 31, 31 / 31, 2 / 31, 2 / 31]))


def test_a_window_that_no_model_has_seen_surprises_by_chance_alone():
    """Its p is uniform on 1/101 .. 1: the mean of 4,000 is .505 within five standard errors, .023."""
    random = np.random.default_rng(0)
    rows = windows().take(np.repeat([1], 101))
    p = []
    for _ in range(4000):
        answers = {100: random.normal(size=100), 1: random.normal(size=1)}
        never, asked = rows.take(np.arange(100)), rows.take(np.arange(1))
        p.append(np.exp(-surprisal(lambda given, by=answers: by[len(given)], never, asked))[0])
    assert abs(np.mean(p) - 0.505) < 0.023


def test_candidates_that_a_model_doubts_are_taken_in_random_order():
    owner = np.repeat([f"CANARY{i}" for i in range(8)], 2)
    found = least_real(np.repeat([5.0, 0, 1, 2, 9, 3, 7, 8], 2), owner, 4, np.random.default_rng(0))
    assert sorted(found) == ["CANARY1", "CANARY2", "CANARY3", "CANARY5"]
    others = [least_real(np.zeros(16), owner, 8, np.random.default_rng(i)).tolist() for i in range(9)]
    assert len({tuple(names) for names in others}) > 1


def test_an_audit_trains_and_judges_as_often_as_was_planned(monkeypatch):
    # All canaries are in, for whom the public number of people has just enough capacity.
    monkeypatch.setattr(canaries, "coins", lambda count: np.ones(count, bool))
    # Threads are set when TensorFlow starts, which it has in the process of all tests.
    monkeypatch.setattr(tensorflow, "start", lambda threads: None)
    # The registry checks a model when it is first loaded: before the counter takes the place of its method.
    assert registry.model("generators", "cgan") is CGANModel
    calls, fit_ = [], CGANModel.fit
    monkeypatch.setattr(CGANModel, "fit", lambda *given, **keys: calls.append(1) or fit_(*given, **keys))
    few = AuditSettings(trainings=3, canaries=6, guesses=2, runs=1, repetitions=0)
    short = SETTINGS | {"private": {"steps": 2, "batch_size": 60, "fakes": 8}}
    given = {"generator": "cgan", "kind": "cgan", "settings": short, "audit": few, "audits": 100}
    table = audit_generator(job(unit="window", epsilon_generator=1.0, **given), six_channels(12))
    assert len(calls) == few.trained_models("generator", "window", 5, has_discriminator=True)
    assert table.failed.notna().sum() == few.verdicts("window", 5, has_curve=True, has_discriminator=True)
    assert list(table.attack[table.attack.str.contains("discriminator")]) == [
        "canaries, discriminator",
        "canaries, discriminator, trade-off curve",
    ]


def test_the_plan_knows_which_generators_have_a_discriminator():
    few = {"evaluation": "tstr", "trainings": 3, "runs": 1, "repetitions": 0}
    keys = {"generators": ["cgan", "moments"], "epsilons": ["inf"], "units": ["subject"]}
    plan = audited("tstr", **keys, audit=few, evaluations=[TSTR])
    trained = {
        cell.generator: audit_plan.trained_models(plan, cell) for cell in audit_plan.audited_cells(plan)
    }
    # Membership of 6 people, canaries, releases to compare with, one without each person; again canaries.
    assert trained["moments"] == 3 * 7 + 1 + 3 + 6
    assert trained["cgan"] == trained["moments"] + 1 + 1


def test_a_discriminator_is_asked_while_it_is_fresh_and_never_stored():
    learnt, code, _ = data = people()
    model = fit(data, budget(epsilon=math.inf), steps=20, batch_size=16)
    opinions = model.realness(learnt, code)
    assert opinions.shape == (len(learnt),)
    # It is told the condition, and each window is looked at by itself.
    assert not np.array_equal(opinions, model.realness(learnt, 1 - code))
    np.testing.assert_allclose(opinions[:7], model.realness(learnt[:7], code[:7]), rtol=1e-4, atol=1e-5)
    stored = CGANModel.from_arrays(CGANSettings(**SETTINGS), model.arrays())
    with pytest.raises(ValueError, match="not stored"):
        stored.realness(learnt, code)
