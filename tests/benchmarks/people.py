"""What detectors learn from private people of real recordings, and from the recordings themselves.

    python tests/benchmarks/people.py --wesad FOLDER --stress-predict FOLDER [--train wesad] [--tests loso]

WESAD is read in the official layout; Stress-Predict's folder also holds `labels.csv`. `--tests`: `loso`,
`order_crossed`, or `transfer`, which trains on all people of `--train` and tests the other cohort. With prior
`pool` the people of the other cohort are taken for public, which a transfer refuses.

Each row has accuracy, stress F1 and AUROC over all tested windows (means over draws of noise and people), the
worst accuracy of a draw, and accuracy minus that of the rule `public_signs_three`: mean over people with its
95 % interval (bootstrap-t, draws averaged first). Settings are those of the package: nothing is chosen here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from pulseveil import detectors
from pulseveil.cohorts import Cohort
from pulseveil.cohorts.empatica import Empatica, EmpaticaSettings
from pulseveil.cohorts.wesad import Wesad, WesadSettings
from pulseveil.core import registry, tensorflow
from pulseveil.core.arrays import Floats
from pulseveil.core.contracts import FeatureSet, WindowSet
from pulseveil.core.randomness import Stream, child, root_stream
from pulseveil.evaluation.protocols import Fold, Outline
from pulseveil.evaluation.protocols import People as PeopleOfProtocol
from pulseveil.generators import PublicPeople
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.privacy.budget import NOT_PRIVATE, Budget, Population, Unit
from pulseveil.privacy.noise import reproducible
from pulseveil.runs.generators import as_training, public_people
from pulseveil.summary.intervals import mean_intervals
from pulseveil.windows.cutting import cut_windows

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.simulated_cohorts import features_of
from tests.synthetic_sets import as_set

SEED = 20240510
DELTA = 1e-5
RULES = ("public_signs", "public_signs_three")
# The public constants of the studies of `config/`: labelled seconds of WESAD's protocol.
WINDOWS, STRESS_SHARE = 70, 600 / 2192


@dataclass(frozen=True, eq=False)
class Recorded:
    """A cohort: people with their conditions, windows for generators and features for detectors."""

    outline: Outline
    windows: WindowSet
    features: FeatureSet


@dataclass(frozen=True, eq=False)
class Question:
    """Who trains and who is tested, and the public people, if there are any.

    tested: features of the tested people, without calibration windows.
    """

    train: Recorded
    tested: FeatureSet
    folds: tuple[Fold, ...]
    public: tuple[PublicPeople, ...]


@dataclass(frozen=True)
class Row:
    """A detector that learns from synthetic people of a generator, or from real people (generator `none`)."""

    generator: str
    detector: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    unit: Unit = "subject"
    epsilon: float = np.inf
    synthetic: int = 0


def recorded(cohort: Cohort) -> Recorded:
    """Windows and features of a cohort in the sound protocol."""
    recordings = list(cohort.recordings())
    of_generators, of_detectors = (
        cut_windows(
            iter(recordings),
            protocol="sound",
            channels="physiological",
            scaling="calibration",
            window_s=60,
            stride_s=stride,
            audience=audience,
        )
        for stride, audience in ((30, "generator"), (60, "detector"))
    )
    return Recorded(cohort.outline(), of_generators, features_of(of_detectors))


def question(test: str, name: str, cohorts: Mapping[str, Recorded]) -> Question:
    """The folds of a protocol for the training cohort `name`; the other cohort is tested or public."""
    train = cohorts[name]
    other, beside = next((key, value) for key, value in cohorts.items() if key != name)
    crosses = test == "transfer"
    tested = beside if crosses else train
    people = PeopleOfProtocol(train.outline, tested.outline, "all")
    folds = registry.load("protocols", test).folds(people)
    return Question(
        train,
        tested.features.take(~tested.features.calibration),
        folds,
        # The tested people of a transfer cannot be public beside.
        () if crosses else public_people([other], [beside.windows]),
    )


def learnt_from_people(asked: Question, fold: Fold, row: Row, stream: Stream) -> FeatureSet:
    """Features of synthetic people of a generator that learns from the people of a fold."""
    kind = registry.load("generators", row.generator)
    windows = asked.train.windows.take(np.isin(asked.train.windows.subject, fold.train_subjects))
    population = Population(len(fold.train_subjects), WINDOWS, STRESS_SHARE)
    budget = Budget(row.epsilon, DELTA, row.unit, population, reproducible(child(stream, "noise")))
    model = registry.model("generators", row.generator).fit(
        kind.Settings.model_validate(row.settings),
        as_training(windows, 2, budget, stream, public=asked.public),
    )
    made = synthetic_subjects(model, subjects=row.synthetic, classes=2, stream=child(stream, "sample"))
    return features_of(
        as_set(made, windows, generator=row.generator, unit=row.unit, epsilon=row.epsilon, fold=fold.name)
    )


def answers(asked: Question, fold: Fold, detector: str, train: FeatureSet, stream: Stream) -> Floats:
    """Decision and score (2, windows) of a detector that learns from `train`, NaN outside the fold."""
    settings = registry.load("detectors", detector).Settings()
    fitted = registry.model("detectors", detector).fit(
        settings, detectors.Training(train, NOT_PRIVATE, stream)
    )
    own = np.isin(asked.tested.subject, fold.test_subjects)
    outputs = fitted.score(asked.tested.take(own))
    found = np.full((2, len(own)), np.nan)
    found[:, own] = outputs.predicted, outputs.score
    return found


def drawn(asked: Question, row: Row, draw: int) -> Floats:
    """Decision and score (2, windows) of all tested windows for one draw of noise, people and training."""
    found = np.full((2, len(asked.tested)), np.nan)
    for fold in asked.folds:
        stream = child(
            root_stream(SEED), "people", row.generator, draw, fold.name, row.unit, f"{row.epsilon}"
        )
        if row.generator == "none":
            train = asked.train.features.take(np.isin(asked.train.features.subject, fold.train_subjects))
        else:
            train = learnt_from_people(asked, fold, row, stream)
        own = answers(asked, fold, row.detector, train, child(stream, row.detector))
        found = np.where(np.isnan(found), own, found)
    return found


def told(asked: Question, row: Row, found: Floats, reference: Floats) -> str:
    """One line of the table, from the answers (draws, 2, windows) of a row and decisions of the reference."""
    truth, subject = asked.tested.stress, asked.tested.subject
    right = (found[:, 0] == truth).mean(axis=0) - (reference == truth)
    of_people = np.array([right[subject == name].mean() for name in dict.fromkeys(subject.tolist())])
    interval = mean_intervals(of_people[np.newaxis], root_stream(0), bounds=(-1.0, 1.0))
    accuracy = [accuracy_score(truth, decided) for decided in found[:, 0]]
    f1 = [f1_score(truth, decided, zero_division=0) for decided in found[:, 0]]
    auroc = [roc_auc_score(truth, score) for score in found[:, 1]]
    name = f"{row.generator} {row.settings.get('prior', '')}"
    return (
        f"{name:<22}{row.detector:<20}{row.unit:<8}{row.epsilon:>5g}{len(found):>6}"
        f"{np.mean(accuracy):>8.3f}{np.mean(f1):>7.3f}{np.mean(auroc):>7.3f}{min(accuracy):>7.3f}"
        f"{interval.mean[0]:>+8.3f} [{interval.low[0]:+.3f}, {interval.high[0]:+.3f}]"
    )


def rows_of(options: argparse.Namespace) -> Iterator[tuple[Row, int]]:
    """The rows that the options ask for, with their numbers of draws."""
    priors = [{"prior": prior} for prior in options.priors]
    for detector in options.detectors:
        yield Row("none", detector), 1
        for prior in priors:
            yield Row("prior_only", detector, prior, synthetic=options.synthetic), options.draws
            for unit in options.units:
                for epsilon in options.epsilons:
                    yield Row("posterior", detector, prior, unit, epsilon, options.synthetic), options.draws


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--wesad", type=Path, required=True)
    parser.add_argument("--stress-predict", type=Path, required=True)
    parser.add_argument("--train", choices=("wesad", "stress_predict"), default="wesad")
    parser.add_argument("--tests", nargs="+", default=["loso", "order_crossed"])
    parser.add_argument("--priors", nargs="+", default=["literature", "pool"])
    parser.add_argument("--detectors", nargs="+", default=["logistic"])
    parser.add_argument("--units", nargs="+", default=["subject"])
    parser.add_argument("--epsilons", nargs="+", type=float, default=[10.0, 1.0])
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--synthetic", type=int, default=28, help="synthetic people")
    options = parser.parse_args()
    if any(registry.load("detectors", name).uses_tensorflow for name in options.detectors):
        tensorflow.start(1)
    labels = options.stress_predict / "labels.csv"
    cohorts = {
        "wesad": recorded(Wesad(WesadSettings(data=options.wesad))),
        "stress_predict": recorded(Empatica(EmpaticaSettings(data=options.stress_predict, labels=labels))),
    }
    for test in options.tests:
        asked = question(test, options.train, cohorts)
        people = len(np.unique(asked.tested.subject))
        print(f"{options.train} {test}: {people} people, {len(asked.tested)} windows tested", flush=True)
        print(f"{'':<50}{'eps':>5}{'draws':>6}{'acc':>8}{'F1':>7}{'AUROC':>7}{'worst':>7}  - three signs")
        rules = {name: drawn(asked, Row("none", name), 0) for name in RULES}
        reference = rules[RULES[1]][0]
        for name, found in rules.items():
            print(told(asked, Row("none", name), found[np.newaxis], reference), flush=True)
        for row, draws in rows_of(options):
            found = np.stack([drawn(asked, row, draw) for draw in range(draws)])
            print(told(asked, row, found, reference), flush=True)


if __name__ == "__main__":
    main()
