"""Why the published cGAN collapses, and settings that keep it from collapsing, on simulated cohorts.

    python tests/benchmarks/cgan_collapse.py [--cohorts 41 42] [--seeds 2] [--steps 4000] [--only NAME ...]

Reads no recording of a real person. Windows are those of `protocol: paper`, as in the published study. Each
candidate trains `--seeds` models per cohort of 15 simulated people, all side by side. CNN and logistic
regression learn from 15 synthetic subjects and are asked for 15 people of another cohort.

A line per model, and their mean. Columns: accuracy by detector; then, against the windows learnt from,
accuracy of one nearest neighbour and of logistic regression (.5 is ideal), discriminative score of trees (0
is ideal), distance of spectra in dB and the distance to the nearest real window; diversity of the synthetic
windows without and with stress as a multiple of that of the windows learnt from (1 is ideal, below .1 is a
collapse); share of values that are exactly 0; CPU seconds per training. A line `real` has the detectors learn
from the real windows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from flow import MEASURES, Made, comparisons, quality
from numpy.typing import NDArray
from simulated_cohorts import WESAD_S
from sklearn.metrics import accuracy_score
from tests.synthetic_sets import as_set

from pulseveil import detectors
from pulseveil.cohorts.simulated import Simulated
from pulseveil.core import registry, tensorflow
from pulseveil.core.contracts import FeatureSet, SyntheticSet, WindowSet
from pulseveil.core.randomness import Stream, child, root_stream
from pulseveil.generators.examples import typical_diversity
from pulseveil.generators.subjects import synthetic_subjects
from pulseveil.privacy.budget import NOT_PRIVATE
from pulseveil.runs.generators import as_training
from pulseveil.windows.cutting import cut_windows
from pulseveil.windows.features import extract_features

PEOPLE = 15
DETECTORS = ("cnn", "logistic")
# The cure is that of config/paper-cured.yaml; each other candidate leaves out or adds one part of it.
CURE: Mapping[str, Any] = {
    "discriminator": "fcn",
    "learning_rate": 1e-3,
    "diversity": "effective",
    "output": "linear",
    "average": 0.999,
}
CANDIDATES: Mapping[str, Mapping[str, Any]] = {
    "published": {},
    "published, effective diversity": {"diversity": "effective"},
    "cured": CURE,
    "without average": {**CURE, "average": 0},
    "without diversity": {**CURE, "diversity": "published"},
    "output relu": {**CURE, "output": "relu"},
    "discriminator lstm": {**CURE, "discriminator": "lstm"},
    "rate 0.0002": {**CURE, "learning_rate": 2e-4},
    "discriminator's rate 0.002": {**CURE, "discriminator_learning_rate": 2e-3},
}


@cache
def windows_of(seed: int, purpose: str) -> WindowSet:
    """Windows of 15 people with the conditions' lengths of WESAD; purpose: generator or detector."""
    settings = {"kind": "simulated", "subjects": PEOPLE, "seed": seed, **WESAD_S}
    return cut_windows(
        Simulated(Simulated.Settings.model_validate(settings)).recordings(),
        protocol="paper",
        channels="published",
        scaling="min-max",
        window_s=60,
        stride_s=30 if purpose == "generator" else 60,
        audience=purpose,
    )


def features_of(windows: WindowSet | SyntheticSet) -> FeatureSet:
    """Features as the published study has them."""
    return extract_features(windows, protocol="paper", pairing="published")


def accuracies(train: WindowSet | SyntheticSet, seed: int, stream: Stream) -> list[float]:
    """Accuracy of the `DETECTORS` that learn from `train`, on people of another cohort."""
    test = features_of(windows_of(seed + 1000, "detector"))
    found = []
    for name in DETECTORS:
        training = detectors.Training(features_of(train), NOT_PRIVATE, child(stream, name))
        settings = registry.load("detectors", name).Settings()
        fitted = registry.model("detectors", name).fit(settings, training)
        found.append(float(accuracy_score(test.stress, fitted.score(test).predicted)))
    return found


def relative_diversity(real: WindowSet, synthetic: SyntheticSet, stream: Stream) -> list[float]:
    """Diversity of the synthetic windows without and with stress, per that of the real windows."""

    def diversity(windows: NDArray[np.float32]) -> float:
        return typical_diversity(windows, np.zeros(len(windows), np.int8), stream)

    return [
        diversity(synthetic.windows[synthetic.stress == stress])
        / diversity(real.windows[real.stress == stress])
        for stress in (False, True)
    ]


def train(settings: Mapping[str, Any], cohorts: Sequence[int], seeds: int) -> list[list[float]]:
    """The columns of each model of a candidate, cohort by cohort."""
    kind, model = registry.load("generators", "cgan"), registry.model("generators", "cgan")
    streams = [child(root_stream(seed), "cgan", number) for seed in cohorts for number in range(seeds)]
    learned_from = [windows_of(seed, "generator") for seed in cohorts for _ in range(seeds)]
    trainings = [
        as_training(windows, 2, NOT_PRIVATE, stream)
        for windows, stream in zip(learned_from, streams, strict=True)
    ]
    started = time.process_time()
    fitted = model.fit_together(kind.Settings.model_validate(settings), trainings, None)
    seconds = (time.process_time() - started) / len(fitted)
    rows = []
    for i, (one, windows, stream) in enumerate(zip(fitted, learned_from, streams, strict=True)):
        made = synthetic_subjects(one, subjects=PEOPLE, classes=2, stream=child(stream, "sample"))
        synthetic = as_set(made, windows, generator="cgan", unit="window", epsilon=np.inf)
        pair = comparisons(Made(windows, synthetic, seconds), stream).synthetic
        rows.append(
            [
                *accuracies(synthetic, cohorts[i // seeds], stream),
                *quality(pair, windows.rate_hz, stream),
                *relative_diversity(windows, synthetic, stream),
                float((synthetic.windows == 0).mean()),
                seconds,
            ]
        )
    return rows


def print_row(name: str, values: Sequence[float]) -> None:
    print(f"{name:<32}{''.join(f'{value:>9.3f}' for value in values)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohorts", type=int, nargs="+", default=[41, 42])
    parser.add_argument("--seeds", type=int, default=2, help="models per cohort")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--only", nargs="+", default=list(CANDIDATES), help="candidates by name")
    options = parser.parse_args()
    tensorflow.start(1)
    columns = (*DETECTORS, *MEASURES, "rest", "stress", "zeros", "CPU s")
    print(f"{'':<32}{''.join(f'{column:>9}' for column in columns)}")
    for seed in options.cohorts:
        print_row(f"real, {seed}", accuracies(windows_of(seed, "generator"), seed, root_stream(seed)))
    for name in options.only:
        settings = {**CANDIDATES[name], "steps": options.steps}
        rows = train(settings, options.cohorts, options.seeds)
        for number, row in enumerate(rows):
            print_row(f"  {options.cohorts[number // options.seeds]}, {number % options.seeds}", row)
        print_row(name, [float(value) for value in np.mean(rows, axis=0)])


if __name__ == "__main__":
    main()
