"""PulseVeil in Python: recordings to windows, windows to models, and what each model spends.

`import pulseveil` has the functions of this package as its own names. They take and return arrays and tables.
A model is trained in memory; nothing is written unless you call `Model.save`.

    import pulseveil as pv

    windows = pv.cut_windows(pv.load_cohort("simulated", subjects=8))
    generator = pv.fit("posterior", windows, epsilon=10)
    detector = pv.fit("logistic", pv.sample(generator, subjects=20))
    print(pv.score(detector, windows), pv.spent(generator, detector), pv.statement(detector))
"""

from __future__ import annotations

from pulseveil.api.data import Synthetic, as_windows, cut_windows, features, load_cohort
from pulseveil.api.models import Model, fit, sample, score
from pulseveil.api.privacy import spent, statement

__all__ = [  # noqa: RUF022
    "load_cohort",
    "cut_windows",
    "as_windows",
    "features",
    "fit",
    "sample",
    "score",
    "spent",
    "statement",
    "Model",
    "Synthetic",
]
