"""The attack on noised windows: what the attacker knows, and what smoothing gains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import stats

from pulseveil.audit.attacks import attack_noised
from pulseveil.core.contracts import WindowSet
from tests.unit.audit.test_similarity import cohort

PEOPLE, EACH, TIME = 6, 20, 30


def people(values: np.ndarray, subject: np.ndarray) -> WindowSet:
    n = len(values)
    # One condition after the other: halves of a condition are other rows than halves of the person.
    condition = np.arange(n) % EACH >= EACH // 2
    return WindowSet(
        windows=values.astype(np.float32),
        condition=condition.astype(np.int8),
        stress=condition,
        calibration=np.zeros(n, bool),
        subject=subject,
        start_s=60.0 * np.arange(n),
        channels=("BVP", "EDA"),
        rate_hz=1.0,
        window_s=float(TIME),
        stride_s=60.0,
        scaling="min-max",
        protocol="paper",
    )


def correct(windows: WindowSet, noised: WindowSet) -> list[int]:
    return attack_noised(windows, noised)["correct"].tolist()


def with_noise(windows: WindowSet, scale: float, seed: int) -> WindowSet:
    noise = np.random.default_rng(seed).normal(0, scale, windows.windows.shape)
    return replace(windows, windows=(windows.windows + noise).astype(np.float32))


def test_people_are_linked_without_noise_and_by_chance_under_much() -> None:
    windows = people(*cohort(np.random.default_rng(0), PEOPLE, EACH, TIME))
    assert correct(windows, windows)[0] == PEOPLE
    right = sum(correct(windows, with_noise(windows, 100.0, seed))[0] for seed in range(50))
    # Chance is 1 of 6: a false alarm with probability 1e-4. Links of one draw are nearly independent.
    low, high = stats.binom.interval(1 - 1e-4, 50 * PEOPLE, 1 / PEOPLE)
    assert low <= right <= high


def test_known_are_first_halves_of_each_condition_and_searched_are_the_others() -> None:
    values, subject = cohort(np.random.default_rng(0), PEOPLE, EACH, TIME)
    # The second half of each person and condition shows the next person: every link must be wrong.
    second = np.arange(EACH) % (EACH // 2) >= EACH // 4
    turned = values.reshape(PEOPLE, EACH, TIME, -1).copy()
    turned[:, second] = np.roll(turned, -1, axis=0)[:, second]
    windows = people(turned.reshape(values.shape), subject)
    assert correct(windows, windows)[0] == 0
    # Whatever the first halves are in the noised copy, the attacker does not read them.
    noised = turned.copy()
    noised[:, ~second] = np.nan
    assert correct(windows, replace(windows, windows=noised.reshape(values.shape)))[0] == 0


def test_smoothing_recognises_levels_that_noise_hides_from_warping() -> None:
    level = np.repeat(np.arange(PEOPLE) * 0.2, EACH)
    windows = people(np.tile(level[:, np.newaxis, np.newaxis], (1, TIME, 2)), np.repeat(list("abcdef"), EACH))
    plain, smoothed = np.sum([correct(windows, with_noise(windows, 0.5, s)) for s in range(30)], axis=0)
    # Of 180 links, 40 more when this was written; the standard deviation of the difference is below 9.5.
    assert smoothed - plain > 19
