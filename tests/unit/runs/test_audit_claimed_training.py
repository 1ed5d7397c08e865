"""Trainings with canaries run the mechanism that is claimed, on more records."""

import math

import pytest

from pulseveil.core import registry
from pulseveil.core.errors import InputError
from pulseveil.detectors import Detector
from pulseveil.detectors.private_neural import NoisedTraining
from pulseveil.privacy.budget import Budget, Population
from pulseveil.runs.audits import Setting, with_canaries

CLAIMED, AUDITED = Population(14, 37, 0.3), Population(15, 37, 0.3)


def budget(population, unit="window", epsilon=8.0):
    return Budget(epsilon, 1e-5, unit, population)


def mechanisms(group, name, settings, unit="window"):
    """(claimed, audited)."""
    kind = registry.load(group, name)
    training = Setting(kind.Settings.model_validate(settings), budget(CLAIMED, unit))
    wider = with_canaries(name, kind, training, budget(AUDITED, unit))
    return (kind.mechanisms(*training)[0], kind.mechanisms(*wider)[0])


def require_equal(claimed, audited, unit):
    assert (claimed.n, audited.n) == (CLAIMED.records(unit), AUDITED.records(unit))
    assert audited.q == pytest.approx(claimed.q, rel=1e-12)
    assert audited.expected_batch == pytest.approx(claimed.expected_batch * audited.n / claimed.n)
    assert audited.noise_multiplier == pytest.approx(claimed.noise_multiplier, rel=1e-6)
    assert (audited.steps, audited.sampler, audited.clip_norm) == (
        claimed.steps,
        claimed.sampler,
        claimed.clip_norm,
    )


# 518 is all windows: a full batch stays one.
@pytest.mark.parametrize("private", [None, {"batch_size": 64, "steps": 30}, {"batch_size": 518}])
@pytest.mark.parametrize("name", ["cnn", "cnn_lstm", "transformer"])
def test_a_network_keeps_q_noise_and_steps_beside_canaries(name, private):
    claimed, audited = mechanisms("detectors", name, {"private": private})
    require_equal(claimed, audited, "window")


PRIVATE_GENERATORS = [
    (name, unit)
    for name in registry.names("generators")
    for unit in sorted(registry.load("generators", name).private_units)
]


@pytest.mark.parametrize(("name", "unit"), PRIVATE_GENERATORS)
def test_a_private_generator_keeps_its_mechanism(name, unit):
    settings = {"selection": "last"} if name == "cgan" else {}
    require_equal(*mechanisms("generators", name, settings, unit), unit)


@pytest.mark.parametrize("name", ["logistic", "class_means"])
def test_full_batches_need_no_other_settings(name):
    require_equal(*mechanisms("detectors", name, {}, "subject"), "subject")


def test_without_the_scaling_the_draws_would_be_sparser():
    kind = registry.load("detectors", "cnn")
    settings = kind.Settings(private=NoisedTraining(batch_size=64))
    (plain,) = kind.mechanisms(settings, budget(CLAIMED))
    (wider,) = kind.mechanisms(settings, budget(AUDITED))
    assert wider.q < 0.95 * plain.q


def test_a_training_without_a_claim_keeps_its_settings():
    kind = registry.load("detectors", "cnn")
    training = Setting(kind.Settings(), budget(CLAIMED, epsilon=math.inf))
    wider = with_canaries("cnn", kind, training, budget(AUDITED, epsilon=math.inf))
    assert wider.settings is training.settings


def test_a_kind_whose_mechanism_would_be_another_one_is_refused():
    cnn = registry.load("detectors", "cnn")

    class Unscaled(Detector):
        @staticmethod
        def mechanisms(settings, given):
            return cnn.mechanisms(cnn.Settings(private=NoisedTraining(batch_size=64)), given)

    training = Setting(None, budget(CLAIMED))
    with pytest.raises(InputError, match=r"audit of stubborn: .* q 0\.1153.* but the claim is .* q 0\.1236"):
        with_canaries("stubborn", Unscaled, training, budget(AUDITED))
