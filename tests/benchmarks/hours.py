"""Planned over measured CPU seconds of all kinds: `python tests/benchmarks/hours.py --kinds cnn --bins 210`.

One thread. The seconds are those between a short and a longer training, so that starts, compilations and
calibrations cancel; models without epochs or steps are trained whole. Rows are those of the published study:
14 people of 36 windows, for generators of 72, and, beside released windows, 15 synthetic people of 35. The
column `first` has the seconds of the first training beyond those of the second: imports and compilation.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pulseveil.core import registry, tensorflow
from pulseveil.core.contracts import FeatureSet
from pulseveil.core.randomness import child, root_stream
from pulseveil.detectors import Training
from pulseveil.privacy.budget import Budget, Population, Unit
from pulseveil.privacy.noise import reproducible
from pulseveil.runs.generators import as_training
from pulseveil.windows.features import PAPER_BINS

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks import simulated_cohorts

PEOPLE, OF_PERSON, SYNTHETIC, OF_SYNTHETIC = 14, 36, 15, 35
EPSILON, DELTA = 10.0, 1e-3
NETWORKS = ("cnn", "cnn_lstm", "transformer")
SHORT: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    **{name: ({"epochs": 1}, {"epochs": 3}) for name in NETWORKS},
    "cgan": ({"steps": 50}, {"steps": 250}),
    "dgan": ({"epochs": 2}, {"epochs": 6}),
    "timegan": (
        {"embedding_steps": 20, "supervised_steps": 20, "joint_steps": 10},
        {"embedding_steps": 120, "supervised_steps": 120, "joint_steps": 60},
    ),
    "autoencoder": ({"steps": 100}, {"steps": 500}),
    "flow": ({"steps": 100}, {"steps": 500}),
}
"""Settings of the short and of the longer training of a kind."""


@dataclass(frozen=True)
class Case:
    """A kind, its unit (None: not private), bins of the spectra, and whether released windows train too."""

    group: registry.Group
    kind: str
    unit: Unit | None
    bins: int
    released: bool

    @property
    def words(self) -> str:
        """Name of the case in the printed table."""
        beside = " beside released" if self.released else ""
        return f"{self.kind:<12} {self.unit or 'not private'}{beside}"


def cases(kinds: list[str], bins: list[int]) -> Iterator[Case]:
    for kind in kinds:
        if kind in NETWORKS:
            for number in bins:
                yield Case("detectors", kind, None, number, False)
                for unit in ("window", "subject"):
                    yield Case("detectors", kind, unit, number, False)
                    yield Case("detectors", kind, unit, number, True)
        elif kind in ("logistic", "forest", "class_means"):
            yield Case("detectors", kind, None, PAPER_BINS, False)
        else:
            yield Case("generators", kind, None, 0, False)


def features(case: Case) -> FeatureSet:
    """Random features of the people of a case."""
    random = np.random.default_rng(0)
    people = [(f"S{i}", OF_PERSON, "") for i in range(PEOPLE)]
    people += [(f"synthetic {i}", OF_SYNTHETIC, "all") for i in range(SYNTHETIC * case.released)]
    subject = np.repeat([name for name, _, _ in people], [count for _, count, _ in people])
    fold = np.repeat([fold for _, _, fold in people], [count for _, count, _ in people])
    n = len(subject)
    stress = np.arange(n) % 7 < 2
    return FeatureSet(
        features=random.normal(size=(n, 6, case.bins)).astype(np.float32),
        statistics=random.normal(size=(n, 23)).astype(np.float32),
        condition=stress.astype(np.int8),
        stress=stress,
        calibration=np.zeros(n, dtype=bool),
        subject=subject,
        fold=fold,
        start_s=np.arange(n, dtype=np.float64),
        frequency_hz=np.zeros((6, case.bins), np.float32),
        statistic_names=tuple(f"statistic {i}" for i in range(23)),
        scaling="none",
        protocol="paper",
    )


def budget(case: Case) -> Budget:
    population = Population(PEOPLE, OF_PERSON, 0.3)
    noise = reproducible(child(root_stream(0), "noise"))
    epsilon = EPSILON if case.unit else math.inf
    return Budget(epsilon, DELTA, case.unit or "subject", population, noise)


def seconds(case: Case, settings: Any, data: Any) -> float:
    """CPU seconds of one training."""
    model, stream = registry.model(case.group, case.kind), root_stream(0)
    started = time.process_time()
    if case.group == "detectors":
        model.fit(settings, Training(data, budget(case), stream))
    else:
        model.fit(settings, as_training(data, 2, budget(case), stream))
    return time.process_time() - started


def planned(case: Case, settings: Any) -> float:
    """Seconds that a plan expects of the training itself."""
    kind = registry.load(case.group, case.kind)
    rows = PEOPLE * OF_PERSON + case.released * SYNTHETIC * OF_SYNTHETIC
    if case.group == "generators":
        return float(kind.expected_seconds(settings, 2 * rows, case.unit))
    left = kind.share_without_bins if case.kind in NETWORKS else 1.0
    return float(
        (left + (1 - left) * case.bins / PAPER_BINS) * kind.expected_seconds(settings, rows, case.unit)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    known = [*NETWORKS, "logistic", "forest", "class_means"]
    parser.add_argument("--kinds", nargs="+", default=known, choices=[*known, *SHORT])
    parser.add_argument("--bins", type=int, nargs="+", default=[PAPER_BINS, 31])
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    tensorflow.start(1)
    print(
        f"{'case':<42}{'bins':>5}{'planned s':>11}{'measured s':>12}{'planned / measured':>20}{'first s':>9}"
    )
    for case in cases(options.kinds, options.bins):
        data = features(case) if case.group == "detectors" else simulated_cohorts.windows_of(1, "generator")
        kind = registry.load(case.group, case.kind)
        short, longer = (kind.Settings.model_validate(dict(keys)) for keys in SHORT.get(case.kind, ({}, {})))
        first = seconds(case, short, data)
        again = min(seconds(case, short, data) for _ in range(options.rounds))
        whole = min(seconds(case, longer, data) for _ in range(options.rounds))
        trained = case.kind in SHORT
        found = whole - again if trained else whole
        expected = planned(case, longer) - (planned(case, short) if trained else 0.0)
        print(
            f"{case.words:<42}{case.bins or '-':>5}{expected:>11.3f}{found:>12.3f}{expected / found:>20.2f}"
            f"{first - again:>9.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
