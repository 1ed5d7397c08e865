"""Speed of this core against the core of the plan's hours, from a few short trainings on random windows."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseveil.core import registry, tensorflow
from pulseveil.core.contracts import PUBLISHED_CHANNELS, FeatureSet, WindowSet
from pulseveil.core.randomness import child, root_stream
from pulseveil.detectors import Training
from pulseveil.privacy.budget import Budget, Population, Unit
from pulseveil.privacy.noise import reproducible
from pulseveil.runs.generators import as_training
from pulseveil.study import costs
from pulseveil.windows.features import PAPER_BINS

# A fold of the published study. Windows of generators start twice as often.
PEOPLE, OF_SYNTHETIC = 14, costs.WINDOWS_PER_SYNTHETIC_SUBJECT
_EPSILON, _DELTA = 10.0, 1e-3
_CHANNELS, _TIME, _STATISTICS = 6, 60, 23
# Rows and columns of the multiplied matrices, and their number of products.
_MATRIX, _PRODUCTS = 1024, 20


@dataclass(frozen=True)
class Trial:
    """A training that is timed: its kind and its unit (None: not private).

    With the keys `longer`, its seconds are those by which a training with them is longer than one with
    `short`: start, compilation and calibration of the noise cancel. Otherwise the whole training counts.
    """

    group: registry.Group
    kind: str
    unit: Unit | None = None
    short: Mapping[str, Any] = field(default_factory=dict)
    longer: Mapping[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """Name of the trial in printed tables."""
        return f"{self.kind}, {f'private by {self.unit}' if self.unit else 'not private'}"

    @property
    def trainings(self) -> tuple[Any, ...]:
        """Settings of the timed trainings, the longest one last."""
        keys = (self.short, self.longer) if self.longer else (self.short,)
        settings = registry.load(self.group, self.kind).Settings
        return tuple(settings.model_validate(dict(values)) for values in keys)


# A network of matrix products, one of recurrent steps, and a private training.
TRIALS = (
    Trial("detectors", "cnn", None, {"epochs": 1}, {"epochs": 3}),
    Trial("generators", "cgan", None, {"steps": 20}, {"steps": 220}),
    Trial(
        # Nearly all Poisson draws of 50 rows fit into one pass of 64.
        *("detectors", "transformer", "window"),
        {"private": {"steps": 2, "batch_size": 50}},
        {"private": {"steps": 18, "batch_size": 50}},
    ),
)


@dataclass(frozen=True)
class Timing:
    """Planned and measured CPU seconds of a trial.

    first: seconds by which its first training was longer than the same once more: imports and compilation.
    """

    trial: Trial
    planned: float
    measured: float
    first: float

    @property
    def factor(self) -> float:
        """Measured over planned seconds."""
        return self.measured / self.planned


@dataclass(frozen=True)
class Calibration:
    """Timings of `TRIALS` on this core, and the float32 GFLOP/s of its matrix products."""

    timings: tuple[Timing, ...]
    gflops: float

    @property
    def factor(self) -> float:
        """Geometric mean of measured over planned seconds: a plan's hours times this are hours here."""
        return math.exp(sum(math.log(timing.factor) for timing in self.timings) / len(self.timings))


def calibrate(rounds: int = 2) -> Calibration:
    """Time `TRIALS` on one thread of this machine, in about a minute."""
    tensorflow.start(1)
    data: Mapping[str, FeatureSet | WindowSet] = {
        "detectors": random_features(PAPER_BINS),
        "generators": random_windows(),
    }
    timings = (measure(trial, data[trial.group], rounds) for trial in TRIALS)
    return Calibration(tuple(timings), gflops_of_products())


def measure(trial: Trial, data: FeatureSet | WindowSet, rounds: int) -> Timing:
    """Time a trial on `data`: windows of a generator, or features of a detector; the best of `rounds` counts.

    Rows of `data` with a fold are those of synthetic people beside the real ones.
    """
    short, *longer = trial.trainings
    first = cpu_seconds(trial, short, data)
    again, *whole = (
        min(cpu_seconds(trial, settings, data) for _ in range(rounds)) for settings in (short, *longer)
    )
    expected, *expected_whole = (planned_seconds(trial, settings, data) for settings in (short, *longer))
    if longer:
        return Timing(trial, expected_whole[0] - expected, whole[0] - again, first - again)
    return Timing(trial, expected, again, first - again)


def cpu_seconds(trial: Trial, settings: Any, data: FeatureSet | WindowSet) -> float:
    """CPU seconds of one training with `settings`."""
    model, stream = registry.model(trial.group, trial.kind), root_stream(0)
    population = Population(PEOPLE, costs.WINDOWS_PER_SUBJECT, 0.3)
    noise = reproducible(child(stream, "noise"))
    budget = Budget(_EPSILON if trial.unit else math.inf, _DELTA, trial.unit or "subject", population, noise)
    started = time.process_time()
    if isinstance(data, FeatureSet):
        model.fit(settings, Training(data, budget, stream))
    else:
        model.fit(settings, as_training(data, 2, budget, stream))
    return time.process_time() - started


def planned_seconds(trial: Trial, settings: Any, data: FeatureSet | WindowSet) -> float:
    """CPU seconds that a plan expects of one training with `settings`."""
    kind = registry.load(trial.group, trial.kind)
    if isinstance(data, WindowSet):
        return float(kind.expected_seconds(settings, len(data), trial.unit))
    real = int(np.count_nonzero(data.fold == ""))
    bins = data.features.shape[2]
    return costs.training_seconds(kind, settings, real, len(data) - real, trial.unit, bins)


def random_features(bins: int, synthetic: int = 0) -> FeatureSet:
    """Random features of the people of a fold, beside `synthetic` people."""
    subject, stress, rng = *_people(costs.WINDOWS_PER_SUBJECT, synthetic), np.random.default_rng(0)
    n = len(subject)
    return FeatureSet(
        features=rng.normal(size=(n, _CHANNELS, bins)).astype(np.float32),
        statistics=rng.normal(size=(n, _STATISTICS)).astype(np.float32),
        condition=stress.astype(np.int8),
        stress=stress,
        calibration=np.zeros(n, dtype=bool),
        subject=subject,
        fold=np.where(np.char.startswith(subject, "SYN"), "all", ""),
        start_s=np.arange(n, dtype=np.float64),
        frequency_hz=np.zeros((_CHANNELS, bins), np.float32),
        statistic_names=tuple(f"statistic {i}" for i in range(_STATISTICS)),
        scaling="none",
        protocol="paper",
    )


def random_windows() -> WindowSet:
    """Random windows of the people of a fold, for generators."""
    subject, stress = _people(2 * costs.WINDOWS_PER_SUBJECT, 0)
    n = len(subject)
    return WindowSet(
        windows=np.random.default_rng(0).random((n, _TIME, _CHANNELS), np.float32),
        condition=stress.astype(np.int8),
        stress=stress,
        calibration=np.zeros(n, dtype=bool),
        subject=subject,
        start_s=np.arange(n, dtype=np.float64),
        channels=PUBLISHED_CHANNELS,
        rate_hz=1.0,
        window_s=_TIME,
        stride_s=_TIME / 2,
        scaling="minmax",
        protocol="paper",
    )


def _people(windows: int, synthetic: int) -> tuple[NDArray[np.str_], NDArray[np.bool_]]:
    """Subject and stress of each window: people with `windows` windows each, then synthetic people."""
    names = [f"S{i}" for i in range(PEOPLE)], [f"SYN{i}" for i in range(synthetic)]
    subject = np.concatenate([np.repeat(names[0], windows), np.repeat(names[1], OF_SYNTHETIC).astype(str)])
    return subject, np.arange(len(subject)) % 7 < 2


def gflops_of_products() -> float:
    """Float32 GFLOP/s of one core in products of large matrices; TensorFlow must have been started."""
    # Plans import no TensorFlow.
    import tensorflow as tf

    matrix = tf.random.stateless_normal((_MATRIX, _MATRIX), (0, 0))
    rates = []
    for _ in range(_PRODUCTS):
        started = time.process_time()
        tf.linalg.matmul(matrix, matrix).numpy()
        rates.append(2 * _MATRIX**3 / (time.process_time() - started) / 1e9)
    return max(rates)


def describe(calibration: Calibration, cpu_hours: float) -> str:
    """A calibration as text, and the `cpu_hours` of a study's plan on this machine."""
    return "\n".join(_lines(calibration, cpu_hours))


def _lines(calibration: Calibration, cpu_hours: float) -> Iterator[str]:
    factor, each = calibration.factor, [timing.factor for timing in calibration.timings]
    yield f"{'training':<34}{'planned s':>11}{'measured s':>12}{'measured / planned':>20}"
    for timing in calibration.timings:
        words = f"{timing.trial.words:<34}{timing.planned:>11.2f}{timing.measured:>12.2f}"
        yield f"{words}{timing.factor:>20.2f}"
    yield (
        f"factor {factor:.2f} ({min(each):.2f} to {max(each):.2f}): a core of this machine takes so many "
        "times the hours of a plan"
    )
    yield (
        f"matrix products: {calibration.gflops:.0f} float32 GFLOP/s; the core of the plan: "
        f"{costs.REFERENCE_GFLOPS:.0f}"
    )
    yield (
        f"this study here: {cpu_hours:.2f} planned CPU hours x {factor:.2f} = {cpu_hours * factor:.2f} CPU "
        f"hours ({cpu_hours * min(each):.2f} to {cpu_hours * max(each):.2f}), on one core"
    )
