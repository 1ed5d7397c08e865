"""All measures of a pair of samples: the same for synthetic windows, the floor and held-out people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pulseveil.core.randomness import Stream, child
from pulseveil.quality import intervals
from pulseveil.quality.classifiers import discriminator, logistic, nearest_neighbour, prediction_errors
from pulseveil.quality.distributions import (
    correlation_distance,
    kolmogorov_smirnov,
    power_spectra,
    spectral_distance,
    wasserstein,
)
from pulseveil.quality.intervals import Estimate
from pulseveil.quality.neighbours import NEIGHBOURS, median_distance, mmd2, nearest_distances, support
from pulseveil.quality.samples import Pair, Sample

ALL = "all"
CLASSES: Mapping[str, bool] = {"not_stress": False, "stress": True}

# Titles of the measures in tables, in their order; arrows show the better direction or the ideal value.
TITLES: Mapping[str, str] = {
    "two_sample_1nn": "1-NN accuracy → ½",
    "two_sample_logistic": "Logistic accuracy → ½",
    "discriminative": "Discriminative score ↓",
    "predictive_mae": "Predictive MAE ↓",
    "mmd2": "MMD² ↓",
    "precision": "Precision ↑",
    "density": "Density ↑",
    "recall": "Recall ↑",
    "coverage": "Coverage ↑",
    "nearest_real": "Nearest real window",
    "nearest_synthetic": "Nearest synthetic window ↓",
    "correlation_distance": "Correlations ↓",
    "wasserstein": "Wasserstein ↓",
    "ks": "KS ↓",
    "spectrum_db": "Spectra, dB ↓",
}


class Key(NamedTuple):
    """Key of a number: measure, signal and condition; `all` means all signals or conditions together."""

    measure: str
    signal: str = ALL
    condition: str = ALL


Measured = Mapping[Key, Estimate]


def measure_people(pair: Pair, stream: Stream) -> Measured:
    """The measures that one other person is enough for: nearest neighbours, precision and density.

    Windows must be scaled, because distances are Euclidean distances of flattened windows. Empty if a side
    has no more than `NEIGHBOURS` windows.
    """
    found = {}
    # With fewer windows a ball has no radius.
    if min(map(_size, pair)) > NEIGHBOURS:
        decisions = nearest_neighbour(pair, child(stream, "neighbours"))
        found[Key("two_sample_1nn")] = intervals.mean(*decisions, child(stream, "two_sample_1nn"))
        inside = support(_rows(pair.real), _rows(pair.other))
        near = nearest_distances(_rows(pair.other), _rows(pair.real))
        of_other = {"precision": inside.precision, "density": inside.density, "nearest_real": near}
        for name, values in of_other.items():
            found[Key(name)] = intervals.mean(values, pair.other.subject, child(stream, name))
    return found


def measure(
    pair: Pair, channels: Sequence[str], rate_hz: float, bandwidth: float, stream: Stream
) -> Measured:
    """All measures of a pair of equally many windows, without measures that are undefined for the pair.

    bandwidth: of the MMD's kernel; MMDs are comparable only with the same bandwidth.
    """
    found = dict(measure_people(pair, stream))
    for name, decisions, statistic in (
        ("two_sample_logistic", logistic(pair, child(stream, "logistic")), intervals.mean),
        ("discriminative", discriminator(pair, child(stream, "trees")), intervals.distance_from_half),
    ):
        if decisions is not None:
            found[Key(name)] = statistic(*decisions, child(stream, name))
    real, other = _rows(pair.real), _rows(pair.other)
    if min(len(real), len(other)) > NEIGHBOURS:
        inside = support(real, other)
        of_real = {
            "recall": inside.recall,
            "coverage": inside.coverage,
            "nearest_synthetic": nearest_distances(real, other),
            "predictive_mae": prediction_errors(pair.other.windows, pair.real.windows),
        }
        for name, values in of_real.items():
            found[Key(name)] = intervals.mean(values, pair.real.subject, child(stream, name))
        found[Key("mmd2")] = Estimate(mmd2(real, other, bandwidth))
        found[Key("correlation_distance")] = correlation_distance(pair, child(stream, "correlations"))
        found |= dict(_of_signals(pair, channels, rate_hz, stream))
    return found


def kernel_bandwidth(real: Sample) -> float:
    """Median distance between real windows; 1 if no two windows differ."""
    distance = median_distance(_rows(real)) if _size(real) > 1 else 0.0
    return distance if distance > 0 else 1.0


def _of_signals(
    pair: Pair, channels: Sequence[str], rate_hz: float, stream: Stream
) -> Iterator[tuple[Key, Estimate]]:
    spectra = [power_spectra(sample.windows, rate_hz)[1] for sample in pair]
    for i, signal in enumerate(channels):
        for condition, stress in CLASSES.items():
            real, other = (sample.take(sample.stress == stress) for sample in pair)
            # A generator may lack a class, and a person may have no window of it.
            if len(real.windows) == 0 or len(other.windows) == 0:
                continue
            values = (real.windows[:, :, i], other.windows[:, :, i], real.subject)
            seed = child(stream, signal, condition)
            yield Key("wasserstein", signal, condition), wasserstein(*values, seed)
            yield Key("ks", signal, condition), kolmogorov_smirnov(*values, seed)
        real_power, other_power = (power[:, :, i] for power in spectra)
        distance = spectral_distance(
            real_power, other_power, pair.real.subject, child(stream, signal, "spectrum")
        )
        yield Key("spectrum_db", signal), distance


def _rows(sample: Sample) -> np.ndarray:
    return sample.windows.reshape(len(sample.windows), -1)


def _size(sample: Sample) -> int:
    return len(sample.windows)
