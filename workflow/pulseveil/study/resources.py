"""What the jobs of a study take of a machine: sizes of packs, limits of jobs, and energy."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from pulseveil.core.settings import Settings


class Pack(Settings):
    """Sizes of packs; keys of the study, so that packs never depend on a machine."""

    # The trainings of a pack share one start of TensorFlow, which takes seconds.
    generator_seeds: int = Field(1, gt=0, description="seeds per generator job, with all folds of each")
    detector_seeds: int = Field(5, gt=0, description="seeds per detector job, with all folds of each")
    subjects: int = Field(10, gt=0, description="numbers of synthetic subjects per detector job")
    noise: int = Field(5, gt=0, description="scales of input noise per detector job")


class Resources(Settings):
    """Resources of a job; the time limit grows with the expected cost."""

    gpu: Literal[0, 1] = Field(0, description="GPUs of a job that trains a network")
    mem_mb: int = Field(4000, gt=0, description="memory of a job in MB")
    runtime: int = Field(30, gt=0, description="shortest time limit of a job in minutes")
    gpu_speedup: float = Field(
        1.0,
        gt=0,
        description="speed of a GPU in training, relative to one core: your guess, for time limits only",
    )


class Energy(Settings):
    """What the study's hours are taken to use, for the plan and `hours.csv`."""

    watts_per_core: float = Field(
        10.0, gt=0, description="power of a busy core with its share of the machine: your guess, not measured"
    )
    watts_per_gpu: float = Field(400.0, gt=0, description="power of a busy GPU: your guess, not measured")
    # No default: electricity of grids differs by a factor of ten and more.
    carbon: float | None = Field(
        None, ge=0, description="g CO2e per kWh where the study runs; default: no CO2e is printed"
    )

    def kilowatt_hours(self, core_seconds: float, gpu_seconds: float) -> float:
        """Energy of cores and GPUs that are busy for so many seconds.

        Examples:
            >>> Energy(watts_per_core=10, watts_per_gpu=400).kilowatt_hours(7200, 3600)
            0.42
        """
        return (self.watts_per_core * core_seconds + self.watts_per_gpu * gpu_seconds) / 3.6e6

    def co2e_kilograms(self, kilowatt_hours: float) -> float:
        """CO2e of so much energy in kg; NaN without `carbon`."""
        return math.nan if self.carbon is None else self.carbon * kilowatt_hours / 1000
