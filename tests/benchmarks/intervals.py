"""Coverage and power of intervals of a mean difference over few people: the choice of `summary.intervals`.

    python tests/benchmarks/intervals.py [--draws 2000] [--cohorts 0]

A draw is n people, each with the difference of two accuracies. Columns, per method:

coverage  share of draws whose 95 % interval holds the mean of all people;
false     share of draws whose interval lies above this mean: a false "better" where the truth is "equal"
          (2.5 % is nominal);
power     share of draws whose interval lies above 0, which is below the mean of every shape.

Shapes are stated here (`SHAPES`) and never taken from tested people. Skew to the left is that of accuracies
near 1 minus the nearly constant accuracy of a rule; to the right, that of a model that equals a rule for most
people; `ties` are differences of a few windows of 36. `rare` is beyond any method: a person in 16 is far
below the others, and most draws hold none or one of them. `--cohorts` adds people of simulated cohorts:
logistic regression, learnt from one cohort and tested on people of another, minus always answering 'no
stress' (`sim_rest`) or minus the literature rule (`sim_signs`); people are then drawn from these people.

Chosen is the method that falls short of its coverage by more than `TOLERANCE` for the fewest shapes, at
n = 15 and at n = 5; power decides between equals. An interval that holds all of -1 to 1 covers everything and
says nothing: a method that can have no other interval at n = 5 is no candidate.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pulseveil.core import registry
from pulseveil.core.randomness import root_stream
from pulseveil.detectors import Training
from pulseveil.privacy.budget import NOT_PRIVATE
from pulseveil.summary.intervals import LEVEL, paired_claims

Floats = NDArray[np.float64]
Limits = tuple[Floats, Floats]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]

SIZES = (5, 8, 15, 30)
TOLERANCE = 0.03
WINDOWS = 36
# Of the mean of a shape; its standard error is below .001.
MANY = 1_000_000
# 2^n subsets of n people.
MOST_FOR_SIGN_FLIPS = 15
TAIL = (1 - LEVEL) / 2
LEVEL_OF_PEOPLE = 1.0


def _accuracies(rng: np.random.Generator, a: float, b: float, size: tuple[int, ...]) -> Floats:
    return rng.binomial(WINDOWS, rng.beta(a, b, size)) / WINDOWS


def _left(rng: np.random.Generator, size: tuple[int, ...]) -> Floats:
    return _accuracies(rng, 8, 1.2, size) - 0.7 - 0.02 * rng.standard_normal(size)


def _strong_left(rng: np.random.Generator, size: tuple[int, ...]) -> Floats:
    return _accuracies(rng, 4, 0.4, size) - 0.72


def _two_groups(rng: np.random.Generator, size: tuple[int, ...]) -> Floats:
    worse = rng.random(size) < 0.13
    return np.where(worse, -0.15 + 0.1 * rng.standard_normal(size), 0.21 + 0.05 * rng.standard_normal(size))


def _right(rng: np.random.Generator, size: tuple[int, ...]) -> Floats:
    equal = rng.random(size) < 0.7
    return np.where(equal, 0.02 * rng.standard_normal(size), 0.5 * rng.beta(2, 3, size))


def _ties(rng: np.random.Generator, size: tuple[int, ...]) -> Floats:
    return rng.integers(-3, 6, size) * (rng.random(size) < 0.5) / WINDOWS


def _rare(rng: np.random.Generator, size: tuple[int, ...]) -> Floats:
    return np.where(rng.random(size) < 1 / 16, -0.45, 0.1) + 0.02 * rng.standard_normal(size)


SHAPES: Mapping[str, Draw] = {
    "normal": lambda rng, size: 0.06 + 0.1 * rng.standard_normal(size),
    "left": _left,
    "strong_left": _strong_left,
    "two_groups": _two_groups,
    "right": _right,
    "ties": _ties,
    "heavy": lambda rng, size: np.clip(0.05 + 0.06 * rng.standard_t(3, size), -1, 1),
    "rare": _rare,
}


def bootstrap_t(values: Floats) -> Limits:
    """The procedure of PulseVeil."""
    found = paired_claims(values, root_stream(0))
    return found.low, found.high


def student(values: Floats) -> Limits:
    """Student's t."""
    n = values.shape[1]
    half = stats.t.ppf(1 - TAIL, n - 1) * stats.sem(values, axis=1)
    return values.mean(axis=1) - half, values.mean(axis=1) + half


def skew_corrected(values: Floats) -> Limits:
    """Student's t of Hall's transformation, which corrects for skew (Hall 1992, JRSS B 54, 221)."""
    n, mean, spread = values.shape[1], values.mean(axis=1), values.std(axis=1, ddof=1)
    skew = stats.skew(values, axis=1)
    skew = np.where(np.abs(skew) > 1e-6, skew, 1e-6)[:, np.newaxis]
    q = stats.t.ppf([TAIL, 1 - TAIL], n - 1) / np.sqrt(n)
    moved = 3 / skew * (np.cbrt(1 + skew * (q - skew / (6 * n))) - 1)
    return mean - spread * moved[:, 1], mean - spread * moved[:, 0]


def bca(values: Floats) -> Limits:
    """Bias-corrected and accelerated bootstrap of SciPy; a point where all values are equal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = stats.bootstrap(
            (values,), np.mean, axis=1, n_resamples=999, method="BCa", rng=np.random.default_rng(0), batch=50
        ).confidence_interval
    mean = values.mean(axis=1)
    return np.where(np.isnan(found.low), mean, found.low), np.where(np.isnan(found.high), mean, found.high)


def sign_flips(values: Floats) -> Limits:
    """All centres of symmetry that the exact sign-flip test does not reject.

    A pattern of signs is at least as extreme as the observed one if the mean of the values with flipped signs
    is beyond the centre: the limits are order statistics of the means of all subsets (Hartigan 1969). With 5
    values no pattern is rare enough, and the interval is all of -1 to 1.
    """
    n = values.shape[1]
    tail = int(TAIL * 2**n)
    if tail < 1:
        return np.full(len(values), -1.0), np.full(len(values), 1.0)
    members = ((np.arange(1, 2**n) >> np.arange(n)[:, np.newaxis]) & 1).astype(np.float64)
    weights = members / members.sum(axis=0)
    parts = [
        np.partition(rows @ weights, (tail - 1, 2**n - 1 - tail), axis=1)[:, [tail - 1, 2**n - 1 - tail]]
        for rows in np.array_split(values, max(1, len(values) // 100))
    ]
    low, high = np.concatenate(parts).T
    return low, high


def signed_ranks(values: Floats) -> Limits:
    """All centres of symmetry that Wilcoxon's signed-rank test does not reject (Hodges and Lehmann 1963)."""
    n = values.shape[1]
    first, second = np.triu_indices(n)
    walsh = np.sort((values[:, first] + values[:, second]) / 2, axis=1)
    ways = np.ones(1)
    for rank in range(1, n + 1):
        ways = np.convolve(ways, np.eye(1, rank + 1)[0] + np.eye(1, rank + 1, rank)[0])
    tail = int(np.sum(np.cumsum(ways) / 2**n <= TAIL))
    if tail < 1:
        return np.full(len(values), -1.0), np.full(len(values), 1.0)
    return walsh[:, tail - 1], walsh[:, -tail]


METHODS: Mapping[str, Callable[[Floats], Limits]] = {
    "bootstrap-t": bootstrap_t,
    "t": student,
    "Hall": skew_corrected,
    "BCa": bca,
    "sign-flip": sign_flips,
    "Wilcoxon": signed_ranks,
}


def simulated_people(cohorts: int) -> dict[str, Draw]:
    """Shapes of the people of that many simulated cohorts, 14 people each."""
    # Imported only on demand: simulating takes seconds per cohort, and stated shapes need none.
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.benchmarks.simulated_cohorts import learnt_from, strangers

    def per_person(name: str, seed: int) -> Floats:
        kind, rows = registry.load("detectors", name), strangers(seed, LEVEL_OF_PEOPLE)
        fitted = registry.model("detectors", name).fit(
            kind.Settings(), Training(learnt_from(seed), NOT_PRIVATE, root_stream(seed))
        )
        right = np.asarray(fitted.score(rows).predicted) == rows.stress
        _, person = np.unique(rows.subject, return_inverse=True)
        return np.bincount(person, right) / np.bincount(person)

    names = ("logistic", "majority", "public_signs")
    found = {name: np.concatenate([per_person(name, seed) for seed in range(cohorts)]) for name in names}
    shapes: dict[str, Draw] = {}
    for shape, rule in (("sim_rest", "majority"), ("sim_signs", "public_signs")):
        people = found["logistic"] - found[rule]
        shapes[shape] = lambda rng, size, people=people: rng.choice(people, size)
    return shapes


def table(shapes: Mapping[str, Draw], draws: int) -> Iterator[str]:
    """Lines of the table."""
    yield "  n shape         mean  skew " + "".join(f"| {name:^20} " for name in METHODS)
    yield " " * 29 + "| coverage false power " * len(METHODS)
    for n in SIZES:
        within = dict.fromkeys(METHODS, 0)
        for shape, draw in shapes.items():
            rng = np.random.default_rng(n)
            everybody, values = draw(rng, (MANY,)), draw(rng, (draws, n))
            mean = everybody.mean()
            line = f"{n:3} {shape:11} {mean:+.3f} {stats.skew(everybody):+5.1f} "
            for name, method in METHODS.items():
                if name == "sign-flip" and n > MOST_FOR_SIGN_FLIPS:
                    line += f"| {'':20} "
                    continue
                low, high = method(values)
                covered = np.mean((low <= mean) & (mean <= high))
                within[name] += int(covered >= LEVEL - TOLERANCE)
                line += f"| {covered:8.3f} {np.mean(low > mean):5.3f} {np.mean(low > 0):5.2f} "
            yield line
        counts = ", ".join(f"{name} {count}" for name, count in within.items())
        yield f"{n:3} shapes of {len(shapes)} with a coverage of at least {LEVEL - TOLERANCE:.2f}: {counts}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000, help="draws per shape and size")
    parser.add_argument("--cohorts", type=int, default=0, help="simulated cohorts of 14 people; 0: none")
    asked = parser.parse_args()
    shapes = {**SHAPES, **(simulated_people(asked.cohorts) if asked.cohorts else {})}
    for line in table(shapes, asked.draws):
        print(line, flush=True)


if __name__ == "__main__":
    main()
