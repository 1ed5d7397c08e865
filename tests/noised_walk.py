"""A private training without TensorFlow, which notes under which noise it met which state.

What it noises is no gradient, but it lives as all private trainings do: key, draws, stored states, ledger.
"""

import hashlib
import os
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pulseveil.generators import Generator, GeneratorSettings
from pulseveil.privacy import accounting, ledger, releases
from pulseveil.privacy.resume import Course, Resumable, digest

NOTES, WAIT = "notes.txt", "wait"
STEPS = 170
LONGEST_WAIT_S = 20.0


class WalkSettings(GeneratorSettings):
    """Keys of `walk`."""

    steps: int = STEPS


class Walk(Generator):
    """A sum of noised steps: each leaves a note, and the first waits while there is a file `wait`.

    A line: the release, the fingerprint, attempt, step, and a hash of the state that met the step's noise.
    """

    Settings: ClassVar[type[WalkSettings]] = WalkSettings
    title: ClassVar[str] = "Noised walk"
    version: ClassVar[int] = 1
    private_units: ClassVar[frozenset[str]] = frozenset({"subject", "window"})
    programs: ClassVar[tuple[int, ...]] = (1,)
    noise_size: ClassVar[int] = 0

    def __init__(self, place: Any, entries: tuple[ledger.Entry, ...] = ()) -> None:
        self._place, self._entries = place, entries

    @property
    def ledger(self):
        return self._entries

    @staticmethod
    def expected_seconds(settings: WalkSettings, rows: int, private: Any) -> float:
        return 0.0

    @staticmethod
    def mechanisms(settings: WalkSettings, budget: Any) -> tuple[Any, ...]:
        n = budget.known_population().records(budget.unit)
        return (
            accounting.calibrate(
                budget, name="walk", n=n, q=1.0, capacity=n, steps=settings.steps, clip_norm=1.0
            ),
        )

    @classmethod
    def fit(cls, settings, training):
        windows, budget = training.windows, training.budget
        (mechanism,), noise = cls.mechanisms(settings, budget), budget.noise_source()
        # Another machine is another name in the environment.
        print_of_all = digest((settings, os.environ.get("MACHINE", "")), [windows])
        release = releases.release_name(budget)

        def begin(attempt):
            def advance(state, first, last):
                place, noised = state
                for step in range(first, last):
                    met = hashlib.sha256(place.tobytes()).hexdigest()[:16]
                    with open(NOTES, "a") as notes:
                        notes.write(f"{release} {print_of_all[:16]} {attempt} {step} {met}\n")
                    draw = noise.generator(mechanism.name, print_of_all, attempt, step).normal(size=3)
                    place, noised = place + np.sin(place) + draw, noised + 1
                    deadline = time.monotonic() + LONGEST_WAIT_S
                    while step == 0 and Path(WAIT).exists() and time.monotonic() < deadline:
                        time.sleep(0.01)
                return place, noised

            return advance

        course = Course(
            (np.zeros(3), 0),
            lambda arrays: (arrays["place"], int(arrays["noised"])),
            lambda state: {"place": state[0], "noised": np.array(state[1])},
            begin,
        )
        (place, noised), lost = Resumable(mechanism, print_of_all, noise, training.checkpoint).train(course)
        entry = ledger.close(
            mechanism,
            steps_noised=noised + lost,
            delta=budget.delta,
            noise=noise,
            public_quantities=("number of people",),
            program=1,
        )
        return cls(place, (entry,))

    def sample(self, condition, noise):
        raise NotImplementedError("no test asks a walk for windows")

    def arrays(self):
        return {"place": self._place}

    @classmethod
    def from_arrays(cls, settings, arrays):
        return cls(arrays["place"])


def install(folder: Path) -> None:
    """Make `walk` a kind of generator for processes that have `folder` in their path."""
    info = folder / "walk-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: walk\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pulseveil.generators]\nwalk = tests.noised_walk:Walk\n")
