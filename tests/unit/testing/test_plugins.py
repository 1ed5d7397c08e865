import numpy as np
import pytest

from pulseveil.detectors import Outputs
from pulseveil.detectors.class_means import ClassMeans
from pulseveil.generators.moments import Moments, MomentsSettings
from pulseveil.testing import _detector_faults, _generator_faults, check_detector, check_generator


@pytest.mark.parametrize("name", ["moments", "prior_only"])
def test_generators_of_the_project_keep_their_promises(name):
    check_generator(name)


@pytest.mark.parametrize("name", ["logistic", "class_means", "majority", "public_signs"])
def test_detectors_of_the_project_keep_their_promises(name):
    check_detector(name)


class NotFinite(Moments):
    def sample(self, condition, noise):
        windows = super().sample(condition, noise)
        windows[:, 0] = np.nan
        return windows


class OwnNoise(Moments):
    def sample(self, condition, noise):
        other = np.random.default_rng().standard_normal(noise.shape, dtype=np.float32)
        return super().sample(condition, other)


class OfAll(Moments):
    def sample(self, condition, noise):
        windows = super().sample(condition, noise)
        return windows + windows[:1]


class Doubles(Moments):
    def sample(self, condition, noise):
        return super().sample(condition, noise).astype(np.float64)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (NotFinite, "values are not finite"),
        (OwnNoise, "the same noise gives other windows"),
        (OfAll, "depends on the other windows"),
        (Doubles, "expected float32, found float64"),
    ],
)
def test_a_broken_generator_is_told_what_it_breaks(kind, words):
    assert any(words in fault for fault in _generator_faults(kind, kind, MomentsSettings(rank=2)))


class Peeks:
    """Answers with the truth."""

    ledger = ()

    def score(self, features):
        return Outputs.from_probability(features.stress.astype(np.float64))

    def arrays(self):
        return {"weights": np.array([np.nan])}


class PeeksKind(ClassMeans):
    @classmethod
    def fit(cls, settings, training):
        return Peeks()

    @classmethod
    def from_arrays(cls, settings, arrays):
        return Peeks()


def test_a_detector_that_reads_the_truth_is_found():
    found = list(_detector_faults(PeeksKind, PeeksKind, PeeksKind.Settings()))
    assert any("depends on `stress`" in fault for fault in found)
    assert any("arrays: weights: 1 values are not finite" in fault for fault in found)
