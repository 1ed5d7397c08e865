"""Right decisions of 600 of each attack on the digits of private noise

See tests/unit/privacy/test_noise_digits.py.

    python tests/benchmarks/noise_digits.py [--seen 50]

`all seen` adds up the scores of so many noised sums, each of a step whose release is seen.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.unit.privacy import test_noise_digits as digits


def line(name: str, steps: str, counts: dict[str, int], low: int, high: int) -> None:
    told = "  ".join(f"{attack} {count}" for attack, count in counts.items())
    print(f"{name:16} {steps:>12}  {told}  (a guess: {low} to {high})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seen", type=int, default=50, help="steps whose noised sums are all seen")
    arguments = parser.parse_args()
    for name in digits.VIEWS:
        for steps in (1, 50):
            game = digits.play(name, steps, digits.TINY)
            found = {attack.__name__: digits.right(attack, game) for attack in digits.ON_DIGITS}
            line(name, f"{steps} steps", found, *digits.chance(digits.best(game)))
    for name in ("noised sum", "weights, SGD"):
        for steps in (1, 50):
            game = digits.play(name, steps, digits.FULL)
            found = {"likelihood_ratio": digits.right(digits.likelihood_ratio, game)}
            line(name, f"{steps} steps", found, *digits.chance(digits.best(game)))
    total = {attack: np.zeros(digits.DECISIONS) for attack in digits.ON_DIGITS}
    for key in range(arguments.seen):
        game = digits.play.__wrapped__("noised sum", 1, digits.TINY, key)
        for attack in digits.ON_DIGITS:
            total[attack] += attack(game)
    found = {
        attack.__name__: digits.right(lambda _, score=score: score, game) for attack, score in total.items()
    }
    line("noised sums", f"{arguments.seen} all seen", found, *digits.chance(0.5))


if __name__ == "__main__":
    main()
