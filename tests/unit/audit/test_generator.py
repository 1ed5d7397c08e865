"""Audits of generators by what they release: one that copies, one that never saw anybody, and the moments."""

import math

import numpy as np
import pytest

from pulseveil.audit.attacks import attack_generator, missing_person
from pulseveil.audit.verdict import Claim, Defence
from pulseveil.core.contracts import WindowSet
from pulseveil.core.randomness import child, generator, root_stream
from pulseveil.generators.moments import Moments, MomentsSettings
from pulseveil.generators.subjects import Subjects, synthetic_subjects
from pulseveil.study.audit_settings import AuditSettings
from tests.trainings import plain
from tests.unit.audit.test_similarity import cohort

SETTINGS = AuditSettings(trainings=8, runs=10, repetitions=30)
STREAM = root_stream(2)


def windows(seed=0):
    rows, subject = cohort(np.random.default_rng(seed), people=5, each=12, channels=2)
    n = len(rows)
    return WindowSet(
        windows=rows,
        condition=(np.arange(n) % 2).astype(np.int8),
        stress=np.arange(n) % 2 == 1,
        calibration=np.zeros(n, bool),
        subject=subject,
        start_s=60.0 * np.arange(n),
        channels=("heart_rate", "eda_level"),
        rate_hz=1.0,
        window_s=30.0,
        stride_s=30.0,
        scaling="public",
        protocol="sound",
    )


def copies(rows, stream):
    """Half of what it was trained on."""
    kept = generator(stream).permutation(len(rows))[: len(rows) // 2]
    return Subjects(rows.windows[kept], rows.condition[kept], rows.subject[kept])


def strangers(rows, stream):
    """Windows of other people, whatever it was trained on."""
    return copies(windows(seed=99), stream)


def moments(rows, stream):
    fitted = Moments.fit(MomentsSettings(rank=4), plain(rows.windows, rows.condition, stream))
    return synthetic_subjects(
        fitted, subjects=1, classes=2, stream=child(stream, "sample"), windows_per_condition=(50, 50)
    )


def audited(synthesize, unit="subject", epsilon=0.5, audits=5):
    defence = Defence(Claim("generator", epsilon, 1e-5, unit), None, audits)
    return attack_generator(synthesize, synthesize, windows(), SETTINGS, defence, STREAM)


def test_a_generator_that_copies_is_caught_and_tells_who_is_missing():
    """8 + 8 trainings: the ceiling is .54 at one verdict, above the claim of .5."""
    found = audited(copies, audits=1)
    people = found[found.record.notna() & found.failed.notna()]
    assert list(people.record) == [f"S{i}" for i in range(5)]
    assert people.auc.to_numpy() == pytest.approx(1.0)
    assert people.failed.all()
    missing = found[found.attack == "missing person"].iloc[0]
    assert (missing.correct, missing.people) == (5, 5)


def test_a_generator_of_strangers_is_not():
    """Its verdicts have an error of 1 % each; the seeds are fixed."""
    found = audited(strangers)
    assert not found.failed.eq(True).any()
    assert 0.3 < found.auc.iloc[0] < 0.7
    assert found[found.attack == "missing person"].iloc[0].p > 0.01


def test_windows_of_a_copying_generator_are_described_without_a_verdict():
    found = audited(copies, unit="window")
    assert list(found.attack) == ["membership", "canaries", "repeated canary", "missing person"]
    # A member is released with probability one half, and then lies at distance 0.
    assert found.auc.iloc[0] > 0.7
    assert found.failed[found.attack == "membership"].isna().all()


def test_the_moments_of_five_people_give_each_away():
    found = audited(moments, epsilon=math.inf)
    assert found.auc.iloc[0] > 0.7
    assert not found.failed.eq(True).any()  # nothing is claimed
    assert missing_person(moments, windows(), STREAM).people == 5
