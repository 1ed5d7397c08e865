"""How the private networks are best trained: chosen on simulated cohorts.

    python tests/benchmarks/private_networks.py [--detectors cnn] [--epsilons 10 1] [--units window subject]

Each candidate learns from 14 simulated people and is asked for 14 others. Prints accuracy, stress F1 and CPU
seconds of a training, beside the published steps, the network without a budget and the rule of public signs.
No recording of a real person is read.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping
from typing import Any

import simulated_cohorts

from pulseveil.core import registry, tensorflow
from pulseveil.core.randomness import child, root_stream
from pulseveil.detectors import Training
from pulseveil.privacy.budget import NOT_PRIVATE, Budget, Population, Unit
from pulseveil.privacy.noise import reproducible

DELTA = 1e-5
POPULATION = Population(subjects=simulated_cohorts.PEOPLE, windows_per_subject=37, stress_share=0.3)
# The noise on a gradient grows with its length: networks of fewer values are less disturbed.
SIZES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "small": {
        "cnn": {"filters": 8, "dense_units": (16, 8)},
        "cnn_lstm": {"filters": 8, "lstm_units": (8, 8), "dense_units": (16, 8)},
        "transformer": {"blocks": 2, "heads": 2, "head_size": 8, "dense_units": 16},
    },
    "smallest": {
        "cnn": {"filters": 4, "dense_units": (8, 4)},
        "cnn_lstm": {"filters": 4, "lstm_units": (4, 4), "dense_units": (8, 4)},
        "transformer": {"blocks": 1, "heads": 1, "head_size": 8, "dense_units": 8},
    },
}
# Size and training by name.
CANDIDATES: Mapping[str, tuple[str, Mapping[str, Any] | None]] = {
    "published": ("published", None),
    "published, 100 x 250, 3e-3": ("published", {"steps": 100, "learning_rate": 3e-3}),
    "small, 100 x 250, 3e-3": ("small", {"steps": 100, "learning_rate": 3e-3}),
    "small, 50 x 250, 1e-2": ("small", {"steps": 50, "learning_rate": 1e-2}),
    "small, 100 x 250, 1e-2": ("small", {"steps": 100, "learning_rate": 1e-2}),
    "small, 50 x 250, 3e-2": ("small", {"steps": 50, "learning_rate": 3e-2}),
    "small, 100 x 250, 3e-2": ("small", {"steps": 100, "learning_rate": 3e-2}),
    "small, 100 x 250, sgd .3": ("small", {"steps": 100, "optimizer": "sgd", "learning_rate": 0.3}),
    "smallest, 100 x 250, 1e-2": ("smallest", {"steps": 100, "learning_rate": 1e-2}),
    "smallest, 100 x 250, 3e-2": ("smallest", {"steps": 100, "learning_rate": 3e-2}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detectors", nargs="+", default=["cnn"])
    parser.add_argument("--units", nargs="+", default=["window"], choices=("subject", "window"))
    parser.add_argument("--epsilons", type=float, nargs="+", default=[10.0])
    parser.add_argument("--cohorts", type=int, nargs="+", default=[51])
    parser.add_argument("--only", nargs="+", default=list(CANDIDATES), choices=list(CANDIDATES))
    options = parser.parse_args()
    tensorflow.start(1)
    header = f"{'cohort':<8}{'model':<14}{'unit':<9}{'epsilon':>8}  {'candidate':<28}"
    print(f"{header}{'accuracy':>9}{'F1':>7}{'CPU s':>8}")
    for seed in options.cohorts:
        _print(seed, "public_signs", "-", 0.0, "-", _of(seed, "public_signs", {}, NOT_PRIVATE))
        for name in options.detectors:
            _print(seed, name, "-", math.inf, "published", _of(seed, name, {}, NOT_PRIVATE))
            for unit in options.units:
                for epsilon in options.epsilons:
                    for candidate in options.only:
                        size, training = CANDIDATES[candidate]
                        settings = dict(SIZES[size][name]) if size in SIZES else {}
                        settings |= {} if training is None else {"private": training}
                        found = _of(seed, name, settings, _budget(epsilon, unit, seed))
                        _print(seed, name, unit, epsilon, candidate, found)


def _budget(epsilon: float, unit: Unit, seed: int) -> Budget:
    return Budget(epsilon, DELTA, unit, POPULATION, reproducible(child(root_stream(seed), "noise")))


def _of(seed: int, name: str, settings: Mapping[str, Any], budget: Budget) -> tuple[float, float, float]:
    """Accuracy, stress F1 and CPU seconds of a training."""
    kind = registry.load("detectors", name)
    started = time.process_time()
    training = Training(simulated_cohorts.learnt_from(seed), budget, root_stream(seed))
    fitted = registry.model("detectors", name).fit(kind.Settings.model_validate(settings), training)
    seconds = time.process_time() - started
    return *simulated_cohorts.scores(fitted, seed), seconds


def _print(
    seed: int, name: str, unit: str, epsilon: float, candidate: str, found: tuple[float, float, float]
) -> None:
    accuracy, f1, seconds = found
    names = f"{seed:<8}{name:<14}{unit:<9}{epsilon:>8g}  {candidate:<28}"
    print(f"{names}{accuracy:>9.3f}{f1:>7.3f}{seconds:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
