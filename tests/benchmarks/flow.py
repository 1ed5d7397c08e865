"""Settings of the generator `flow`, chosen on simulated cohorts, and one comparison on real recordings.

    python tests/benchmarks/flow.py [--cohorts 41 42 43 44] [--fresh 61 62]
    python tests/benchmarks/flow.py --wesad FOLDER [--generators flow moments autoencoder posterior]

The first command reads no recording of a real person. Each candidate learns from 14 simulated people;
logistic regression and forest learn from 28 synthetic subjects and are asked for 14 people of another cohort.
The last line repeats the defaults on cohorts that had no part in the choice (`--fresh`).

The second command leaves out each WESAD subject in turn (FOLDER in the official layout), and is run once,
with committed settings: it chooses nothing. Scores are of all tested windows together, quality is the mean of
every third fold.

Columns: accuracy and stress F1 by detector; then, against the windows learnt from, accuracy of one nearest
neighbour and of logistic regression (.5 is ideal), discriminative score of trees (0 is ideal), distance of
spectra in dB and the distance to the nearest real window; CPU seconds of all trainings. A line `floor`
compares halves of the real people.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import simulated_cohorts
from numpy.typing import NDArray
from simulated_cohorts import features_of
from sklearn.metrics import accuracy_score, f1_score
from tests.synthetic_sets import as_set

from pulseveil import detectors
from pulseveil.cohorts.wesad import Wesad, WesadSettings
from pulseveil.core import registry, tensorflow
from pulseveil.core.contracts import FeatureSet, SyntheticSet, WindowSet
from pulseveil.core.randomness import Stream, child, root_stream
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.privacy.budget import NOT_PRIVATE
from pulseveil.quality.classifiers import discriminator, logistic, nearest_neighbour
from pulseveil.quality.distributions import power_spectra, spectral_distance
from pulseveil.quality.neighbours import nearest_distances
from pulseveil.quality.samples import Comparisons, Pair, Sample, compare
from pulseveil.runs.generators import as_training
from pulseveil.windows.cutting import cut_windows

SUBJECTS = 28
MEASURES = ("1-NN", "logistic", "trees", "dB", "nearest")
CANDIDATES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "3 cosines": {"cosines": 3},
    "12 cosines": {"cosines": 12},
    # All coefficients but the last: the whole window in one network.
    "58 cosines": {"cosines": 58, "bands": 1},
    "1 band": {"bands": 1},
    "3 bands": {"bands": 3},
    "rate 0.001": {"learning_rate": 1e-3},
    "500 steps": {"steps": 500},
    "4000 steps": {"steps": 4000},
    "width 128": {"width": 128},
    "3 layers": {"depth": 3},
    "batch 256": {"batch_size": 256},
    "average 0.999": {"average": 0.999},
    "10 sampler steps": {"sampler_steps": 10},
}


# The cGAN as in config/sound.yaml; all others with their defaults.
OTHER_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "cgan": {
        "discriminator": "fcn",
        "learning_rate": 1e-3,
        "diversity": "effective",
        "output": "linear",
        "steps": 20000,
    }
}


class Made(NamedTuple):
    """Windows of a generator beside those it learned from, and the CPU seconds of its training."""

    real: WindowSet
    synthetic: SyntheticSet
    seconds: float


def make(kind_name: str, settings: Mapping[str, Any], real: WindowSet, stream: Stream) -> Made:
    """Train a generator without a budget on the windows `real`, and synthesize subjects."""
    kind = registry.load("generators", kind_name)
    started = time.process_time()
    model = registry.model("generators", kind_name).fit(
        kind.Settings.model_validate(settings), as_training(real, 2, NOT_PRIVATE, stream)
    )
    seconds = time.process_time() - started
    made = synthetic_subjects(model, subjects=SUBJECTS, classes=2, stream=child(stream, "sample"))
    return Made(real, as_set(made, real, generator=kind_name, unit="window", epsilon=np.inf), seconds)


def predicted(
    name: str, train: WindowSet | SyntheticSet, test: FeatureSet, stream: Stream
) -> NDArray[np.bool_]:
    """Decisions of a detector that learns from the windows `train`."""
    settings = registry.load("detectors", name).Settings()
    training = detectors.Training(features_of(train), NOT_PRIVATE, child(stream, name))
    return np.asarray(registry.model("detectors", name).fit(settings, training).score(test).predicted)


def comparisons(made: Made, stream: Stream) -> Comparisons:
    """Equally many windows of both sides, in SDs of the windows learnt from."""
    spread = made.real.windows.std(axis=(0, 1))
    sides = (Sample(side.windows / spread, side.stress, side.subject) for side in made[:2])
    return compare(*sides, None, stream)


def quality(pair: Pair, rate_hz: float, stream: Stream) -> list[float]:
    """The `MEASURES` of a pair."""
    flat = [sample.windows.reshape(len(sample.windows), -1) for sample in pair]
    powers = [power_spectra(sample.windows, rate_hz)[1] for sample in pair]
    apart, trees = logistic(pair, stream), discriminator(pair, stream)
    if apart is None or trees is None:
        raise ValueError("two people on each side are needed")
    decibel = [
        spectral_distance(powers[0][:, :, i], powers[1][:, :, i], pair.real.subject, stream).value
        for i in range(powers[0].shape[2])
    ]
    return [
        float(nearest_neighbour(pair, stream).correct.mean()),
        float(apart.correct.mean()),
        abs(float(trees.correct.mean()) - 0.5),
        float(np.mean(decibel)),
        float(nearest_distances(flat[1], flat[0]).mean()),
    ]


def floor(found: Comparisons, rate_hz: float, stream: Stream) -> list[float]:
    """The `MEASURES` between halves of the real people, mean of all halvings."""
    return list(np.mean([quality(pair, rate_hz, stream) for pair in found.floors], axis=0))


def print_row(name: str, scores: Sequence[float], likeness: Sequence[float], seconds: float) -> None:
    numbers = "".join(f"{value:>9.3f}" for value in (*scores, *likeness))
    print(f"{name:<18}{numbers}{seconds:>9.1f}", flush=True)


def print_head(models: Sequence[str]) -> None:
    names = [f"{name[:4]} {what}" for name in models for what in ("acc", "F1")]
    print(f"{'':<18}{''.join(f'{name:>9}' for name in (*names, *MEASURES, 'CPU s'))}")


def simulated(kind: str, settings: Mapping[str, Any], seed: int) -> tuple[list[float], list[float], float]:
    """Scores, likeness and CPU seconds of a generator of a simulated cohort."""
    stream, test = root_stream(seed), simulated_cohorts.strangers(seed)
    made = make(kind, settings, simulated_cohorts.windows_of(seed, "generator"), child(stream, kind))
    scores = []
    for model in ("logistic", "forest"):
        found = predicted(model, made.synthetic, test, stream)
        scores += [accuracy_score(test.stress, found), f1_score(test.stress, found)]
    pair = comparisons(made, stream).synthetic
    return scores, quality(pair, made.real.rate_hz, stream), made.seconds


def choose(cohorts: Sequence[int], fresh: Sequence[int], only: Sequence[str] | None) -> None:
    """Print all candidates on the cohorts, and the defaults on fresh ones."""
    print_head(("logistic", "forest"))
    rows: list[tuple[str, str, Mapping[str, Any], Sequence[int]]] = [
        ("moments", "moments", {}, cohorts),
        ("autoencoder", "autoencoder", {}, cohorts),
    ]
    rows += [(name, "flow", changed, cohorts) for name, changed in CANDIDATES.items()]
    rows = [row for row in rows if only is None or row[0] in only]
    rows += [("default, fresh", "flow", {}, fresh)] if fresh else []
    for name, kind, settings, seeds in rows:
        found = [simulated(kind, settings, seed) for seed in seeds]
        scores, likeness, seconds = (np.mean([one[i] for one in found], axis=0) for i in range(3))
        print_row(name, scores, likeness, float(seconds))


def wesad_windows(folder: Path) -> tuple[WindowSet, FeatureSet]:
    """Windows for generators, and features for detectors without those that the scaling has seen."""
    recordings = list(Wesad(WesadSettings(data=folder)).recordings())
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
    features = features_of(of_detectors)
    return of_generators, features.take(~features.calibration)


def folds(windows: WindowSet, features: FeatureSet) -> Iterator[tuple[WindowSet, FeatureSet]]:
    """Windows of all subjects but one, and the features of this one."""
    for name in dict.fromkeys(features.subject.tolist()):
        yield windows.take(windows.subject != name), features.take(features.subject == name)


def look(folder: Path, generators: Sequence[str], models: Sequence[str]) -> None:
    """Print each generator on WESAD, a generator per left-out subject."""
    windows, features = wesad_windows(folder)
    stream = root_stream(20240510)
    print_head(models)
    for number, kind in enumerate(generators):
        decided: dict[str, list[NDArray[np.bool_]]] = {model: [] for model in models}
        likeness, floors, seconds = [], [], 0.0
        for fold, (train, test) in enumerate(folds(windows, features)):
            own = child(stream, kind, fold)
            made = make(kind, OTHER_SETTINGS.get(kind, {}), train, own)
            seconds += made.seconds
            for model in models:
                decided[model].append(predicted(model, made.synthetic, test, own))
            if fold % 3 == 0:
                found = comparisons(made, child(stream, fold))
                likeness.append(quality(found.synthetic, windows.rate_hz, stream))
                floors += [] if number else [floor(found, windows.rate_hz, stream)]
        scores = []
        for model in models:
            answers = np.concatenate(decided[model])
            scores += [accuracy_score(features.stress, answers), f1_score(features.stress, answers)]
        print_row(kind, scores, list(np.mean(likeness, axis=0)), seconds)
        if floors:
            print_row("floor", [np.nan] * len(scores), list(np.mean(floors, axis=0)), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohorts", type=int, nargs="+", default=[41, 42, 43, 44])
    parser.add_argument("--fresh", type=int, nargs="*", default=[61, 62])
    parser.add_argument("--only", nargs="+", help="candidates by name")
    parser.add_argument("--wesad", type=Path, help="folder of WESAD in the official layout")
    parser.add_argument("--generators", nargs="+", default=["flow", "moments", "autoencoder", "posterior"])
    parser.add_argument("--detectors", nargs="+", default=["logistic", "forest", "cnn"])
    options = parser.parse_args()
    tensorflow.start(1)
    if options.wesad is None:
        choose(options.cohorts, options.fresh, options.only)
    else:
        look(options.wesad, options.generators, options.detectors)


if __name__ == "__main__":
    main()
