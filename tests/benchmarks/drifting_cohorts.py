"""Simulated cohorts made harder: rest starts elsewhere and drifts, and people respond otherwise to stress.

The simulator knows the literature's signs and lets everybody rest at the same place. Settings that were
chosen on its cohorts alone failed on real recordings. The SDs below are of the size seen in Stress-Predict
(S01 to S05, on whom these settings are not tested), in the units of `literature_prior`, in the order of
its `NAMES`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pulseveil.core.contracts import WindowSet
from pulseveil.generators.public_prior import decode, literature_prior, statistics_of, walks

# Of a whole cohort, in which training and tested people agree: start, drift over a session, response.
START = np.array([0, 0.26, 0.35, 0, 0.2, 0.1, 0.5, 1, 0.07, 0.5, 0.6, 0.6, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
DRIFT = np.array([0.27, 1.2, 0.34, 0, 0.16, 0.1, 0.4, 0.24, 0.1, 0.5, 0.1, 0.2, 0.1, 0.1, 0.3, 0.1, 0.1, 0.2])
RESPONSE = np.array([0.7, 0.4, 0.35, 0, 0.3, 0.5, 0.3, 0.4, 0.5, 0.5, 0.5, 0.2, 0.6, 0.4, 0.2, 0.1, 0.2, 0.4])
# Of single people, and of single windows.
OWN_START = np.array(
    [0.17, 0.3, 0.18, 0, 0.15, 0.2, 0.1, 0.18, 0.2, 0.45, 0.2, 0.15, 0.1, 0.1, 0.15, 0.1, 0.1, 0.15]
)
OWN_DRIFT = np.array(
    [1.2, 1.4, 0.85, 0, 0.2, 0.8, 0.25, 0.5, 1.2, 1.6, 0.4, 0.6, 0.3, 0.3, 0.5, 0.2, 0.3, 0.4]
)
OWN_RESPONSE = np.array(
    [0.3, 0.4, 0.2, 0, 0.2, 0.2, 0.1, 0.1, 0.3, 0.5, 0.1, 0.15, 0.5, 0.5, 0.4, 0.2, 0.5, 0.5]
)
OF_WINDOW = np.array([0.35, 0.6, 0.2, 0, 0.35, 0.15, 0.1, 0.1, 0.45, 0.7, 0.1, 0.4, 3, 3, 1, 0.5, 1, 0.5])
WEAKEST_RESPONSE = 0.5


def moved(windows: WindowSet, cohort: int, people: int, level: float) -> WindowSet:
    """The windows with statistics moved for the cohort, for each person (`level` times), and for each window.

    Cohorts with one seed `cohort` share what a cohort has. `people` is the seed of what single people have.
    """
    unit, of_cohort, own = (
        literature_prior().unit,
        np.random.default_rng(cohort),
        np.random.default_rng(people),
    )
    start, drift, response = (sd * of_cohort.standard_normal(len(unit)) for sd in (START, DRIFT, RESPONSE))
    statistics = statistics_of(windows.windows, windows.rate_hz) / unit
    for name in np.unique(windows.subject):
        rows = windows.subject == name
        stress, time = windows.stress[rows][:, np.newaxis], windows.start_s[rows]
        elapsed = ((time - time.min()) / np.ptp(time))[:, np.newaxis]
        values = statistics[rows]
        found = values[stress[:, 0]].mean(axis=0) - values[~stress[:, 0]].mean(axis=0)
        of_person = OWN_START * own.standard_normal(len(unit))
        of_person = of_person + elapsed * OWN_DRIFT * own.standard_normal(len(unit))
        of_person = of_person + OF_WINDOW * own.standard_normal(values.shape)
        of_person = of_person + stress * OWN_RESPONSE * own.standard_normal(len(unit))
        of_person = of_person - stress * (1 - WEAKEST_RESPONSE) * own.uniform() * found
        statistics[rows] = values + start + elapsed * drift + stress * response + level * of_person
    # Steps whose walk is the window itself: its shape stays.
    shape = walks(np.diff(windows.windows.astype(np.float64), axis=1, prepend=0.0), windows.rate_hz)
    return replace(windows, windows=decode(statistics * unit, shape, windows.rate_hz))
