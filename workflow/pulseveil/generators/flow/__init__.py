"""Conditional flow matching on a few dozen coordinates of a window; without privacy.

Source: Lipman et al. 2023, arXiv:2210.02747.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from pulseveil.generators import GeneratorKind, GeneratorSettings
from pulseveil.privacy.budget import Unit

# CPU seconds of a training without its steps, and windows per CPU second at width 256 and depth 2.
# Compilation is not counted: all trainings of a process share one.
_FIXED_SECONDS, _WINDOWS_PER_SECOND = 0.5, 9e4
_MEASURED_WIDTH, _MEASURED_DEPTH = 256, 2


class FlowSettings(GeneratorSettings):
    """Settings of `flow`."""

    # Chosen on simulated cohorts (tests/benchmarks/flow.py), by likeness: all candidates taught about alike.
    cosines: int = Field(6, gt=0, description="slow cosine coefficients learnt per channel")
    bands: int = Field(
        2, gt=0, description="bands of the faster cosines, per channel, whose energies alone are learnt"
    )
    width: int = Field(256, gt=0, description="units of each hidden layer")
    depth: int = Field(2, gt=0, description="hidden layers")
    steps: int = Field(2000, gt=0, description="training steps")
    batch_size: int = Field(128, gt=0, description="windows per step")
    learning_rate: float = Field(
        2e-3, gt=0, description="Adam's learning rate at the start; it falls to 0 as a cosine"
    )
    average: float = Field(
        0.995, ge=0, lt=1, description="weight of the past in the average of parameters that is kept"
    )
    sampler_steps: int = Field(32, gt=0, description="steps of Heun's method from noise to a window")


class Flow(GeneratorKind):
    """The kind `flow`, whose models turn noise into windows along a learnt velocity field."""

    Settings: ClassVar[type[GeneratorSettings]] = FlowSettings
    title: ClassVar[str] = "Flow matching"
    # Tol 2021, muted: all colours of the other palette have kinds.
    colour: ClassVar[str] = "#332288"
    version: ClassVar[int] = 1
    uses_tensorflow: ClassVar[bool] = True
    model: ClassVar[str] = "pulseveil.generators.flow.model:FlowModel"

    @staticmethod
    def expected_seconds(settings: FlowSettings, rows: int, private: Unit | None) -> float:
        """Expected CPU seconds of a training, whatever the number of `rows`."""
        units = settings.width**2 * settings.depth / (_MEASURED_WIDTH**2 * _MEASURED_DEPTH)
        return _FIXED_SECONDS + settings.steps * settings.batch_size * units / _WINDOWS_PER_SECOND
