"""Synthetic windows of a model as a set, in the form of the windows that it learned from."""

import numpy as np

from pulseveil.core.contracts import STRESS, SyntheticSet, WindowSet
from pulseveil.generators.subjects import Subjects

_FORM = ("channels", "rate_hz", "window_s", "stride_s", "scaling", "protocol")


def as_set(
    made: Subjects,
    learned_from: WindowSet,
    *,
    generator: str,
    unit: str,
    epsilon: float,
    seed: int = 0,
    fold: str = "all",
) -> SyntheticSet:
    """The windows `made` by the model of a fold, or by one for all of them."""
    return SyntheticSet(
        windows=made.windows,
        condition=made.condition,
        stress=made.condition == STRESS,
        subject=made.subject,
        fold=np.full(len(made.subject), fold),
        generator=generator,
        unit=unit,
        epsilon_generator=epsilon,
        seed=seed,
        **{name: getattr(learned_from, name) for name in _FORM},
    )
