"""Random minutes of real recordings: what they change is what the statement counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pulseveil.cohorts.wesad import Wesad, WesadSettings
from pulseveil.core.contracts import CHANNEL_SETS, Recording
from pulseveil.windows.reach import piece_windows, reach_s
from pulseveil.windows.recipe import Recipe
from pulseveil.windows.timeline import RESAMPLERS
from tests.unit.windows.test_reach import (
    FINITE,
    Minute,
    changed_windows,
    constants,
    distance_s,
    noise,
    saturated,
    silence,
    windows,
    with_minute,
)

pytestmark = [pytest.mark.real, pytest.mark.slow]

PEOPLE = ("S2", "S10", "S15")


@pytest.fixture(scope="module")
def people(wesad_folder: Path) -> list[Recording]:
    return list(Wesad(WesadSettings(data=wesad_folder, subjects=PEOPLE)).recordings())


def exchanges(people: list[Recording], count: int) -> list[tuple[Recording, Recording, float]]:
    """(person, the person with a minute exchanged, where it begins): adversarial minutes and natural ones."""
    rng = np.random.default_rng(8)

    def of(other: Recording) -> Minute:
        """The other person's minute at the same time, or the last that there is."""

        def natural(name: str, first: int, size: int, _: np.random.Generator) -> np.ndarray:
            values = other.signals[name].values
            first = min(first, len(values) - size)
            return values[first : first + size]

        return natural

    found = []
    for turn in range(count):
        person, other = people[turn % len(people)], people[(turn + 1) % len(people)]
        minute = (saturated, of(other), noise, of(other), silence, of(other))[turn // len(people) % 6]
        inside = person.intervals[rng.integers(len(person.intervals))]
        start = round(rng.uniform(inside.start_s - 40, inside.end_s - 20), 2)
        found.append((person, with_minute(person, start, minute, turn), start))
    return found


@pytest.mark.parametrize("kind", [("sound", "published"), ("sound", "physiological")], ids=" ".join)
def test_nothing_changes_out_of_reach_of_a_channel(people: list[Recording], kind: tuple[str, str]) -> None:
    resampler = RESAMPLERS[kind]
    for person, other, start in exchanges(people, 24):
        changed = resampler.resample(person)[0] != resampler.resample(other)[0]
        for i, name in enumerate(CHANNEL_SETS[kind[1]]):
            assert distance_s(changed[:, i], start) <= resampler.reach_s[name], (name, person.subject, start)


@pytest.mark.parametrize("stride_s", [30, 60])
# Minutes that leave minimum and maximum of a real recording alone are few.
@pytest.mark.parametrize("recipe", [recipe for recipe in FINITE if recipe[2] != "min-max"], ids=" ".join)
def test_no_minute_changes_more_windows_than_counted(
    people: list[Recording], recipe: tuple[str, str, str], stride_s: int
) -> None:
    protocol, channels, scaling = recipe
    how = Recipe(protocol, "generator", channels, scaling, stride_s=stride_s)  # type: ignore[arg-type]
    counted = piece_windows(how.window_s, stride_s, reach_s(*recipe))
    found = [
        changed_windows(windows(person, how), windows(other, how))
        for person, other, _ in exchanges(people, 24)
        # The statement takes the constants of a person as fixed, and says so.
        if np.array_equal(constants(person, how), constants(other, how))
    ]
    assert len(found) >= 5
    assert counted - 1 <= max(found) <= counted
