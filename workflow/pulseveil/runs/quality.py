"""Quality of the generators of one seed: each fold's synthetic windows beside those it learned from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulseveil.core import store
from pulseveil.core.contracts import STRESS, Portrait, SyntheticSet, WindowSet
from pulseveil.core.randomness import Stream, child, root_stream
from pulseveil.evaluation.protocols import Fold
from pulseveil.quality.measures import Measured, kernel_bandwidth, measure, measure_people
from pulseveil.quality.portrait import portray
from pulseveil.quality.samples import Comparisons, Pair, Sample, compare
from pulseveil.study.jobs import GeneratorJob


def assess(models: store.Models, synthetic: SyntheticSet, windows: WindowSet) -> pd.DataFrame:
    """One row a fold and number: the run keys, fold, measure, signal, condition, and the values.

    `value` compares synthetic windows with those of the training people, `low` and `high` are the ends of its
    95 % interval over people where one is defined. `floor` is the mean of the same measure between two halves
    of the training people over several halvings, `floor_low` and `floor_high` its extremes. `held_out` is
    that between training people and those that the generator never saw, where these are in the cohort and the
    measure makes sense for one person. Signals are divided by their SD over the training windows: distances
    are in that unit.
    """
    job = GeneratorJob.model_validate(models.description["job"])
    seed = int(models.description["seed"])
    rows = [
        {**job.keys(seed), "fold": fold.name, **row}
        for fold in job.folds
        for row in _rows(_Assessed(job, fold, seed, synthetic, windows))
    ]
    return pd.DataFrame(rows)


def portrait(models: store.Models, synthetic: SyntheticSet, windows: WindowSet) -> Portrait:
    """What figures of the generator show: the windows of its first fold."""
    job = GeneratorJob.model_validate(models.description["job"])
    seed = int(models.description["seed"])
    assessed = _Assessed(job, job.folds[0], seed, synthetic, windows)
    pair = _comparisons(assessed).synthetic
    return portray(
        pair,
        _scaled(pair, _spread(assessed)),
        channels=windows.channels,
        rate_hz=windows.rate_hz,
        scaling=windows.scaling,
        keys={**job.keys(seed), "fold": assessed.fold.name},
        stream=child(_stream(assessed), "portrait"),
    )


class _Assessed(NamedTuple):
    """One trained generator, the windows it made and all real ones."""

    job: GeneratorJob
    fold: Fold
    seed: int
    synthetic: SyntheticSet
    windows: WindowSet


def _rows(assessed: _Assessed) -> Iterator[dict[str, str | float]]:
    spread = _spread(assessed)
    found = _comparisons(assessed)
    channels, rate_hz = assessed.windows.channels, assessed.windows.rate_hz
    stream = child(_stream(assessed), "measures")
    made = _scaled(found.synthetic, spread)
    bandwidth = kernel_bandwidth(made.real)
    values = measure(made, channels, rate_hz, bandwidth, stream)
    floors = [
        measure(_scaled(pair, spread), channels, rate_hz, bandwidth, child(stream, "floor", i))
        for i, pair in enumerate(found.floors)
    ]
    held_out: Measured = {}
    if found.held_out is not None:
        held_out = measure_people(_scaled(found.held_out, spread), stream)
    for key, estimate in values.items():
        yield {
            **key._asdict(),
            **estimate._asdict(),
            **_floor([floor[key].value for floor in floors if key in floor]),
            "held_out": held_out[key].value if key in held_out else math.nan,
        }


def _comparisons(assessed: _Assessed) -> Comparisons:
    _, fold, _, synthetic, windows = assessed
    made = synthetic.take(synthetic.fold == fold.name)
    real = Sample(windows.windows, windows.condition == STRESS, windows.subject)
    unseen = np.isin(windows.subject, fold.test_subjects) & ~np.isin(windows.subject, fold.train_subjects)
    return compare(
        real.take(np.isin(windows.subject, fold.train_subjects)),
        Sample(made.windows, made.stress, made.subject),
        real.take(unseen) if unseen.any() else None,
        child(_stream(assessed), "samples"),
    )


def _stream(assessed: _Assessed) -> Stream:
    """One for all generators of a cohort: they meet the same real windows, and have the same floor."""
    job, fold, seed, _, _ = assessed
    return child(root_stream(job.root_seed), "quality", job.cohort, fold.name, seed)


def _spread(assessed: _Assessed) -> NDArray[np.float32]:
    """SD (channels) of the training windows; 1 for a signal that never changes."""
    rows = np.isin(assessed.windows.subject, assessed.fold.train_subjects)
    spread = assessed.windows.windows[rows].std(axis=(0, 1), dtype=np.float64)
    return np.where(spread > 0, spread, 1).astype(np.float32)


def _scaled(pair: Pair, spread: NDArray[np.float32]) -> Pair:
    return Pair(*(sample._replace(windows=sample.windows / spread) for sample in pair))


def _floor(values: list[float]) -> dict[str, float]:
    found = (sum(values) / len(values), min(values), max(values)) if values else (math.nan,) * 3
    return dict(zip(("floor", "floor_low", "floor_high"), found, strict=True))
