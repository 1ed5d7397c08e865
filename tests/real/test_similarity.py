"""How well people of the real recordings are told apart, and what an unprotected generator tells of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pulseveil.audit.release import dtw_distances, reidentify_by_left_out, source_distances
from pulseveil.cohorts.wesad import WesadSettings
from pulseveil.core.contracts import WindowSet
from pulseveil.core.randomness import root_stream
from pulseveil.generators.moments import Moments, MomentsSettings
from pulseveil.runs.cohort import prepare_cohort
from pulseveil.windows.recipe import Recipe
from tests.trainings import plain

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def windows(wesad_folder: Path) -> WindowSet:
    settings = WesadSettings(kind="wesad", data=wesad_folder)
    return prepare_cohort(settings, Recipe.with_defaults("sound", "detector")).windows


def test_people_are_recognised_by_other_windows_of_their_own(windows: WindowSet) -> None:
    """Every second window against the others: 14 of 15 people when this was written, chance is one."""
    odd = np.arange(len(windows)) % 2 == 1
    distances = dtw_distances(windows.windows[~odd], windows.windows[odd], 10)
    found = source_distances(distances, windows.subject[~odd], windows.subject[odd])
    # By chance so many are right with probability 3e-12.
    assert (found.argmin(axis=1) == np.arange(15)).sum() >= 12


def moments_without(windows: WindowSet, person: str, seed: int, count: int) -> np.ndarray:
    """`count` synthetic windows of a generator that was trained without `person` and without noise."""
    rows = windows.take(windows.subject != person)
    fitted = Moments.fit(
        MomentsSettings(),
        plain(rows.windows, rows.stress.astype(np.int8), root_stream(seed)),
    )
    noise = np.random.default_rng(seed).normal(size=(count, fitted.noise_size)).astype(np.float32)
    return fitted.sample(np.repeat([0, 1], count // 2).astype(np.int8), noise)


def test_an_unprotected_generator_tells_who_is_missing(windows: WindowSet) -> None:
    """Moments of 14 people, one release a person left out: 8 of 15 linked when this was written.

    Chance links one on average, and 4 or more with probability 1.5 %.
    """
    people = np.unique(windows.subject)
    releases = [moments_without(windows, name, seed, 200) for seed, name in enumerate(people)]
    distances = dtw_distances(windows.windows, np.concatenate(releases), 5)
    found = reidentify_by_left_out(source_distances(distances, windows.subject, np.repeat(people, 200)))
    assert found.correct >= 5
