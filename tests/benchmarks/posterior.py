"""What detectors learn from private people, on simulated cohorts.

    python tests/benchmarks/posterior.py [--cohorts 101 102] [--draws 10] [--epsilons inf 10 1] [--people 7]

prints, for each unit and epsilon, accuracy and stress F1 (means over cohorts and noise draws) of a detector
on people whom no cohort knows: for each question that a query may ask, and for the question that
the settings choose by the noise. Questions and clip norms were chosen by this. `--level` makes the cohorts
harder (`drifting_cohorts`): people drift and respond otherwise than the literature says.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.simulated_cohorts import PEOPLE, of_rule, tstr

from pulseveil.generators.posterior import OF_PEOPLE, OF_WINDOWS, PosteriorSettings
from pulseveil.privacy.budget import Budget, Population, Unit

SYNTHETIC_SUBJECTS = 28
WINDOWS, STRESS_SHARE = 70, 660 / 2192


def questions(unit: Unit) -> dict[str, dict[str, object]]:
    """Settings that ask one question whatever the noise, and the default ones."""
    key, listed = ("of_people", OF_PEOPLE) if unit == "subject" else ("of_windows", OF_WINDOWS)
    alone = {
        f"{len(q.statistics)} statistics, clip norm {q.clip_norm:g}": {key: [q.model_dump() | {"noise": 1e9}]}
        for q in listed
    }
    return {"as the settings choose": {}} | (alone if len(alone) > 1 else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cohorts", type=int, nargs="+", default=[101, 102, 103, 104])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--epsilons", type=float, nargs="+", default=[np.inf, 10.0, 3.0, 1.0, 0.1])
    parser.add_argument("--people", type=int, default=PEOPLE, help="people who train, of 14")
    parser.add_argument("--synthetic", type=int, default=SYNTHETIC_SUBJECTS, help="synthetic people")
    parser.add_argument("--detector", default="logistic", help="detector that learns from them, such as cnn")
    parser.add_argument("--level", type=float, help="how much people drift and respond otherwise")
    parser.add_argument("--units", nargs="+", default=["subject", "window"])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=NUMBER", help="other settings")
    options = parser.parse_args()
    changed = {key: float(value) for key, _, value in (item.partition("=") for item in options.set)}
    PosteriorSettings.model_validate(changed)
    for name in ("public_signs", "public_signs_three"):
        rule = np.mean([of_rule(seed, options.level, name) for seed in options.cohorts], axis=0)
        print(f"{name}: {rule[0]:.3f} / {rule[1]:.3f}", flush=True)
    for unit in options.units:
        for epsilon in options.epsilons:
            for words, settings in questions(unit).items():
                budget = Budget(epsilon, 1e-5, unit, Population(options.people, WINDOWS, STRESS_SHARE))
                taught = [
                    tstr(
                        "posterior",
                        settings | changed,
                        seed,
                        budget,
                        options.synthetic,
                        draw,
                        options.people,
                        options.detector,
                        options.level,
                    )
                    for seed in options.cohorts
                    for draw in range(options.draws)
                ]
                found = np.array([one.scores for one in taught])
                found = found.reshape(len(options.cohorts), options.draws, 2)
                mean, worst = found.mean(axis=(0, 1)), found.min(axis=(0, 1))
                print(
                    f"{unit:8} epsilon {epsilon:<5g} {words:30} {mean[0]:.3f} / {mean[1]:.3f}   "
                    f"worst {worst[0]:.3f}   SD of draws {found.std(axis=1).mean(axis=0)[0]:.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
