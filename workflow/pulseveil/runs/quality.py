"""Quality jobs: synthetic windows of each fold of one seed, compared with the fold's real windows."""

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
    """Table of quality with one row per fold, measure, signal and condition, beside the run keys.

    - `value`, `low`, `high`: the measure between synthetic and training windows, and its 95 % interval over
      people where one is defined.
    - `floor`, `floor_low`, `floor_high`: mean, minimum and maximum of the measure between two halves of the
      training people, over several halvings.
    - `held_out`: the measure between training people and people that the generator never saw, where the
      cohort has such people and the measure is defined for one person.

    Distances are in SDs of the training windows, per signal.
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
    """Contents of the generator's figures: the windows of its first fold."""
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
    """One trained generator with its synthetic windows and all real windows."""

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
    scaled = _scaled(found.synthetic, spread)
    # One bandwidth, from real windows: with another one per pair, value and floor could not be compared.
    bandwidth = kernel_bandwidth(scaled.real)
    values = measure(scaled, channels, rate_hz, bandwidth, stream)
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
    generated = synthetic.take(synthetic.fold == fold.name)
    real = Sample(windows.windows, windows.condition == STRESS, windows.subject)
    # The fold of a shared generator tests people on whom it trained.
    unseen = np.isin(windows.subject, fold.test_subjects) & ~np.isin(windows.subject, fold.train_subjects)
    return compare(
        real.take(np.isin(windows.subject, fold.train_subjects)),
        Sample(generated.windows, generated.stress, generated.subject),
        real.take(unseen) if unseen.any() else None,
        child(_stream(assessed), "samples"),
    )


def _stream(assessed: _Assessed) -> Stream:
    """Random stream of the comparisons of one cohort, fold and seed."""
    # Without the generator's name: all generators are compared with the same real windows and the same floor.
    job, fold, seed, _, _ = assessed
    return child(root_stream(job.root_seed), "quality", job.cohort, fold.name, seed)


def _spread(assessed: _Assessed) -> NDArray[np.float32]:
    """SD (channels) float32 of the training windows; 1 for a constant signal."""
    rows = np.isin(assessed.windows.subject, assessed.fold.train_subjects)
    spread = assessed.windows.windows[rows].std(axis=(0, 1), dtype=np.float64)
    return np.where(spread > 0, spread, 1).astype(np.float32)


def _scaled(pair: Pair, spread: NDArray[np.float32]) -> Pair:
    return Pair(*(sample._replace(windows=sample.windows / spread) for sample in pair))


def _floor(values: list[float]) -> dict[str, float]:
    found = (sum(values) / len(values), min(values), max(values)) if values else (math.nan,) * 3
    return dict(zip(("floor", "floor_low", "floor_high"), found, strict=True))
