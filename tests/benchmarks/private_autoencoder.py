"""How an autoencoder is best trained, without privacy and within a budget: chosen on simulated cohorts.

    python tests/benchmarks/private_autoencoder.py [--epsilons inf 10 1] [--units subject window]

Each candidate learns from the windows of 14 simulated people; logistic regression learns from 28 synthetic
subjects and is asked for the 14 people of another cohort (TSTR). Prints accuracy and stress F1, each the mean
over cohorts, the standard error of their mean, the two-sample score against the windows learnt from (.5 is
ideal) and the CPU seconds of a training, beside moments within the same budget and the rule of public signs.
The defaults are one setting for all cells, near the best of each by the mean of accuracy and F1; the last
lines of a cell repeat them on cohorts that had no part in that (`--fresh`).
No recording of a real person is read.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
import simulated_cohorts

from pulseveil.core import tensorflow
from pulseveil.core.randomness import child, root_stream
from pulseveil.privacy.budget import Budget, Population, Unit
from pulseveil.quality.classifiers import logistic
from pulseveil.quality.samples import Pair, Sample

DELTA = 1e-5
POPULATION = Population(subjects=simulated_cohorts.PEOPLE, windows_per_subject=74, stress_share=0.3)
SYNTHETIC_SUBJECTS = 28

NOT_PRIVATE_CANDIDATES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "2 coefficients": {"coefficients": 2},
    "3 coefficients": {"coefficients": 3},
    "300 steps": {"steps": 300},
    "3000 steps": {"steps": 3000},
    "KL weight 0.3": {"kl_weight": 0.3},
    "latent 4, hidden 16": {"latent": 4, "hidden": 16},
}
PRIVATE_CANDIDATES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "2 coefficients": {"coefficients": 2},
    "latent 1, hidden 4": {"latent": 1, "hidden": 4},
    "latent 4, hidden 16": {"latent": 4, "hidden": 16},
    "20 steps, rate 0.05": {"private": {"steps": 20, "learning_rate": 0.05}},
    "100 steps, rate 0.01": {"private": {"steps": 100, "learning_rate": 0.01}},
    "rate 0.01": {"private": {"learning_rate": 0.01}},
    "rate 0.1": {"private": {"learning_rate": 0.1}},
    "clip 0.3": {"private": {"clip_norm": 0.3}},
    "batch 200": {"private": {"batch_size": 200}},
    "descent, rate 0.3": {"private": {"optimizer": "sgd", "learning_rate": 0.3}},
    "descent, rate 1": {"private": {"optimizer": "sgd", "learning_rate": 1.0}},
    "descent, rate 3": {"private": {"optimizer": "sgd", "learning_rate": 3.0}},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epsilons", type=float, nargs="+", default=[np.inf, 10.0, 1.0])
    parser.add_argument("--units", nargs="+", default=["subject", "window"], choices=("subject", "window"))
    parser.add_argument("--cohorts", type=int, nargs="+", default=list(range(41, 49)))
    parser.add_argument("--fresh", type=int, nargs="*", default=list(range(61, 69)))
    parser.add_argument("--only", nargs="+", help="candidates by name")
    options = parser.parse_args()
    tensorflow.start(1)
    numbers = f"{'accuracy':>9}{'F1':>7}{'+-':>7}{'two':>7}{'CPU s':>7}"
    print(f"{'unit':<9}{'epsilon':>8}  {'candidate':<26}{numbers}")
    for unit in options.units:
        for epsilon in options.epsilons:
            if np.isinf(epsilon) and unit != options.units[0]:
                continue
            _compare(unit, epsilon, options.cohorts, options.only)
            if options.fresh:
                print("  cohorts that had no part in the choice")
                _compare(unit, epsilon, options.fresh, ["default"])


def _compare(unit: Unit, epsilon: float, cohorts: list[int], only: list[str] | None) -> None:
    candidates = NOT_PRIVATE_CANDIDATES if np.isinf(epsilon) else PRIVATE_CANDIDATES
    signs = [(*simulated_cohorts.of_rule(seed), np.nan, 0.0) for seed in cohorts]
    _print(unit, epsilon, "public signs", signs)
    _print(unit, epsilon, "moments", [_tstr("moments", {}, seed, epsilon, unit) for seed in cohorts])
    for name, settings in candidates.items():
        if only is None or name in only:
            found = [_tstr("autoencoder", settings, seed, epsilon, unit) for seed in cohorts]
            _print(unit, epsilon, name, found)


def _print(unit: str, epsilon: float, name: str, found: list[tuple[float, float, float, float]]) -> None:
    accuracy, f1, two, seconds = np.mean(found, axis=0)
    merits = np.mean(np.array(found)[:, :2], axis=1)
    error = merits.std(ddof=1) / np.sqrt(len(merits)) if len(merits) > 1 else np.nan
    numbers = f"{accuracy:>9.3f}{f1:>7.3f}{error:>7.3f}{two:>7.3f}{seconds:>7.1f}"
    print(f"{unit:<9}{epsilon:>8g}  {name:<26}{numbers}", flush=True)


def _tstr(
    kind_name: str, settings: Mapping[str, Any], seed: int, epsilon: float, unit: Unit
) -> tuple[float, float, float, float]:
    """Accuracy and stress F1 of logistic regression on synthetic windows, two-sample score, CPU seconds."""
    budget = Budget(epsilon, DELTA, unit, POPULATION)
    found = simulated_cohorts.tstr(kind_name, settings, seed, budget, SYNTHETIC_SUBJECTS)
    sides = (Sample(side.windows, side.stress, side.subject) for side in (found.windows, found.synthetic))
    told_apart = logistic(Pair(*sides), child(root_stream(seed), kind_name, "two samples"))
    if told_apart is None:
        raise ValueError("two people on each side are needed")
    return *found.scores, told_apart.correct.mean(), found.seconds


if __name__ == "__main__":
    main()
