"""Do people of `posterior` teach forests and networks better with shapes learnt from public people?

    python tests/benchmarks/shapes.py [--cohorts 101 ... 108] [--level 1]
    python tests/benchmarks/shapes.py --wesad FOLDER --stress-predict FOLDER

Shapes are what windows of one person and class have beside their means: residuals of the 18 statistics, and
courses of SD 1. `prior` takes them from the prior (random walks, or windows of public people); `flow` and
`autoencoder` learn windows of public people alone, and each class takes the shapes of its learnt windows.
Nothing else changes, nor does the privacy spent. `wide phasic` keeps the shapes of the prior, and lets the
mean of phasic EDA, which no query asks, differ between people by 1.2, as version 1 of `posterior` did, not by
.06.

The first command reads no recording of a real person: it asks 14 people of another cohort, and takes five
people of a third one for public. `--level` makes all cohorts harder (`drifting_cohorts`). The second command
leaves out each WESAD subject in turn, with Stress-Predict for public, and chooses nothing.

Columns: accuracy and stress F1 by detector (means over cohorts, or over draws of all tested windows); then
against the windows learnt from, as in flow.py: accuracy of one nearest neighbour and of logistic regression,
score of trees, distance of spectra in dB and distance to the nearest real window.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from pulseveil import detectors
from pulseveil.cohorts.empatica import Empatica, EmpaticaSettings
from pulseveil.cohorts.wesad import Wesad, WesadSettings
from pulseveil.core import registry, tensorflow
from pulseveil.core.contracts import STRESS, FeatureSet, SyntheticSet, WindowSet
from pulseveil.core.randomness import Stream, child, root_stream
from pulseveil.generators import PublicPeople, Training
from pulseveil.generators.posterior import Posterior, PosteriorSettings
from pulseveil.generators.prior_only import PriorOnly
from pulseveil.generators.public_prior import NAMES, Pool, statistics_of, walks
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.privacy.budget import NOT_PRIVATE, Budget, Population
from pulseveil.privacy.noise import reproducible
from pulseveil.runs.generators import as_training, public_people

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))
from tests.benchmarks.flow import MEASURES, comparisons, quality
from tests.benchmarks.flow import Made as Compared
from tests.benchmarks.people import DELTA, SEED, STRESS_SHARE, WINDOWS, question, recorded
from tests.benchmarks.simulated_cohorts import features_of, strangers, windows_of
from tests.synthetic_sets import as_set

SUBJECTS = 28
LEARNT = 1000
PUBLIC_PEOPLE = 5
# Seeds of public cohorts are so much larger than those of the cohorts that train.
PUBLIC = 500
DETECTORS = ("logistic", "forest", "cnn")
WIDE_PHASIC_SD = 1.2
LEARNERS: Mapping[str, Mapping[str, Any]] = {
    "flow": {},
    "autoencoder": {},
    # As many coefficients as `flow` learns, and a larger network.
    "autoencoder 6": {"coefficients": 6, "hidden": 32, "latent": 8},
}


@dataclass(frozen=True, eq=False)
class Shaped:
    """People of `posterior` whose windows of each class, rest and stress, have the shapes of a pool."""

    of_classes: tuple[PriorOnly, PriorOnly]

    @property
    def noise_size(self) -> int:
        return self.of_classes[0].noise_size

    @property
    def person_noise(self) -> int:
        return self.of_classes[0].person_noise

    def sample(self, condition: NDArray[np.int8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        rest, stress = (model.sample(condition, noise) for model in self.of_classes)
        return np.where((condition == STRESS)[:, np.newaxis, np.newaxis], stress, rest)


def learnt_pools(learner: str, people: PublicPeople, rate_hz: float) -> tuple[Pool, Pool]:
    """Residuals and courses of windows at rest and under stress of a model of public people."""
    kind = registry.load("generators", learner.split()[0])
    training = Training(
        people.windows, people.stress.astype(np.int8), people.subject, 2, NOT_PRIVATE, root_stream(SEED)
    )
    settings = kind.Settings.model_validate(LEARNERS[learner])
    model = registry.model("generators", learner.split()[0]).fit(settings, training)
    rng, codes = np.random.default_rng(SEED), np.repeat(np.arange(2, dtype=np.int8), LEARNT)
    made = model.sample(codes, rng.standard_normal((len(codes), model.noise_size), dtype=np.float32))
    rest, stress = (_pool(made[codes == code], rate_hz) for code in (0, STRESS))
    return rest, stress


def _pool(windows: NDArray[np.float32], rate_hz: float) -> Pool:
    statistics = statistics_of(windows, rate_hz)
    # Steps whose walk is the window itself.
    courses = walks(np.diff(windows.astype(np.float64), axis=1, prepend=0.0), rate_hz)
    return Pool(statistics - statistics.mean(axis=0), courses)


def people_of(
    windows: WindowSet,
    budget: Budget,
    stream: Stream,
    public: PublicPeople,
    candidate: tuple[str, str],
    pools: Mapping[str, tuple[Pool, Pool]],
) -> SyntheticSet:
    """Synthetic people of a candidate, a prior and its shapes; `pools` by learner."""
    prior, shapes = candidate
    settings = PosteriorSettings.model_validate({"prior": prior})
    private = as_training(windows, 2, budget, child(stream, "fit"), public=(public,))
    model: Any = Posterior.fit(settings, private)
    if shapes == "wide phasic":
        model = PriorOnly.from_arrays(settings, {**model.arrays(), **_wide_phasic(model.arrays())})
    elif shapes != "prior":
        rest, stress = (
            PriorOnly.from_arrays(settings, {**model.arrays(), **vars(pool)}) for pool in pools[shapes]
        )
        model = Shaped((rest, stress))
    made = synthetic_subjects(model, subjects=SUBJECTS, classes=2, stream=child(stream, "sample"))
    return as_set(made, windows, generator="posterior", unit="subject", epsilon=budget.epsilon)


def _wide_phasic(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """SDs between people with that of the mean of phasic EDA replaced."""
    is_phasic = np.array(NAMES) == "eda_phasic_mean"
    return {
        name: np.where(is_phasic, WIDE_PHASIC_SD, arrays[name]) for name in ("difference_sd", "midpoint_sd")
    }


def decided(detector: str, train: FeatureSet, test: FeatureSet, stream: Stream) -> NDArray[np.bool_]:
    """Decisions on `test` of a detector that learns from `train`."""
    training = detectors.Training(train, NOT_PRIVATE, child(stream, detector))
    settings = registry.load("detectors", detector).Settings()
    return np.asarray(registry.model("detectors", detector).fit(settings, training).score(test).predicted)


def scores(test: FeatureSet, found: NDArray[np.bool_]) -> list[float]:
    return [accuracy_score(test.stress, found), f1_score(test.stress, found, zero_division=0)]


def line(name: str, epsilon: float, values: Sequence[float]) -> str:
    return f"{name:<28}{epsilon:>5g}" + "".join(f"{value:>9.3f}" for value in values)


@cache
def simulated_pool(seed: int, level: float | None) -> PublicPeople:
    """Five people of another cohort, for public."""
    windows = windows_of(seed + PUBLIC, "generator", level)
    few = windows.take(np.isin(windows.subject, np.unique(windows.subject)[:PUBLIC_PEOPLE]))
    return public_people(["public"], [few])[0]


def simulated(options: argparse.Namespace, candidates: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Lines of the candidates on simulated cohorts, and paired differences to the prior's own shapes."""
    learners = [name for name in LEARNERS if name in options.shapes]
    pools = {
        seed: {name: learnt_pools(name, simulated_pool(seed, options.level), 1.0) for name in learners}
        for seed in options.cohorts
    }
    for epsilon in options.epsilons:
        own: dict[str, NDArray[np.float64]] = {}
        for candidate in candidates:
            found = []
            for seed, draw in product(options.cohorts, range(options.draws)):
                windows, test = windows_of(seed, "generator", options.level), strangers(seed, options.level)
                stream = child(root_stream(seed), "shapes", draw)
                noise = reproducible(child(stream, "noise"))
                people = Population(len(np.unique(windows.subject)), WINDOWS, STRESS_SHARE)
                budget = Budget(epsilon, DELTA, "subject", people, noise)
                public = simulated_pool(seed, options.level)
                made = people_of(windows, budget, stream, public, candidate, pools[seed])
                train = features_of(made)
                taught = [s for name in DETECTORS for s in scores(test, decided(name, train, test, stream))]
                pair = comparisons(Compared(windows, made, 0.0), stream).synthetic
                found.append([*taught, *quality(pair, windows.rate_hz, stream)])
            values = np.array(found).reshape(len(options.cohorts), options.draws, -1).mean(axis=1)
            yield line(" ".join(candidate), epsilon, values.mean(axis=0))
            own.setdefault(candidate[0], values)
            if candidate[1] != "prior":
                change = values - own[candidate[0]]
                error = change.std(axis=0, ddof=1) / np.sqrt(len(change))
                yield line("  change", epsilon, change.mean(axis=0))
                yield line("  its standard error", epsilon, error)


def wesad(options: argparse.Namespace, candidates: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Lines of the candidates on WESAD, leaving out one person in turn; CNN and likeness for one draw."""
    labels = options.stress_predict / "labels.csv"
    cohorts = {
        "wesad": recorded(Wesad(WesadSettings(data=options.wesad))),
        "stress_predict": recorded(Empatica(EmpaticaSettings(data=options.stress_predict, labels=labels))),
    }
    asked = question("loso", "wesad", cohorts)
    (public,), test = asked.public, asked.tested
    pools = {name: learnt_pools(name, public, 1.0) for name in LEARNERS if name in options.shapes}
    for epsilon, candidate in product(options.epsilons, candidates):
        found: dict[str, list[list[float]]] = {name: [] for name in DETECTORS}
        likeness = []
        for draw in range(options.draws):
            used = DETECTORS if draw == 0 else DETECTORS[:2]
            answers = {name: np.zeros(len(test), bool) for name in used}
            for number, fold in enumerate(asked.folds):
                windows = asked.train.windows.take(np.isin(asked.train.windows.subject, fold.train_subjects))
                stream = child(root_stream(SEED), "shapes", draw, fold.name, f"{epsilon}")
                people = Population(len(fold.train_subjects), WINDOWS, STRESS_SHARE)
                budget = Budget(epsilon, DELTA, "subject", people, reproducible(child(stream, "noise")))
                made = people_of(windows, budget, stream, public, candidate, pools)
                train, rows = features_of(made), np.isin(test.subject, fold.test_subjects)
                for name in used:
                    answers[name][rows] = decided(name, train, test.take(rows), stream)
                if draw == 0 and number % 5 == 0:
                    pair = comparisons(Compared(windows, made, 0.0), stream).synthetic
                    likeness.append(quality(pair, windows.rate_hz, stream))
            for name in used:
                found[name].append(scores(test, answers[name]))
        taught = [s for name in DETECTORS for s in np.mean(found[name], axis=0)]
        yield line(" ".join(candidate), epsilon, [*taught, *np.mean(likeness, axis=0)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohorts", type=int, nargs="+", default=list(range(101, 109)))
    parser.add_argument("--level", type=float, help="how much people drift and respond otherwise")
    parser.add_argument("--wesad", type=Path, help="folder of WESAD in the official layout")
    parser.add_argument("--stress-predict", type=Path)
    parser.add_argument("--priors", nargs="+", default=["literature", "pool"])
    parser.add_argument(
        "--shapes", nargs="+", default=["prior", *LEARNERS, "wide phasic"], help="`prior` comes first"
    )
    parser.add_argument("--epsilons", nargs="+", type=float, default=[10.0])
    parser.add_argument("--draws", type=int, default=1)
    options = parser.parse_args()
    tensorflow.start(1)
    names = [f"{name[:4]} {what}" for name in DETECTORS for what in ("acc", "F1")]
    print(f"{'':<28}{'eps':>5}{''.join(f'{name:>9}' for name in (*names, *MEASURES))}", flush=True)
    candidates = list(product(options.priors, options.shapes))
    lines = simulated(options, candidates) if options.wesad is None else wesad(options, candidates)
    for text in lines:
        print(text, flush=True)


if __name__ == "__main__":
    main()
