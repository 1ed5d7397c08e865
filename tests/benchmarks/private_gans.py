"""How a private conditional GAN, DGAN or TimeGAN is best trained: on simulated cohorts, at window level.

    python tests/benchmarks/private_gans.py [--generator timegan] [--epsilons 10 1] [--cohorts 41 42]

Each candidate learns from the windows of 14 simulated people; logistic regression learns from 28 synthetic
subjects and is asked for the 15 people of another cohort (TSTR). Prints accuracy, stress F1 and the CPU
seconds of a training, beside moments within the same budget and the rule of public signs. No recording of a
real person is read.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import simulated_cohorts

from pulseveil.core import tensorflow
from pulseveil.privacy.budget import Budget, Population, Unit

DELTA = 1e-5
POPULATION = Population(subjects=simulated_cohorts.PEOPLE, windows_per_subject=74, stress_share=0.3)
SYNTHETIC_SUBJECTS = 28
# The bound is the diversity of simulated windows (`typical_diversity`, cohorts 1 to 3: .42 to .46).
COMMON: Mapping[str, Mapping[str, Any]] = {
    "cgan": {"output": "linear", "diversity": "effective", "diversity_bound": 0.45},
    "dgan": {"labels": "conditional", "discriminator_layers": 2},
    "timegan": {},
}

CANDIDATES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "cgan": {
        "default": {},
        "1000 steps, batch 128": {"private": {"steps": 1000, "batch_size": 128}},
        "500 steps, batch 512": {"private": {"steps": 500, "batch_size": 512}},
        "2 steps of discriminator": {"private": {"discriminator_steps": 2}},
        "5 steps of discriminator": {"private": {"discriminator_steps": 5}},
        "published width": {"private": {"width_divisor": 1}},
        "an eighth of the width": {"private": {"width_divisor": 8}},
        "rate 3e-3": {"private": {"learning_rate": 3e-3}},
        "clip 0.1": {"private": {"clip_norm": 0.1}},
    },
    "timegan": {
        "default": {},
        "2 layers": {"layers": 2},
        "rates 1e-2, 3e-3": {"private": {"embedder_rate": 1e-2, "learning_rate": 3e-3}},
        "embedder's share .8": {"private": {"embedder_share": 0.8}},
        "twice the steps": {"private": {"embedder_steps": 400, "steps": 600}},
        "2 layers, longer and faster": {
            "layers": 2,
            "private": {
                "embedder_steps": 400,
                "steps": 600,
                "embedder_rate": 1e-2,
                "learning_rate": 3e-3,
                "supervised_weight": 0.1,
            },
        },
        "clip 0.1": {"private": {"embedder_clip_norm": 0.1, "clip_norm": 0.1}},
        "not supervised": {"private": {"supervised_weight": 0}},
        "supervised, weight 10": {"private": {"supervised_weight": 10}},
    },
    "dgan": {
        "default": {},
        "labels a channel": {"labels": "channel"},
        "published layers": {"discriminator_layers": 5},
        "1 layer": {"discriminator_layers": 1},
        "penalty weight 1": {"penalty_weight": 1},
        "300 steps, 1 of discr.": {"private": {"steps": 300, "discriminator_steps": 1}},
        "a quarter of the width": {"private": {"width_divisor": 4}},
        "rate 1e-3": {"private": {"learning_rate": 1e-3}},
        "clip 0.1": {"private": {"clip_norm": 0.1}},
        "clip 3": {"private": {"clip_norm": 3.0}},
        "batch 512": {"private": {"batch_size": 512}},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epsilons", type=float, nargs="+", default=[10.0])
    parser.add_argument("--cohorts", type=int, nargs="+", default=[41], help="seeds of the private cohorts")
    parser.add_argument("--generator", choices=tuple(CANDIDATES), default="cgan")
    parser.add_argument("--only", nargs="+", help="candidates by name")
    parser.add_argument("--unit", choices=("subject", "window"), default="window")
    parser.add_argument("--discriminator", choices=("lstm", "fcn", "transformer"), default="fcn")
    options = parser.parse_args()
    common = dict(COMMON[options.generator])
    if options.generator == "cgan":
        common["discriminator"] = options.discriminator
    tensorflow.start(1)
    print(f"{'cohort':<8}{'epsilon':>8}  {'candidate':<28}{'accuracy':>9}{'F1':>7}{'CPU s':>8}", flush=True)
    for seed in options.cohorts:
        _print(seed, 0.0, "public signs", simulated_cohorts.of_rule(seed), 0.0)
        for epsilon in options.epsilons:
            moments = _tstr("moments", {}, seed, epsilon, options.unit)
            _print(seed, epsilon, "moments", *moments)
            for name, own in CANDIDATES[options.generator].items():
                if options.only is None or name in options.only:
                    found = _tstr(options.generator, common | own, seed, epsilon, options.unit)
                    _print(seed, epsilon, name, *found)


def _print(seed: int, epsilon: float, name: str, scores: tuple[float, float], seconds: float) -> None:
    print(f"{seed:<8}{epsilon:>8g}  {name:<28}{scores[0]:>9.3f}{scores[1]:>7.3f}{seconds:>8.1f}", flush=True)


def _tstr(
    kind_name: str, settings: Mapping[str, Any], seed: int, epsilon: float, unit: Unit
) -> tuple[tuple[float, float], float]:
    """Accuracy and stress F1 of a logistic regression of synthetic windows; CPU seconds of the generator."""
    budget = Budget(epsilon, DELTA, unit, POPULATION)
    found = simulated_cohorts.tstr(kind_name, settings, seed, budget, SYNTHETIC_SUBJECTS)
    return found.scores, found.seconds


if __name__ == "__main__":
    main()
